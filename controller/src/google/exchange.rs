//! One exchange: an assertion for an access token (RFC 7523, section 2.1).

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use zeroize::Zeroizing;

use super::account::ServiceAccount;
use super::answer::{self, ExchangeError};
use super::grant::{Grant, Scopes};
use super::jwt;
use super::state::Token;
use super::transport::Transport;

/// The fields of the form but for the assertion, whose letters need no escape.
const FORM: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";

/// Why there is no new token, and when the endpoint wants to be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub cause: ExchangeError,
    /// What `retry-after` said.
    pub retry_after: Option<Duration>,
}

impl From<ExchangeError> for Failure {
    fn from(cause: ExchangeError) -> Failure {
        Failure { cause, retry_after: None }
    }
}

/// Exchanges an account for an access token at its token endpoint, once.
///
/// # Errors
/// [`Failure`].
pub async fn exchange(
    transport: &Transport,
    account: &ServiceAccount,
    scopes: &Scopes,
    now: OffsetDateTime,
) -> Result<Token, Failure> {
    let assertion = jwt::assertion(account, scopes, now).map_err(|jwt::Unsigned| ExchangeError::Unsigned)?;
    let mut form = Zeroizing::new(String::with_capacity(FORM.len() + assertion.len()));
    form.push_str(FORM);
    form.push_str(&assertion);
    let reply = transport.post(&account.endpoint, form).await?;
    let retry_after = reply.retry_after.as_deref().and_then(|text| retry_after(text, now));
    answer::read(&reply, now).map_err(|cause| Failure { cause, retry_after })
}

/// A token, in the way that the grant says.
pub(super) async fn mint(
    transport: &Transport,
    account: &ServiceAccount,
    grant: &Grant,
    now: OffsetDateTime,
) -> Result<Token, Failure> {
    match grant {
        Grant::AccessToken(scopes) => exchange(transport, account, scopes, now).await,
        Grant::SelfSigned(claim) => {
            let signed = jwt::self_signed(account, claim, now);
            let (token, end) = signed.map_err(|jwt::Unsigned| ExchangeError::Unsigned)?;
            Ok(answer::token(token.as_bytes(), end)?)
        }
    }
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(text: &str, now: OffsetDateTime) -> Option<Duration> {
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => (OffsetDateTime::parse(text, &Rfc2822).ok()? - now).try_into().ok(),
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
