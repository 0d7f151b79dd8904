//! `AIProviderRoute`: which requests to which provider are let through, and may get a credential.

use serde::Deserialize;

use super::reference::ParentReference;
use super::status::RouteStatus;
use super::{Object, Opaque};

/// Attaches hosts of a provider to the listeners of gateways.
pub type AiProviderRoute = Object<Spec, RouteStatus>;

/// What a route wants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Spec {
    /// The gateways.
    #[serde(default)]
    pub parent_refs: Vec<ParentReference>,
    /// A request is covered when any match of any rule fits.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// Matches that share filters and backends.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// Any of these.
    #[serde(default)]
    pub matches: Vec<Match>,
    /// What is done to a request besides.
    #[serde(default)]
    pub filters: Vec<Filter>,
    /// Where a request goes instead of the host it names.
    #[serde(default)]
    pub backend_refs: Vec<BackendReference>,
}

/// Requests to a provider.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// The provider, in any case ([`crate::provider::Provider::parse`]).
    pub provider: String,
    /// Exact names, or `*.suffix` for one label. Required for `custom`; narrows a known provider.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Globs on the path; empty means any.
    #[serde(default)]
    pub endpoints: Vec<String>,
    /// Globs on the model that the request names; empty means any.
    #[serde(default)]
    pub models: Vec<String>,
    /// Methods; empty means the default ones.
    #[serde(default)]
    pub methods: Vec<String>,
}

/// What is done to a request besides injecting.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Filter {
    /// Which of the fields below holds.
    #[serde(rename = "type")]
    pub kind: FilterKind,
    /// For `TokenBudget`.
    pub token_budget: Option<TokenBudget>,
    /// For `ExtensionRef`.
    pub extension_ref: Option<Opaque>,
}

/// The kinds of [`Filter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum FilterKind {
    /// A bound on tokens.
    TokenBudget,
    /// A filter that another object describes.
    ExtensionRef,
}

/// Bounds on the tokens that a route may use.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TokenBudget {
    /// Tokens per day.
    pub max_tokens_per_day: Option<u64>,
    /// Output tokens per request.
    pub max_output_tokens_per_request: Option<u64>,
}

/// A backend, with its share of the requests.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendReference {
    /// API group.
    pub group: Option<String>,
    /// Kind.
    pub kind: Option<String>,
    /// Namespace.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Port.
    pub port: Option<u16>,
    /// Share.
    pub weight: Option<u32>,
}
