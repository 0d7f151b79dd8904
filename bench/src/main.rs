//! The command line of the benchmarks. `make bench` runs them; each runs alone too, with figures of one's own.
//!
//! Exit code 1: a stated limit was missed, and the last lines say which.

use std::process::ExitCode;

use bench::report::Report;
use clap::Parser;

/// What a request, a rotation and ten thousand hosts cost, beside what Envoy does by itself
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Scale(bench::scale::Args),
    Endurance(bench::endurance::Args),
    #[command(hide = true)]
    EnduranceController(bench::endurance::controller::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let reports: Vec<Report> = match Cli::parse().command {
        Command::Scale(args) => vec![bench::scale::run(&args).await],
        Command::Endurance(args) => bench::endurance::run(&args).await,
        Command::EnduranceController(args) => {
            bench::endurance::controller::run(&args).await;
            Vec::new()
        }
    };
    finish(&reports)
}

/// Prints and keeps every report; success when every limit held.
fn finish(reports: &[Report]) -> ExitCode {
    let held: Vec<bool> = reports.iter().map(Report::finish).collect();
    ExitCode::from(u8::from(held.contains(&false)))
}
