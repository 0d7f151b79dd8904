//! Denials: the exact cause for us, a coarse one for the agent, and the local answer that carries it.
//!
//! An agent learns no more than it needs to fix its request: a credential that is missing, one that does not open and
//! one that expired look the same, so that no answer tells which keys exist.

use std::fmt;

use serde::Serialize;

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// `namespace/name` of the route whose rule refused, for the record.
    pub route: Option<String>,
}

/// Why a request was refused, or passed without a credential. Goes to telemetry and status only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No rule names the host.
    HostNotListed,
    /// A rule names the host, none this endpoint and method.
    EndpointNotListed,
    /// Rules name the host, the endpoint and some models, none this one.
    ModelNotListed,
    /// A rule is for certain models, and which one the request names cannot be read, or can be read in two ways.
    ModelUnreadable,
    /// A rule names the host, none this port.
    PortNotListed,
    /// The request goes to an upstream cluster that may not get a credential (`TrustedPlaintext`).
    ClusterNotAllowed,
    /// The sealed credential does not open.
    CredentialUnsealable,
    /// The policy names a Secret that does not exist.
    SecretNotFound,
    /// The Secret lacks the key.
    KeyNotFound,
    /// The Secret's value cannot be a credential.
    InvalidSecret,
    /// No policy gives the route a credential.
    NoPolicy,
    /// The route or its policy was refused for its own content.
    RouteRefused,
    /// An EgressDenyPolicy forbids what the route matches.
    RouteDenied,
    /// Neither the policy nor the host says which AWS region a request is to be signed for.
    RegionUnknown,
    /// The Google token was not obtained.
    TokenUnavailable,
    /// The Google token is past its end.
    TokenExpired,
    /// The filter never got a configuration.
    NoConfiguration,
    /// Envoy refused a call that the verdict needs.
    HostCallFailed,
    /// The connection carried no SNI, or one that is no plain name.
    SniMissing,
    /// `:authority` names another host than the SNI.
    SniMismatch,
    /// `:authority` names another host or port than the CONNECT target.
    TargetMismatch,
    /// `:authority` or the CONNECT target has no canonical form.
    AuthorityMalformed,
    /// The path can be read in two ways, on a host whose rules name endpoints.
    PathNotCanonical,
    /// A header name is no token (RFC 9110, 5.1).
    HeaderNameMalformed,
    /// The request cannot be signed as it is: a signed header is not text, its path is no URL's, or its body has no
    /// end to wait for (gRPC).
    Unsignable,
    /// Each chunk of the body is signed with the key that the agent does not have.
    ChunkSigned,
    /// The agent went away before the whole body had arrived.
    RequestIncomplete,
    /// The body is larger than what may be buffered.
    BodyTooLarge,
    /// Cleartext HTTP to a host that rules name, or a scheme other than `https` inside TLS.
    Cleartext,
    /// TRACE, CONNECT, or a method that no rule lists.
    MethodNotAllowed,
    /// The upstream could not be reached or verified.
    UpstreamRefused,
    /// The answer is encoded, and its body is to be searched for credentials.
    AnswerEncoded,
    /// Too much is buffered already.
    Overloaded,
}

/// What the agent is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coarse {
    /// Policy does not allow the request.
    DeniedByPolicy,
    /// No credential can be given now.
    CredentialUnavailable,
    /// SNI, authority and CONNECT target disagree.
    Misdirected,
    /// The request's head is ambiguous.
    BadPath,
    /// The request has a form that cannot be signed.
    Unsignable,
    /// The body is too large.
    TooLarge,
    /// Cleartext HTTP.
    Cleartext,
    /// The method is not allowed.
    MethodNotAllowed,
    /// The upstream refused.
    UpstreamRefused,
    /// The gateway is at a limit.
    Overloaded,
}

/// Whether the same request may succeed if it is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It may.
    MayHelp,
    /// It will not: the answer says so with `x-should-retry: false`, which the SDKs of OpenAI and Anthropic obey.
    Useless,
}

impl Denial {
    /// A refusal that no rule made.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Denial { reason, route: None }
    }

    /// HTTP status of the local answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.reason {
            // 421 asks a client to try another connection (RFC 9110, 15.5.20), which mends no malformed name.
            Reason::AuthorityMalformed => 400,
            reason => reason.coarse().status(),
        }
    }

    /// Headers of the local answer.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, &'static str)> {
        self.reason.coarse().headers()
    }

    /// Body of the local answer: `{"error":{"type","message"}}`, as the SDKs of the providers show it.
    #[must_use]
    pub fn body(&self) -> String {
        self.reason.coarse().body()
    }
}

impl From<Reason> for Denial {
    fn from(reason: Reason) -> Self {
        Denial::new(reason)
    }
}

impl Reason {
    /// What the agent is told.
    #[must_use]
    pub fn coarse(self) -> Coarse {
        match self {
            Reason::HostNotListed
            | Reason::EndpointNotListed
            | Reason::ModelNotListed
            | Reason::ModelUnreadable
            | Reason::PortNotListed
            | Reason::RouteDenied
            | Reason::ClusterNotAllowed => Coarse::DeniedByPolicy,
            Reason::CredentialUnsealable
            | Reason::SecretNotFound
            | Reason::KeyNotFound
            | Reason::InvalidSecret
            | Reason::NoPolicy
            | Reason::RouteRefused
            | Reason::RegionUnknown
            | Reason::TokenUnavailable
            | Reason::TokenExpired
            | Reason::NoConfiguration
            | Reason::HostCallFailed => Coarse::CredentialUnavailable,
            Reason::SniMissing
            | Reason::SniMismatch
            | Reason::TargetMismatch
            | Reason::AuthorityMalformed => Coarse::Misdirected,
            Reason::PathNotCanonical | Reason::HeaderNameMalformed => Coarse::BadPath,
            Reason::Unsignable | Reason::ChunkSigned | Reason::RequestIncomplete => Coarse::Unsignable,
            Reason::BodyTooLarge => Coarse::TooLarge,
            Reason::Cleartext => Coarse::Cleartext,
            Reason::MethodNotAllowed => Coarse::MethodNotAllowed,
            Reason::UpstreamRefused | Reason::AnswerEncoded => Coarse::UpstreamRefused,
            Reason::Overloaded => Coarse::Overloaded,
        }
    }

    /// The exact cause, as records name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::HostNotListed => "host_not_listed",
            Reason::EndpointNotListed => "endpoint_not_listed",
            Reason::ModelNotListed => "model_not_listed",
            Reason::ModelUnreadable => "model_unreadable",
            Reason::PortNotListed => "port_not_listed",
            Reason::ClusterNotAllowed => "cluster_not_allowed",
            Reason::CredentialUnsealable => "credential_unsealable",
            Reason::SecretNotFound => "secret_not_found",
            Reason::KeyNotFound => "key_not_found",
            Reason::InvalidSecret => "invalid_secret",
            Reason::NoPolicy => "no_policy",
            Reason::RouteRefused => "route_refused",
            Reason::RouteDenied => "route_denied",
            Reason::RegionUnknown => "region_unknown",
            Reason::TokenUnavailable => "token_unavailable",
            Reason::TokenExpired => "token_expired",
            Reason::NoConfiguration => "no_configuration",
            Reason::HostCallFailed => "host_call_failed",
            Reason::SniMissing => "sni_missing",
            Reason::SniMismatch => "sni_mismatch",
            Reason::TargetMismatch => "target_mismatch",
            Reason::AuthorityMalformed => "authority_malformed",
            Reason::PathNotCanonical => "path_not_canonical",
            Reason::HeaderNameMalformed => "header_name_malformed",
            Reason::Unsignable => "unsignable",
            Reason::ChunkSigned => "chunk_signed",
            Reason::RequestIncomplete => "request_incomplete",
            Reason::BodyTooLarge => "body_too_large",
            Reason::Cleartext => "cleartext",
            Reason::MethodNotAllowed => "method_not_allowed",
            Reason::UpstreamRefused => "upstream_refused",
            Reason::AnswerEncoded => "answer_encoded",
            Reason::Overloaded => "overloaded",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Coarse {
    /// The value of `x-keyward-reason`, and the `type` in the body.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Coarse::DeniedByPolicy => "denied_by_policy",
            Coarse::CredentialUnavailable => "credential_unavailable",
            Coarse::Misdirected => "misdirected",
            Coarse::BadPath => "bad_path",
            Coarse::Unsignable => "unsignable",
            Coarse::TooLarge => "too_large",
            Coarse::Cleartext => "cleartext",
            Coarse::MethodNotAllowed => "method_not_allowed",
            Coarse::UpstreamRefused => "upstream_refused",
            Coarse::Overloaded => "overloaded",
        }
    }

    /// HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Coarse::DeniedByPolicy | Coarse::Cleartext => 403,
            Coarse::Misdirected => 421,
            Coarse::BadPath | Coarse::Unsignable => 400,
            Coarse::TooLarge => 413,
            Coarse::MethodNotAllowed => 405,
            Coarse::CredentialUnavailable | Coarse::UpstreamRefused | Coarse::Overloaded => 503,
        }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    #[must_use]
    pub fn retry(self) -> Retry {
        match self {
            Coarse::UpstreamRefused | Coarse::Overloaded => Retry::MayHelp,
            _ => Retry::Useless,
        }
    }

    /// Headers of the local answer.
    #[must_use]
    pub fn headers(self) -> Vec<(&'static str, &'static str)> {
        let mut headers = vec![("content-type", "application/json"), ("x-keyward-reason", self.as_str())];
        if self.retry() == Retry::Useless {
            headers.push(("x-should-retry", "false"));
        }
        if self == Coarse::MethodNotAllowed {
            // RFC 9110, 15.5.6: a 405 names what is allowed; rules may list more.
            headers.push(("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        headers
    }

    /// Body of the local answer.
    #[must_use]
    pub fn body(self) -> String {
        self.body_teaching(self.teaching())
    }

    /// The same in other words: where the refusal is not the filter's, and it is known better what to do.
    #[must_use]
    pub fn body_teaching(self, teaching: &str) -> String {
        let message = format!("Keyward: {teaching} See docs/reasons.md#{}.", self.as_str());
        let body = Body { error: BodyError { kind: self.as_str(), message: &message } };
        // Plain strings always serialize; an empty body would still be a refusal.
        serde_json::to_string(&body).unwrap_or_default()
    }

    fn teaching(self) -> &'static str {
        match self {
            Coarse::DeniedByPolicy => {
                "no route of this gateway allows the request (host, port, path, method and model)."
            }
            Coarse::CredentialUnavailable => {
                "no credential can be given to this request now; the gateway's operator finds the cause in its status."
            }
            Coarse::Misdirected => {
                "the TLS server name, the request's host and the CONNECT target must be one plain name."
            }
            Coarse::BadPath => {
                "the request has a path or a header name that can be read in two ways; send it in canonical form."
            }
            Coarse::Unsignable => {
                "the gateway cannot sign a request of this form; send the body with a length and without chunk signatures."
            }
            Coarse::TooLarge => "the request's body is larger than the gateway may hold to sign it.",
            Coarse::Cleartext => "credentials travel over https only; ask for the same URL with https.",
            Coarse::MethodNotAllowed => "no route of this gateway allows this method.",
            Coarse::UpstreamRefused => {
                "the provider could not be reached, its certificate could not be verified, or its answer not be searched."
            }
            Coarse::Overloaded => "the gateway is at a limit; try again in a moment.",
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: BodyError<'a>,
}

#[derive(Serialize)]
struct BodyError<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
}

#[cfg(test)]
mod tests;
