//! The command line of the benchmarks. `make bench` runs them; each runs alone too, with figures of one's own.
//!
//! Exit code 1: a stated limit was missed, and the last lines say which.

use std::process::ExitCode;

use bench::cost;
use bench::report::Report;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// What a request, a rotation and ten thousand hosts cost, beside what Envoy does by itself
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// CPU time of Envoy for a request
    Cost(cost::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut terminate = signal(SignalKind::terminate()).expect("a signal handler");
    tokio::select! {
        reports = run(cli.command) => finish(&reports),
        // Dropping the benchmark ends what it started.
        _ = tokio::signal::ctrl_c() => ExitCode::from(130),
        _ = terminate.recv() => ExitCode::from(143),
    }
}

async fn run(command: Command) -> Vec<Report> {
    match command {
        Command::Cost(args) => vec![cost::run(&args).await],
    }
}

/// Prints and keeps every report; success when every limit held.
fn finish(reports: &[Report]) -> ExitCode {
    let held: Vec<bool> = reports.iter().map(Report::finish).collect();
    ExitCode::from(u8::from(held.contains(&false)))
}
