//! `CredentialInjectionPolicy`: which Secret fills which place of the requests of a route or gateway.

use serde::Deserialize;

use super::reference::{ParentReference, SecretReference, TargetReference};
use super::status::PolicyStatus;
use super::{Object, Opaque};

/// Gives the requests of its targets a credential.
pub type CredentialInjectionPolicy = Object<Spec, PolicyStatus>;

/// What a policy wants.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Spec {
    /// What it attaches to, in the spelling before [`Spec::target_refs`]. Exactly one of the two.
    pub parent_refs: Option<Vec<ParentReference>>,
    /// What it attaches to.
    pub target_refs: Option<Vec<TargetReference>>,
    /// The Secret, in the policy's own namespace.
    pub secret_ref: SecretReference,
    /// The key of the Secret.
    #[serde(default = "token")]
    pub secret_key: String,
    /// The place that is filled.
    pub target: Target,
    /// Header name; exactly with [`Target::Header`].
    pub header_name: Option<String>,
    /// Put before the value unless it already starts with it; only with [`Target::Header`].
    pub value_prefix: Option<String>,
    /// Query parameter name; exactly with [`Target::QueryParam`].
    pub query_param_name: Option<String>,
    /// How requests are signed; exactly with [`Target::ProviderAuth`].
    pub provider_auth: Option<ProviderAuth>,
    /// Further headers to remove before injecting.
    #[serde(default)]
    pub strip_headers: Vec<String>,
    /// Further query parameters to remove before injecting.
    #[serde(default)]
    pub strip_query: Vec<String>,
    /// Which Secret, by who is asking.
    pub credential_selector: Option<CredentialSelector>,
}

/// The key of a Secret that a policy uses when it names none.
pub const DEFAULT_SECRET_KEY: &str = "token";

fn token() -> String {
    DEFAULT_SECRET_KEY.to_owned()
}

/// The place of a request that is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Target {
    /// A header.
    Header,
    /// A query parameter.
    QueryParam,
    /// The provider's own way of signing requests.
    ProviderAuth,
}

/// How requests are signed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderAuth {
    /// The scheme.
    #[serde(rename = "type")]
    pub kind: ProviderAuthKind,
    /// AWS region; absent means the host's.
    pub region: Option<String>,
    /// AWS service; absent means `bedrock`.
    pub service: Option<String>,
    /// For `GCPServiceAccount`.
    pub gcp: Option<Gcp>,
}

/// The schemes of [`ProviderAuth`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum ProviderAuthKind {
    /// AWS Signature Version 4.
    AWSv4,
    /// A Google service account.
    GCPServiceAccount,
}

/// How a Google service account is used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gcp {
    /// OAuth scopes.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Audience of a self-signed token.
    pub audience: Option<String>,
    /// Whether the account is exchanged for a token.
    pub mode: Option<GcpMode>,
}

/// What is sent to Google.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum GcpMode {
    /// A token that the account was exchanged for.
    AccessToken,
    /// A token that the account's key signed.
    SelfSignedJwt,
}

/// Picks the Secret by something that the agent cannot forge.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialSelector {
    /// By what.
    pub by: SelectBy,
    /// The choices.
    #[serde(default)]
    pub entries: Vec<Opaque>,
    /// What becomes of others.
    pub default: Option<SelectDefault>,
}

/// What a [`CredentialSelector`] looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum SelectBy {
    /// The SAN of the verified client certificate.
    ClientCertificateSan,
    /// The user authenticated at the proxy.
    ProxyUser,
    /// The client's address.
    SourceCidr,
}

/// What becomes of a caller that no entry names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SelectDefault {
    /// Refused.
    Deny,
}
