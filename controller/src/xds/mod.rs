//! Envoy configuration over delta ADS: what is served ([`snapshot`]), what one stream is owed ([`session`]), what
//! the proxies made of it ([`acks`]), and the thin gRPC server around them ([`server`]).
//!
//! Absent on purpose: the state-of-the-world variants, and any knowledge of what the resources mean.

pub mod acks;
mod connection;
mod counts;
mod gateway;
mod kind;
pub mod server;
pub mod session;
pub mod snapshot;
mod subscription;

pub use counts::{Asked, Counts};
pub use gateway::GatewayHandle;
pub use kind::Kind;
pub use server::{Callers, Clock, Server};
pub use snapshot::{Resource, Snapshot};
