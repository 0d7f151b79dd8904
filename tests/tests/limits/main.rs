//! What an agent, a connection and a stream may hold, and what happens beyond: each row of `docs/limits.md`, on a
//! real Envoy.

mod connections;
mod floods;
mod heads;
mod pressure;
mod slow;
mod streams;
