//! A part of a manifest that is accepted but not read.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// Any value. Its content is dropped on decoding: what holds one is unsupported, and says so in its conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opaque;

impl<'de> Deserialize<'de> for Opaque {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Opaque)
    }
}
