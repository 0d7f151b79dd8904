//! The controller: manifests become one immutable snapshot of Envoy configuration, served over delta ADS.
//!
//! source → [`inputs::Inputs`] → [`compile`] → [`plan::GatewayPlan`] → [`envoy`] resources → [`xds`] sessions.
//! Each step is a pure function of the one before it; only the two ends touch the outside.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "keyward builds for Linux only: it rests on namespaces, /proc and signals that other systems do not have"
);

pub mod certificates;
pub mod cli;
pub mod compile;
pub mod conditions;
mod core_dumps;
pub mod destination;
pub mod dev;
pub mod envoy;
pub mod google;
pub mod hardening;
pub mod inputs;
mod inspector;
mod metrics;
mod parallel;
pub mod plan;
pub mod run;
pub mod sandbox;
pub mod signals;
pub mod source;
pub mod state;
mod terminal;
mod tether;
pub mod xds;
