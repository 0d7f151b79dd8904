//! What every object is made of: metadata, spec, status.

use serde::Deserialize;

use super::label_selector::Labels;

/// An object, without the `apiVersion` and `kind` that chose its type.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object<Spec, Status> {
    /// Who it is.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: Spec,
    /// What is so, as last written; never an input of anything.
    pub status: Option<Status>,
}

/// The parts of Kubernetes' `ObjectMeta` that are used. Its other fields are accepted and ignored: they speak of
/// storage and ownership, never of policy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Name, a DNS subdomain.
    pub name: String,
    /// Namespace; absent in a directory means `default`.
    pub namespace: Option<String>,
    /// Counts changes of the spec.
    pub generation: Option<i64>,
    /// RFC 3339; absent in a directory.
    pub creation_timestamp: Option<String>,
    /// Labels; only those of a Namespace are read.
    pub labels: Option<Labels>,
}
