//! A structural proof over generated configuration, for tests: it reads the resources as Envoy would, and lists what
//! is wrong with them. It knows nothing of how they were made.

mod cases;
mod claims;
mod connection;
mod decisions;
mod edge;
mod mutations;
mod reading;

pub(super) use self::claims::violations;
pub(super) use self::reading::Configuration;
