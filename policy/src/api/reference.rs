//! References from one object to another.

use serde::Deserialize;

/// Gateway API's `ParentReference`: what a route (or, in an era, a policy) attaches to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ParentReference {
    /// API group. Absent means Gateway API's own group: an object that is not ours.
    pub group: Option<String>,
    /// Kind. Absent means Gateway API's `Gateway`.
    pub kind: Option<String>,
    /// Namespace; absent means the referrer's own.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// One listener of a gateway; absent means all that fit.
    pub section_name: Option<String>,
    /// One port of a gateway's listeners; absent means any.
    pub port: Option<u16>,
}

/// Gateway API's `LocalPolicyTargetReferenceWithSectionName`: what a policy speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TargetReference {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name, in the policy's own namespace.
    pub name: String,
    /// One section of the target.
    pub section_name: Option<String>,
}

/// A Secret, by name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretReference {
    /// Name.
    pub name: String,
    /// Namespace. Only the referrer's own may be named; another is refused in status.
    pub namespace: Option<String>,
}
