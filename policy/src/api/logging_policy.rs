//! `LoggingPolicy`: what is recorded of requests. Accepted with any spec, unsupported until it is built.

use super::{Object, Opaque};

/// What is recorded of a target's requests.
pub type LoggingPolicy = Object<Opaque, Opaque>;
