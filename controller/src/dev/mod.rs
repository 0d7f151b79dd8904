//! `keyward dev`: the controller and an Envoy for each gateway, around a directory of manifests.

mod access;
mod args;
mod capacity;
pub(crate) mod control;
mod envoys;
mod event;
pub(crate) mod find;
mod gateway;
mod manifests;
mod output;
mod peers;
mod ports;
mod report;
mod run;
mod secrets;
mod signals;
mod tokens;
mod trust;

use std::process::ExitCode;

pub use args::Args;

use crate::cli::Failure;

/// Runs until interrupted.
///
/// # Errors
/// [`Failure`] where it cannot start, or cannot go on.
pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    // Envoy ends with the thread that started it, so it is started from here: this thread lives as long as we do.
    runtime.block_on(run::Dev::start(args))
}
