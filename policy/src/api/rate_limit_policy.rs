//! `RateLimitPolicy`: limits on requests. Accepted with any spec, unsupported until it is built.

use super::{Object, Opaque};

/// How many requests a target may get.
pub type RateLimitPolicy = Object<Opaque, Opaque>;
