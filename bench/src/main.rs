//! The command line of the benchmarks. `make bench` runs them; each runs alone too, with figures of one's own.
//!
//! Exit code 1: a stated limit was missed, and the last lines say which.

use std::process::ExitCode;

use bench::report::{Limit, Report};
use bench::{cost, credentials, endurance, fairness, handshake, latency, matching, scale, telemetry};
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
    /// What `make bench` runs: the next seven, as they are without arguments
    All,
    /// CPU time of Envoy for a request
    Cost(cost::Args),
    /// CPU time of Envoy for a request, by what is done with its credential
    Credentials(credentials::Args),
    /// p50 and p99 at a fixed rate; time to the first event of a stream
    Latency(latency::Args),
    /// Time of CONNECT and TLS handshake, for names seen before and for new ones
    Handshake(handshake::Args),
    /// Whether a crowd of other agents moves an agent's p99, or a route host's handshake
    Fairness(fairness::Args),
    /// A verdict among ten routes and among ten thousand
    Matching(matching::Args),
    /// Whether a collector that hangs moves p50 and p99, and what telling costs; what becomes of every span
    Telemetry(telemetry::Args),
    Scale(scale::Args),
    Endurance(endurance::Args),
    #[command(hide = true)]
    EnduranceController(endurance::controller::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut terminate = signal(SignalKind::terminate()).expect("a signal handler");
    tokio::select! {
        missed = run(cli.command) => verdict(&missed),
        // Dropping the benchmark ends what it started.
        _ = tokio::signal::ctrl_c() => ExitCode::from(130),
        _ = terminate.recv() => ExitCode::from(143),
    }
}

/// Runs it, and returns the limits that were missed.
async fn run(command: Command) -> Vec<Limit> {
    match command {
        Command::All => all().await,
        Command::Cost(args) => cost::run(&args).await.finish(),
        Command::Credentials(args) => credentials::run(&args).await.finish(),
        Command::Latency(args) => latency::run(&args).await.finish(),
        Command::Handshake(args) => handshake::run(&args).await.finish(),
        Command::Fairness(args) => fairness::run(&args).await.finish(),
        Command::Matching(args) => matching::run(&args).finish(),
        Command::Telemetry(args) => telemetry::run(&args).await.finish(),
        Command::Scale(args) => scale::run(&args).await.finish(),
        Command::Endurance(args) => {
            endurance::run(&args).await.into_iter().flat_map(Report::finish).collect()
        }
        Command::EnduranceController(args) => {
            endurance::controller::run(&args).await;
            Vec::new()
        }
    }
}

async fn all() -> Vec<Limit> {
    let mut missed = cost::run(&defaults()).await.finish();
    missed.extend(latency::run(&defaults()).await.finish());
    missed.extend(handshake::run(&defaults()).await.finish());
    missed.extend(fairness::run(&defaults()).await.finish());
    missed.extend(matching::run(&defaults()).finish());
    missed.extend(credentials::run(&defaults()).await.finish());
    missed.extend(telemetry::run(&defaults()).await.finish());
    missed
}

/// The arguments of a benchmark that is given none.
fn defaults<A: clap::Args>() -> A {
    let command = A::augment_args(clap::Command::new("bench"));
    A::from_arg_matches(&command.get_matches_from(["bench"])).expect("arguments that all have defaults")
}

/// Names the limits that were missed.
fn verdict(missed: &[Limit]) -> ExitCode {
    for limit in missed {
        eprintln!("{}", limit.text());
    }
    ExitCode::from(u8::from(!missed.is_empty()))
}
