//! Keyward's policy, as pure functions: configuration bytes to rules, a request to a verdict, a verdict to edits.
//!
//! Absent on purpose: I/O, clocks, randomness, host calls, async. Time comes in as an argument; the edges apply
//! what the functions here return.

pub mod api;
pub mod authority;
pub mod aws;
pub mod bodies;
pub mod decide;
pub mod denial;
pub mod genai;
pub mod glob;
pub mod google;
pub mod header_map;
pub mod host;
pub mod metric;
pub mod model;
pub mod outbox;
pub mod path;
mod protobuf;
pub mod provider;
pub mod query;
pub mod record;
pub mod rules;
pub mod scrub;
pub mod seal;
pub mod secret;
pub mod trace;
pub mod usage;
pub mod wire;
