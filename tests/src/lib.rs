//! What the tests are built from: a provider to talk to, clients that say what a library would tidy up, the gateway
//! under test as a process, and a host for the module that behaves like Envoy.

pub mod admin;
pub mod artefacts;
pub mod client;
pub mod collector;
pub mod dump;
pub mod examples;
pub mod gateway;
pub mod google;
pub mod objects;
pub mod ports;
pub mod process;
pub mod provider;
pub mod run;
pub mod scenario;
pub mod sealed;
pub mod search;
pub mod software;
pub mod terminal;
pub mod tls;
#[cfg(feature = "wasm-host")]
pub mod wasm_host;
