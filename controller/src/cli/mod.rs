//! The command line: what `keyward` accepts, and the exit code each command ends with.

mod completions;
mod explain;
mod findings;
mod keyring;
mod offline;
mod print;
pub(crate) mod progress;
mod remedies;
mod seal;
mod secret;
mod status;
mod table;
mod validate;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::sandbox::ProgramError;
use crate::terminal::Looks;
use crate::{core_dumps, dev, run as run_command, sandbox, tether};

/// Keeps API keys out of agents: an Envoy gateway puts the real credential in on the way to the provider.
#[derive(Parser)]
#[command(name = "keyward", version, max_term_width = 110, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Examples:
  ANTHROPIC_API_KEY=... keyward run -- claude
  keyward validate manifests
  keyward explain --manifests manifests POST https://api.anthropic.com/v1/messages
  keyward dev --manifests manifests --secret anthropic-credentials=ANTHROPIC_API_KEY
  keyward status
  keyward secret set anthropic-credentials --from-env api-key=NEW_KEY

`keyward help COMMAND` says more about each, with examples. docs/troubleshooting.md explains
every reason and message.

Exit codes:
  0      done; `validate` found no problem, `explain` would let it pass, `status`: all serve
  1      failed; of `validate`, `explain` and `status`: the answer is no
  2      usage: the command line cannot be carried out as it is
  126    of `run`: the command is there and cannot be executed
  127    of `run`: there is no such command
  128+N  ended by signal N
`run` returns what its command returns.";

#[derive(Subcommand)]
enum Command {
    /// Run the controller and an Envoy for each EgressGateway in a directory of manifests
    Dev(dev::Args),
    /// Run a command whose API keys stay here: what it sends through the gateway gets them on the way
    Run(Box<run_command::Args>),
    /// Say everything that is wrong with a directory of manifests
    Validate(validate::Args),
    /// Say what a gateway would do with a request
    Explain(explain::Args),
    /// Say how a running `keyward dev` or `keyward run` stands
    Status(status::Args),
    /// Change a Secret of a running `keyward dev`
    #[command(after_help = secret::GROUP_EXAMPLES)]
    Secret {
        #[command(subcommand)]
        command: secret::Command,
    },
    /// Seal the credentials of a filter configuration, for an Envoy that runs without a controller
    Seal(seal::Args),
    /// Make sealing keys
    #[command(after_help = keyring::GROUP_EXAMPLES)]
    Keyring {
        #[command(subcommand)]
        command: keyring::Command,
    },
    /// Print what a shell needs to complete keyward's commands and flags
    Completions(completions::Args),
    /// Become a program that ends with this process's parent
    #[command(hide = true, name = tether::SUBCOMMAND)]
    Tethered {
        parent: i32,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
    /// Become a stage of the isolation of a command
    #[command(hide = true, name = sandbox::SUBCOMMAND)]
    Sandboxed(sandbox::Stage),
}

/// Parses the command line and carries it out.
#[must_use]
pub fn run() -> ExitCode {
    core_dumps::off();
    let cli = Cli::parse();
    logging();
    let result = match cli.command {
        Command::Dev(args) => dev::run(args),
        Command::Run(args) => run_command::run(*args),
        Command::Validate(args) => validate::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Completions(args) => completions::run(&args, <Cli as clap::CommandFactory>::command()),
        Command::Secret { command } => secret::run(command),
        Command::Seal(args) => seal::run(&args),
        Command::Keyring { command } => keyring::run(&command),
        Command::Tethered { parent, command } => {
            Err(Failure::failed(tether::become_program(parent, &command)))
        }
        Command::Sandboxed(stage) => sandbox::become_stage(&stage),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("keyward: {failure}");
            failure.exit_code()
        }
    }
}

/// The library that signs for AWS writes what it signs at `trace`: queries, and a session token among the headers. No
/// level shows that.
const UNSHOWN: &str = "aws_sigv4";

/// Our own log goes to standard error; `KEYWARD_LOG` sets its level (`info`, `keyward=debug`, …), `NO_COLOR` its looks.
fn logging() {
    let filter =
        EnvFilter::builder().with_env_var("KEYWARD_LOG").with_default_directive(LevelFilter::ERROR.into());
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(Looks::of(&std::io::stderr()) == Looks::Coloured)
        .with_env_filter(filter.from_env_lossy())
        .finish()
        .with(filter_fn(|event| !event.target().starts_with(UNSHOWN)))
        .init();
}

/// Nothing that runs answers at a control socket.
fn no_answer(socket: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("no `keyward` answers at {}: {error}; is it running?", socket.display()))
}

/// Why a command failed, in words that name the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The arguments cannot be carried out as given: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The command could not be carried out: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// The command of `keyward run` cannot be run: exit code 126 or 127.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Program(error) => ExitCode::from(error.exit_code()),
            Failure::Usage(_) => ExitCode::from(2),
            Failure::Failed(_) => ExitCode::from(1),
        }
    }

    /// Standard output cannot be written to.
    pub(crate) fn output(error: std::io::Error) -> Self {
        Failure::Failed(format!("standard output: {error}"))
    }

    /// A failure whose message is the error's.
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Failure::Failed(error.to_string())
    }
}
