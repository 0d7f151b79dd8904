//! `Backend`: another upstream for a rule. Accepted with any spec, unsupported until it is built.

use super::{Object, Opaque};

/// A named upstream that a rule's `backendRefs` may point at.
pub type Backend = Object<Opaque, Opaque>;
