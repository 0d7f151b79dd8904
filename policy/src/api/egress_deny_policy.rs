//! `EgressDenyPolicy`: inverts the route that it targets.

use serde::Deserialize;

use super::Object;
use super::reference::TargetReference;
use super::status::PolicyStatus;

/// Refuses what its targets would allow.
pub type EgressDenyPolicy = Object<Spec, PolicyStatus>;

/// What a policy wants.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Spec {
    /// The routes. Exactly one of this and [`Spec::target_ref`].
    pub target_refs: Option<Vec<TargetReference>>,
    /// The route.
    pub target_ref: Option<TargetReference>,
    /// How a refusal looks.
    pub deny_response: Option<DenyResponse>,
}

/// How a refusal looks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct DenyResponse {
    /// HTTP status.
    pub status_code: Option<u16>,
    /// Body.
    pub message: Option<String>,
}
