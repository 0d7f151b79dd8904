//! `FallbackRoutingPolicy`: other backends when the first fails. Accepted with any spec, unsupported until it is built.

use super::{Object, Opaque};

/// Where a request goes when its backend fails.
pub type FallbackRoutingPolicy = Object<Opaque, Opaque>;
