//! `Namespace` of the core API: its labels say which listeners let routes of it attach.

use super::{Object, Opaque};

/// A `Namespace`; of its spec and status nothing is read.
pub type Namespace = Object<Option<Opaque>, Opaque>;

/// The label that every Namespace has: its name
/// (<https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-metadata-name>).
pub const NAME_LABEL: &str = "kubernetes.io/metadata.name";
