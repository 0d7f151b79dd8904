//! `keyward dev`: the controller and an Envoy for each gateway, around a directory of manifests.

mod access;
mod ages;
mod args;
mod capacity;
pub(crate) mod control;
mod envoys;
pub(crate) mod event;
pub(crate) mod find;
mod gateway;
mod manifests;
mod outline;
mod output;
mod peers;
mod ports;
mod report;
mod run;
mod secrets;
pub(crate) mod status;
pub(crate) mod summary;
mod tokens;
pub(crate) mod trust;

use std::process::ExitCode;

pub use args::Args;

use self::output::{Format, Output};
use crate::cli::Failure;
use crate::hardening;
use crate::signals::{self, Signals};
use crate::source::{Overrides, SecretFlag};
use crate::terminal::Looks;

pub(crate) use outline::{Outline, outlines};
pub(crate) use output::Sink;

/// Runs until interrupted. To be called while there is one thread.
///
/// # Errors
/// [`Failure`] where it cannot start, or cannot go on.
pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let flags = flags(&args.secret)?;
    let format = if args.json { Format::Json } else { Format::Text(Looks::of(&std::io::stdout())) };
    // Envoy ends with the thread that started it, so it is started from here: this thread lives as long as we do.
    runtime()?.block_on(async {
        // Before anything is started, so that no signal finds a half-started gateway.
        let mut signals = Signals::new(&signals::ENDING).map_err(Failure::failed)?;
        let sink = Box::new(Output::new(format, std::io::stdout()));
        run::Dev::run(args, flags, sink, async { Ok(signals::exit_code(signals.next().await)) }).await
    })
}

/// Runs until `end` says with what to end, telling `sink` of everything. For `keyward run`, in [`runtime`].
///
/// # Errors
/// As [`run()`].
pub(crate) async fn run_until(
    args: Args,
    flags: Overrides,
    sink: Box<dyn Sink>,
    end: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    run::Dev::run(args, flags, sink, end).await
}

/// What everything here runs in.
///
/// # Errors
/// The system has no room for its threads.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().map_err(Failure::failed)
}

/// The values of `--secret`, which are in no environment from here on. To be called while there is one thread.
///
/// # Errors
/// A variable is not set.
pub(crate) fn flags(secrets: &[SecretFlag]) -> Result<Overrides, Failure> {
    let variables: Vec<String> = secrets.iter().map(|flag| flag.variable.clone()).collect();
    let taken = hardening::take_variables(&variables)?;
    let mut overrides = Overrides::default();
    for flag in secrets {
        let value = taken.find(&flag.variable).ok_or_else(|| {
            Failure::Usage(format!("--secret {}: the variable {} is not set", flag.secret, flag.variable))
        })?;
        // Exposed to become the value of the Secret that a policy reads.
        overrides.flag(flag.secret.clone(), flag.key.clone(), value.expose().to_vec());
    }
    Ok(overrides)
}
