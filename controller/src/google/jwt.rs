//! What an account's key signs: assertions for the token endpoint (RFC 7523), and tokens of its own (AIP-4111).

use jsonwebtoken::{Algorithm, Header};
use serde::Serialize;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::account::ServiceAccount;
use super::endpoint::GOOGLE;
use super::grant::{Scopes, SelfSigned};
use super::provider;

/// The longest that Google accepts.
const LIFE: Duration = Duration::HOUR;

/// Google refuses what was issued in its future. Taken off the life too: that counts from the issue.
const BACKDATED: Duration = Duration::seconds(10);

/// The key could not sign: the system gives no randomness, or the key's numbers contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsigned;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    iat: i64,
    exp: i64,
}

/// An assertion that asks for a token with scopes.
///
/// Its audience is Google's token endpoint whatever the account's `token_uri` says: Google documents it as "always" this
/// value, its private endpoints expect it, and its own libraries send nothing else.
pub(super) fn assertion(
    account: &ServiceAccount,
    scopes: &Scopes,
    now: OffsetDateTime,
) -> Result<Zeroizing<String>, Unsigned> {
    let (iat, exp) = times(now);
    let (aud, scope) = (Some(GOOGLE), Some(scopes.claim()));
    sign(account, &Claims { iss: &account.email, sub: None, aud, scope, iat, exp })
}

/// A token that services accept in place of one that was exchanged, and its end.
pub(super) fn self_signed(
    account: &ServiceAccount,
    claim: &SelfSigned,
    now: OffsetDateTime,
) -> Result<(Zeroizing<String>, OffsetDateTime), Unsigned> {
    let iss = &account.email;
    let (iat, exp) = times(now);
    let (aud, scope) = match claim {
        SelfSigned::Audience(audience) => (Some(audience.claim()), None),
        SelfSigned::Scopes(scopes) => (None, Some(scopes.claim())),
    };
    let token = sign(account, &Claims { iss, sub: Some(iss), aud, scope, iat, exp })?;
    Ok((token, OffsetDateTime::from_unix_timestamp(exp).unwrap_or(now)))
}

/// When it is issued and when it expires, in seconds.
fn times(now: OffsetDateTime) -> (i64, i64) {
    let issued = now.saturating_sub(BACKDATED).unix_timestamp();
    (issued, issued.saturating_add(LIFE.whole_seconds()))
}

fn sign(account: &ServiceAccount, claims: &Claims<'_>) -> Result<Zeroizing<String>, Unsigned> {
    provider::install();
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some(account.key_id.clone());
    jsonwebtoken::encode(&header, claims, &account.key).map(Zeroizing::new).map_err(|_| Unsigned)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};
    use sha2::{Digest as _, Sha256};

    use super::super::grant::Audience;
    use super::super::testing::account;
    use super::*;

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
    }

    fn part(token: &str, index: usize) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()
    }

    fn check(token: &str, claims: &Value) {
        let header: Value = serde_json::from_slice(&part(token, 0)).unwrap();
        assert_eq!(header, json!({"typ": "JWT", "alg": "RS256", "kid": "one-key-id"}));
        let got: Value = serde_json::from_slice(&part(token, 1)).unwrap();
        assert_eq!(&got, claims);
    }

    const EMAIL: &str = "robot@project.iam.gserviceaccount.com";

    #[test]
    fn an_assertion_is_for_googles_endpoint_whatever_the_token_uri() {
        for token_uri in [GOOGLE, "https://a.example/token", "http://127.0.0.1:1/"] {
            let scopes = Scopes::parse(&["b".to_owned(), "a".to_owned()]).unwrap();
            let token = assertion(&account("one", token_uri), &scopes, now()).unwrap();
            check(
                &token,
                &json!({
                    "iss": EMAIL, "aud": "https://oauth2.googleapis.com/token", "scope": "a b",
                    "iat": 1_799_999_990, "exp": 1_800_003_590,
                }),
            );
        }
    }

    #[test]
    fn a_self_signed_token_names_an_audience_or_scopes_and_its_end() {
        let (iat, exp) = (1_799_999_990, 1_800_003_590);
        let audience = SelfSigned::Audience(Audience::parse("https://a.example/").unwrap());
        let scopes = SelfSigned::Scopes(Scopes::parse(&["a".to_owned()]).unwrap());
        let account = account("one", GOOGLE);
        let (token, end) = self_signed(&account, &audience, now()).unwrap();
        check(
            &token,
            &json!({"iss": EMAIL, "sub": EMAIL, "aud": "https://a.example/", "iat": iat, "exp": exp}),
        );
        assert_eq!(end.unix_timestamp(), exp);
        let (token, _) = self_signed(&account, &scopes, now()).unwrap();
        check(&token, &json!({"iss": EMAIL, "sub": EMAIL, "scope": "a", "iat": iat, "exp": exp}));
    }

    /// RS256 has one signature for each message. This one was made by OpenSSL, with the same key:
    /// `openssl dgst -sha256 -sign`.
    #[test]
    fn the_signature_is_the_one_that_openssl_makes() {
        let token = assertion(&account("one", GOOGLE), &Scopes::default(), now()).unwrap();
        let digest: String =
            Sha256::digest(part(&token, 2)).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, "4762581a194e5c649032d4eb00e6919e808c786a6d9c4f6314161fe0bbe9ea8b");
    }
}
