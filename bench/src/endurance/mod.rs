//! `keyward-bench endurance`: what stays behind after ten thousand rotations, and what fails while everything that can
//! end is ended.
//!
//! Two parts. *Rotations*: `keyward dev` as a user runs it, a key set again and again, a steady load beside it.
//! *Mixed*: load of every kind while keys rotate, names and hosts come and go, and the controller and the Envoy are
//! killed in turn. `keyward dev` takes its Envoy with it when it is killed, by design; so here, as in a cluster, the
//! controller is a process of its own ([`controller`]), put together from the same parts, beside an Envoy that
//! outlives it.

mod agents;
pub mod controller;
mod mixed;
mod rotations;
mod series;
mod stage;

use std::time::Duration;

use crate::report::Report;
use crate::scale::Build;

/// Rotate ten thousand times, then mix loads while controller and Envoy are killed in turn
#[derive(clap::Args)]
pub struct Args {
    /// How long the mixed load lasts; 0 leaves it out
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// How many rotations; 0 leaves them out
    #[arg(long, default_value_t = 10_000)]
    rotations: usize,
    /// Seconds between two kills; the controller and the Envoy take turns
    #[arg(long, default_value_t = 300)]
    kill_every: u64,
    /// Take the build of `keyward` that an earlier run left in target/bench
    #[arg(long)]
    no_build: bool,
}

/// Runs both. Panics when it cannot measure.
pub async fn run(args: &Args) -> Vec<Report> {
    let mut reports = Vec::new();
    if args.rotations > 0 {
        reports.push(rotations::run(args.rotations, Build::of(args.no_build)).await);
    }
    if args.minutes > 0 {
        let lasts = Duration::from_secs(args.minutes * 60);
        reports.push(mixed::run(lasts, Duration::from_secs(args.kill_every)).await);
    }
    reports
}
