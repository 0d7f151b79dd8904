//! A proxy-wasm host for the built module, with the phases of Envoy: what a map call may do when, what it answers
//! when it may not, who sees a local reply. It runs under wasmtime, so that a test needs neither sockets nor Envoy and
//! can count every call.
//!
//! Its rules are those of Envoy 1.40 and are checked against it: `tests/traces.rs` compares it, call by call, with what a
//! probe module saw in both.
//! Deliberately absent: bodies of answers, trailers, gRPC, shared data. A module that imports them is loaded, and traps
//! when it calls them.

mod abi;
mod imports;
mod maps;
mod state;
mod vm;
mod wasi;

pub use maps::Headers;
pub use state::{HttpCall, LocalReply, LogLine};
pub use vm::{Action, Code, Root, Stream, Trap, Vm};
