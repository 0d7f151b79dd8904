//! What a token is for, out of a policy's `gcp`.

use std::collections::BTreeSet;

use policy::api::credential_injection_policy::{Gcp, GcpMode};
use thiserror::Error;

/// The scope of everything that an account may do in Google Cloud: what is asked for where a policy names no scope.
const DEFAULT_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// What a token is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// The account is exchanged for an access token with these scopes.
    AccessToken(Scopes),
    /// The account's key signs the token itself.
    SelfSigned(SelfSigned),
}

/// What a self-signed token is for: one of the two, never both (AIP-4111).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SelfSigned {
    /// One service.
    Audience(Audience),
    /// Scopes.
    Scopes(Scopes),
}

/// OAuth scopes: at least one; neither order nor repetition counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scopes(BTreeSet<String>);

/// An audience: `https://host/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Audience(String);

/// Why a policy's `gcp` cannot be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GrantError {
    /// A scope that no request could carry.
    #[error(
        "`scopes` holds an empty scope or one with a space, a quote, a backslash or another character; correct it"
    )]
    Scope,
    /// An audience that no token should carry.
    #[error("`audience` is empty or holds a space, a control character or one beyond ASCII; correct it")]
    Audience,
    /// An audience where none is used.
    #[error("`audience` is only for `mode: SelfSignedJwt`; remove it or set the mode")]
    AudienceUnused,
    /// Both.
    #[error("`scopes` and `audience` exclude each other; remove one")]
    Both,
    /// The default audience is a host's, and the host is a pattern.
    #[error("a self-signed token for a pattern of hosts needs `audience` or `scopes`; set one")]
    HostUnknown,
}

impl Grant {
    /// What a policy asks for. `host` is the exact host of the requests, where there is one: `None` for a pattern.
    ///
    /// # Errors
    /// [`GrantError`], which names the field and the remedy.
    pub fn of(gcp: Option<&Gcp>, host: Option<&str>) -> Result<Grant, GrantError> {
        let scopes = gcp.map_or(&[][..], |gcp| &gcp.scopes);
        let audience = gcp.and_then(|gcp| gcp.audience.as_deref());
        match gcp.and_then(|gcp| gcp.mode).unwrap_or(GcpMode::AccessToken) {
            GcpMode::AccessToken if audience.is_some() => Err(GrantError::AudienceUnused),
            GcpMode::AccessToken if scopes.is_empty() => Ok(Grant::AccessToken(Scopes::default())),
            GcpMode::AccessToken => Ok(Grant::AccessToken(Scopes::parse(scopes)?)),
            GcpMode::SelfSignedJwt => Ok(Grant::SelfSigned(SelfSigned::of(scopes, audience, host)?)),
        }
    }
}

impl Grant {
    /// The one service that the token is for, where it is for one.
    #[must_use]
    pub fn audience(&self) -> Option<&str> {
        match self {
            Grant::SelfSigned(SelfSigned::Audience(audience)) => Some(audience.claim()),
            Grant::AccessToken(_) | Grant::SelfSigned(SelfSigned::Scopes(_)) => None,
        }
    }
}

impl SelfSigned {
    fn of(scopes: &[String], audience: Option<&str>, host: Option<&str>) -> Result<SelfSigned, GrantError> {
        match (audience, host) {
            (Some(_), _) if !scopes.is_empty() => Err(GrantError::Both),
            (Some(audience), _) => Ok(SelfSigned::Audience(Audience::parse(audience)?)),
            (None, _) if !scopes.is_empty() => Ok(SelfSigned::Scopes(Scopes::parse(scopes)?)),
            (None, Some(host)) => Ok(SelfSigned::Audience(Audience::parse(&format!("https://{host}/"))?)),
            (None, None) => Err(GrantError::HostUnknown),
        }
    }
}

impl Default for Scopes {
    fn default() -> Scopes {
        Scopes([DEFAULT_SCOPE.to_owned()].into())
    }
}

impl Scopes {
    /// Takes scopes that a request can carry (RFC 6749, section 3.3).
    ///
    /// # Errors
    /// [`GrantError::Scope`], also where there is none.
    pub fn parse(scopes: &[String]) -> Result<Scopes, GrantError> {
        let letter = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        let is_scope = |scope: &String| !scope.is_empty() && scope.bytes().all(letter);
        if scopes.is_empty() || !scopes.iter().all(is_scope) {
            return Err(GrantError::Scope);
        }
        Ok(Scopes(scopes.iter().cloned().collect()))
    }

    /// As a claim: separated by spaces.
    pub(super) fn claim(&self) -> String {
        self.0.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

impl Audience {
    /// Takes an audience.
    ///
    /// # Errors
    /// [`GrantError::Audience`] where it is not printable ASCII without spaces.
    pub fn parse(text: &str) -> Result<Audience, GrantError> {
        let is_audience = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_audience { Ok(Audience(text.to_owned())) } else { Err(GrantError::Audience) }
    }

    pub(super) fn claim(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Option<&str> = Some("aiplatform.googleapis.com");

    fn gcp(scopes: &[&str], audience: Option<&str>, mode: Option<GcpMode>) -> Gcp {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        Gcp { scopes, audience: audience.map(str::to_owned), mode }
    }

    fn scopes(scopes: &[&str]) -> Scopes {
        Scopes(scopes.iter().map(|scope| (*scope).to_owned()).collect())
    }

    fn audience(text: &str) -> Grant {
        Grant::SelfSigned(SelfSigned::Audience(Audience(text.to_owned())))
    }

    #[test]
    fn a_policy_says_what_a_token_is_for() {
        let signed = Some(GcpMode::SelfSignedJwt);
        let exchanged = Grant::AccessToken(scopes(&[DEFAULT_SCOPE]));
        assert_eq!(Grant::of(None, HOST), Ok(exchanged.clone()));
        assert_eq!(Grant::of(Some(&gcp(&[], None, None)), None), Ok(exchanged.clone()));
        assert_eq!(Grant::of(Some(&gcp(&[], None, Some(GcpMode::AccessToken))), None), Ok(exchanged));
        let two = Ok(Grant::AccessToken(scopes(&["a", "b"])));
        assert_eq!(Grant::of(Some(&gcp(&["b", "a", "b"], None, None)), None), two);
        let host = Ok(audience("https://aiplatform.googleapis.com/"));
        assert_eq!(Grant::of(Some(&gcp(&[], None, signed)), HOST), host);
        let given = Ok(audience("https://a.example/"));
        assert_eq!(Grant::of(Some(&gcp(&[], Some("https://a.example/"), signed)), HOST), given);
        let scoped = Ok(Grant::SelfSigned(SelfSigned::Scopes(scopes(&["a"]))));
        assert_eq!(Grant::of(Some(&gcp(&["a"], None, signed)), None), scoped);
    }

    #[test]
    fn what_cannot_be_met_is_refused_with_its_cause() {
        let signed = Some(GcpMode::SelfSignedJwt);
        #[rustfmt::skip]
        let cases = [
            (gcp(&["a b"], None, None), HOST, GrantError::Scope),
            (gcp(&["a", ""], None, None), HOST, GrantError::Scope),
            (gcp(&["a\"b"], None, signed), HOST, GrantError::Scope),
            (gcp(&["bücher"], None, None), HOST, GrantError::Scope),
            (gcp(&[], Some("https://a.example/"), None), HOST, GrantError::AudienceUnused),
            (gcp(&[], Some(""), signed), HOST, GrantError::Audience),
            (gcp(&[], Some("a\nb"), signed), HOST, GrantError::Audience),
            (gcp(&["a"], Some("https://a.example/"), signed), HOST, GrantError::Both),
            (gcp(&[], None, signed), None, GrantError::HostUnknown),
        ];
        for (gcp, host, cause) in cases {
            assert_eq!(Grant::of(Some(&gcp), host), Err(cause), "{gcp:?}");
        }
    }
}
