//! The certificates that agents see: a certificate authority per gateway, and the leaves that it signs on demand.
//!
//! Pure but for the randomness of keys: time comes in as an argument, files are [`crate::state`]'s.

pub mod ca;
pub mod leaf;
pub mod leaves;
mod mint;
mod name;
mod rate;

pub use ca::Authority;
pub use leaves::{Answer, Leaves, PER_SECOND as LEAVES_PER_SECOND};
pub use mint::{MintPolicy, Others};
