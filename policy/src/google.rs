//! A Google service account whose key the filter itself holds: what a self-signed token says, and how long one is used.
//!
//! For an Envoy without a controller. With one, the key stays there and the filter gets tokens
//! ([`crate::wire::Target::GoogleToken`]). Who signs comes in as an argument.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::secret::{Secret, Unusable};

/// The longest that Google accepts (<https://google.aip.dev/auth/4111>).
const LIFE: Duration = Duration::from_secs(3600);
/// Google refuses what was issued in its future.
const BACKDATED: Duration = Duration::from_secs(10);
/// A token is replaced this long before its end.
const SPARE: Duration = Duration::from_secs(300);
/// Tokens kept for an account, each for an audience of its own.
const KEPT: usize = 32;

/// An account, with the tokens that it signed. Zeroized on drop.
pub struct Account {
    email: String,
    key_id: String,
    key: Secret,
    tokens: RefCell<Vec<Signed>>,
}

struct Signed {
    grant: Grant,
    bearer: Rc<Secret>,
    until: Duration,
}

/// What a token is good for (AIP-4111): never both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// One service, as `https://host/`.
    Audience(String),
    /// These scopes, separated by spaces.
    Scopes(String),
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims<'a> {
    /// The account's email.
    pub iss: &'a str,
    /// The same.
    pub sub: &'a str,
    /// Of [`Grant::Audience`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<&'a str>,
    /// Of [`Grant::Scopes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<&'a str>,
    /// Seconds since the Unix epoch.
    pub iat: u64,
    /// The same.
    pub exp: u64,
}

/// Whoever can sign with RS256 (RFC 7518, 3.3).
pub trait Signer {
    /// The JWT with these claims and the account's key id in its header; `None`: it cannot be signed.
    fn sign(&self, account: &Account, claims: &Claims<'_>) -> Option<Secret>;
}

impl Account {
    /// The account as it is sealed: lines for email, key id, and private key (PKCS#8, DER) in base64.
    #[must_use]
    pub fn join(email: &str, key_id: &str, key: &[u8]) -> Secret {
        let key = Zeroizing::new(BASE64_STANDARD.encode(key));
        Secret::new(format!("{email}\n{key_id}\n{}", key.as_str()).into_bytes())
    }

    /// Reads it from how it is sealed.
    ///
    /// # Errors
    /// [`Unusable::NotAccount`].
    pub fn parse(lines: &Secret) -> Result<Account, Unusable> {
        // Exposed to be taken apart; the key is a secret again.
        let text = std::str::from_utf8(lines.expose()).map_err(|_| Unusable::NotAccount)?;
        let mut lines = text.split('\n');
        let mut next = || lines.next().filter(|line| !line.is_empty()).ok_or(Unusable::NotAccount);
        let (email, key_id, key) = (next()?, next()?, next()?);
        let key = BASE64_STANDARD.decode(key).map_err(|_| Unusable::NotAccount)?;
        Ok(Account {
            email: email.to_owned(),
            key_id: key_id.to_owned(),
            key: Secret::new(key),
            tokens: RefCell::default(),
        })
    }

    /// The id of its key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Its private key: PKCS#8, DER.
    #[must_use]
    pub fn key(&self) -> &Secret {
        &self.key
    }

    /// `Bearer …` for a grant: the token that is there, or a new one. `None`: it cannot be signed. `now` is the time
    /// since the Unix epoch.
    pub(crate) fn bearer(&self, grant: &Grant, now: Duration, signer: &dyn Signer) -> Option<Rc<Secret>> {
        // Nothing else holds it: a signer knows nothing of it.
        let mut tokens = self.tokens.try_borrow_mut().ok()?;
        tokens.retain(|token| now + SPARE < token.until);
        if let Some(known) = tokens.iter().find(|token| token.grant == *grant) {
            return Some(Rc::clone(&known.bearer));
        }
        let issued = now.saturating_sub(BACKDATED);
        let (aud, scope) = match grant {
            Grant::Audience(audience) => (Some(audience.as_str()), None),
            Grant::Scopes(scopes) => (None, Some(scopes.as_str())),
        };
        let (iss, exp) = (self.email.as_str(), issued + LIFE);
        let claims = Claims { iss, sub: iss, aud, scope, iat: issued.as_secs(), exp: exp.as_secs() };
        let token = signer.sign(self, &claims)?;
        // Exposed to be put behind its scheme; the result is a secret again.
        let bearer = Rc::new(Secret::new([b"Bearer ", token.expose()].concat()));
        if tokens.len() >= KEPT {
            tokens.remove(0);
        }
        tokens.push(Signed { grant: grant.clone(), bearer: Rc::clone(&bearer), until: exp });
        Some(bearer)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Writes the claims where the token would be, and counts.
    #[derive(Default)]
    struct Plain(Cell<usize>);

    impl Signer for Plain {
        fn sign(&self, account: &Account, claims: &Claims<'_>) -> Option<Secret> {
            self.0.set(self.0.get() + 1);
            let claims = serde_json::to_string(claims).unwrap();
            Some(Secret::new(format!("{} {claims}", account.key_id()).into_bytes()))
        }
    }

    fn account() -> Account {
        let Ok(account) = Account::parse(&Account::join("robot@example", "key-1", b"der")) else {
            panic!("an account")
        };
        account
    }

    fn text(bearer: Option<Rc<Secret>>) -> String {
        String::from_utf8(bearer.unwrap().expose().to_vec()).unwrap()
    }

    const NOW: Duration = Duration::from_secs(1_000_010);

    #[test]
    fn a_token_names_its_audience_or_its_scopes_and_ends_after_an_hour() {
        let (account, signer) = (account(), Plain::default());
        let audience = Grant::Audience("https://a.example/".to_owned());
        assert_eq!(
            text(account.bearer(&audience, NOW, &signer)),
            r#"Bearer key-1 {"iss":"robot@example","sub":"robot@example","aud":"https://a.example/","iat":1000000,"exp":1003600}"#
        );
        let scopes = Grant::Scopes("a b".to_owned());
        assert_eq!(
            text(account.bearer(&scopes, NOW, &signer)),
            r#"Bearer key-1 {"iss":"robot@example","sub":"robot@example","scope":"a b","iat":1000000,"exp":1003600}"#
        );
    }

    #[test]
    fn a_token_is_used_until_five_minutes_before_its_end() {
        let (account, signer) = (account(), Plain::default());
        let grant = Grant::Scopes("a".to_owned());
        for (now, signed) in [(0, 1), (1000, 1), (3289, 1), (3290, 2), (3291, 2), (9000, 3)] {
            account.bearer(&grant, NOW + Duration::from_secs(now), &signer).unwrap();
            assert_eq!(signer.0.get(), signed, "after {now} s");
        }
    }

    #[test]
    fn tokens_of_many_audiences_are_bounded() {
        let (account, signer) = (account(), Plain::default());
        for number in 0..100 {
            account.bearer(&Grant::Audience(number.to_string()), NOW, &signer).unwrap();
        }
        assert_eq!(account.tokens.borrow().len(), KEPT);
    }

    #[test]
    fn what_is_no_account_is_refused() {
        for text in ["", "robot@example", "robot@example\nkey", "robot@example\nkey\n*", "\nkey\nZGVy"] {
            assert_eq!(Account::parse(&Secret::new(text.into())).err(), Some(Unusable::NotAccount), "{text}");
        }
    }
}
