//! What a token endpoint answered, and everything that can go wrong on the way to a token.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use policy::secret::Secret;
use serde::Deserialize;
use thiserror::Error;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::state::Token;
use super::transport::Reply;

/// No token of Google's lives longer. What claims to is renewed as if it lived so long.
const LONGEST: f64 = 12.0 * 3600.0;

/// Why there is no new token. Never carries what was sent or received, but for a code that the standard defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ExchangeError {
    /// The key could not sign.
    #[error("the account's key could not sign; create a new key for the account")]
    Unsigned,
    /// The name has no address.
    #[error("the token endpoint's name could not be resolved")]
    Unresolved,
    /// No address took a connection.
    #[error("no connection to the token endpoint")]
    Unreachable,
    /// TLS failed for another reason than the certificate.
    #[error("the TLS handshake with the token endpoint failed")]
    Handshake,
    /// The certificate is not one that we trust for the name.
    #[error("the token endpoint's certificate is not trusted; check the CA bundle and the clock")]
    Untrusted,
    /// It took too long.
    #[error("the token endpoint did not answer in time")]
    Timeout,
    /// The connection ended early, or what came was not HTTP.
    #[error("the connection to the token endpoint broke off")]
    Broken,
    /// More than a token.
    #[error("the token endpoint's answer is larger than 64 KiB")]
    TooLarge,
    /// An error that OAuth defines.
    #[error("the token endpoint answered {0}: {remedy}", remedy = .0.remedy())]
    Refused(OauthCode),
    /// Another status than 200.
    #[error("the token endpoint answered with status {0}")]
    Status(u16),
    /// Not a token response.
    #[error("the token endpoint's answer is not a token response")]
    NotToken,
    /// A token of another type than bearer.
    #[error("the token endpoint gave a token that is not a bearer token")]
    TokenType,
    /// A token that no header could carry.
    #[error("the token endpoint gave a token that a request cannot carry")]
    Token,
    /// A token whose end is unknown or past.
    #[error("the token endpoint gave a token without a usable `expires_in`")]
    Lifetime,
}

/// Whether time alone may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// It may.
    Passing,
    /// Somebody has to do something. It is tried again all the same.
    Lasting,
}

impl ExchangeError {
    /// Whether time alone may help.
    #[must_use]
    pub fn outlook(self) -> Outlook {
        match self {
            ExchangeError::Status(status) if status == 408 || status == 429 || status >= 500 => {
                Outlook::Passing
            }
            ExchangeError::Unsigned
            | ExchangeError::Untrusted
            | ExchangeError::Refused(_)
            | ExchangeError::Status(_) => Outlook::Lasting,
            _ => Outlook::Passing,
        }
    }
}

/// The error codes of RFC 6749, section 5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Error)]
#[serde(rename_all = "snake_case")]
pub enum OauthCode {
    /// `invalid_request`
    #[error("invalid_request")]
    InvalidRequest,
    /// `invalid_client`
    #[error("invalid_client")]
    InvalidClient,
    /// `invalid_grant`
    #[error("invalid_grant")]
    InvalidGrant,
    /// `unauthorized_client`
    #[error("unauthorized_client")]
    UnauthorizedClient,
    /// `unsupported_grant_type`
    #[error("unsupported_grant_type")]
    UnsupportedGrantType,
    /// `invalid_scope`
    #[error("invalid_scope")]
    InvalidScope,
}

impl OauthCode {
    fn remedy(self) -> &'static str {
        match self {
            OauthCode::InvalidGrant => {
                "check that the account and this key of it exist and that the clock is right"
            }
            OauthCode::InvalidScope => "check the policy's `scopes`",
            OauthCode::InvalidClient | OauthCode::UnauthorizedClient => "check that the account is enabled",
            OauthCode::InvalidRequest | OauthCode::UnsupportedGrantType => "check the account's `token_uri`",
        }
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: Zeroizing<String>,
    token_type: String,
    expires_in: Option<f64>,
}

#[derive(Deserialize)]
struct Denied {
    error: OauthCode,
}

/// The token of an answer to what was asked at `asked`: its life counts from there, so that it never ends later here
/// than at Google.
pub(super) fn read(reply: &Reply, asked: OffsetDateTime) -> Result<Token, ExchangeError> {
    if reply.status != StatusCode::OK {
        return Err(refusal(reply));
    }
    let granted: Granted = serde_json::from_slice(&reply.body).map_err(|_| ExchangeError::NotToken)?;
    if !granted.token_type.eq_ignore_ascii_case("bearer") {
        return Err(ExchangeError::TokenType);
    }
    let life = granted.expires_in.filter(|life| *life >= 1.0).ok_or(ExchangeError::Lifetime)?;
    let life = Duration::from_secs_f64(life.min(LONGEST));
    token(granted.access_token.as_bytes(), asked + life)
}

/// A token out of its bytes: printable ASCII without spaces, as long as a credential may be.
pub(super) fn token(bytes: &[u8], expires_at: OffsetDateTime) -> Result<Token, ExchangeError> {
    if !bytes.iter().all(u8::is_ascii_graphic) {
        return Err(ExchangeError::Token);
    }
    let value = Secret::credential(bytes).map_err(|_| ExchangeError::Token)?;
    Ok(Token { value: Arc::new(value), expires_at })
}

fn refusal(reply: &Reply) -> ExchangeError {
    let denied = serde_json::from_slice::<Denied>(&reply.body);
    match denied {
        Ok(denied) if reply.status.is_client_error() && reply.status != StatusCode::TOO_MANY_REQUESTS => {
            ExchangeError::Refused(denied.error)
        }
        _ => ExchangeError::Status(reply.status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
    }

    fn read_body(status: u16, body: &str) -> Result<Token, ExchangeError> {
        let status = StatusCode::from_u16(status).unwrap();
        read(&Reply { status, retry_after: None, body: Zeroizing::new(body.as_bytes().to_vec()) }, now())
    }

    fn granted(rest: &str) -> String {
        format!(r#"{{"access_token": "ya29.canary-0123", "token_type": "Bearer"{rest}}}"#)
    }

    fn check(status: u16, body: &str, expected: ExchangeError, outlook: Outlook) {
        let error = read_body(status, body).err();
        assert_eq!(error, Some(expected), "{status} {body}");
        assert_eq!(expected.outlook(), outlook, "{expected:?}");
        assert!(!format!("{expected} {expected:?}").contains("canary"));
    }

    #[test]
    fn a_token_ends_when_the_answer_says_but_no_later_than_in_twelve_hours() {
        #[rustfmt::skip]
        let cases = [("3599", 3599), ("1", 1), ("60.0", 60), ("43201", 43_200), ("99999999999999999999", 43_200), ("1e300", 43_200)];
        for (expires_in, seconds) in cases {
            let token = read_body(200, &granted(&format!(r#", "expires_in": {expires_in}"#))).unwrap();
            assert_eq!((token.expires_at - now()).whole_seconds(), seconds, "{expires_in}");
            assert!(token.value.expose() == b"ya29.canary-0123", "the token that was answered");
        }
    }

    #[test]
    fn a_token_without_a_usable_end_is_refused() {
        for rest in ["", r#", "expires_in": null"#, r#", "expires_in": 0"#, r#", "expires_in": -3600"#] {
            check(200, &granted(rest), ExchangeError::Lifetime, Outlook::Passing);
        }
        for rest in [r#", "expires_in": "3600""#, r#", "expires_in": 1e999"#, r#", "expires_in": NaN"#] {
            check(200, &granted(rest), ExchangeError::NotToken, Outlook::Passing);
        }
    }

    #[test]
    fn what_is_no_bearer_token_is_refused() {
        for body in ["", "<html>canary</html>", "[]", "{}", r#"{"access_token": "canary-0123"}"#] {
            check(200, body, ExchangeError::NotToken, Outlook::Passing);
        }
        let long = "k".repeat(9_000);
        for token in [
            "",
            "short",
            "canary\\n0123",
            "canary-0123\\n",
            "canary 0123",
            "canary-ü0123",
            "canary\\u00000123",
            &long,
        ] {
            let body =
                format!(r#"{{"access_token": "{token}", "token_type": "Bearer", "expires_in": 3600}}"#);
            check(200, &body, ExchangeError::Token, Outlook::Passing);
        }
        let mac = granted(r#", "expires_in": 3600"#).replace("Bearer", "mac");
        check(200, &mac, ExchangeError::TokenType, Outlook::Passing);
    }

    #[test]
    fn refusals_are_told_apart_and_only_codes_of_the_standard_are_repeated() {
        let (passing, lasting) = (Outlook::Passing, Outlook::Lasting);
        let grant = r#"{"error": "invalid_grant", "error_description": "canary"}"#;
        let foreign = r#"{"error": "canary_code"}"#;
        check(400, grant, ExchangeError::Refused(OauthCode::InvalidGrant), lasting);
        check(
            401,
            r#"{"error": "invalid_client"}"#,
            ExchangeError::Refused(OauthCode::InvalidClient),
            lasting,
        );
        check(400, foreign, ExchangeError::Status(400), lasting);
        for (status, outlook) in [
            (201, lasting),
            (302, lasting),
            (403, lasting),
            (404, lasting),
            (408, passing),
            (429, passing),
            (500, passing),
            (503, passing),
        ] {
            check(status, "canary", ExchangeError::Status(status), outlook);
        }
        check(429, grant, ExchangeError::Status(429), passing);
        check(500, grant, ExchangeError::Status(500), passing);
        let error = ExchangeError::Refused(OauthCode::InvalidGrant).to_string();
        assert!(error.contains("invalid_grant") && error.contains("clock"), "{error}");
    }
}
