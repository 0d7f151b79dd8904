//! `keyward keyring new`: sealing keys for a filter that runs without our controller.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Failure, print};

/// What can be done with keyrings.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Print a new sealing key, in the form that KEYWARD_KEYRING and --keyring-file take
    #[command(after_help = "Example:\n  (umask 077; keyward keyring new --id 2026-11 > keyring)")]
    New {
        /// Names the key, so that a sealed value says which one opens it
        #[arg(long, default_value = "k1")]
        id: String,
    },
}

/// Of the command above.
pub(super) const GROUP_EXAMPLES: &str = "\
Example:
  (umask 077; keyward keyring new --id 2026-11 > keyring)";

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    let Command::New { id } = command;
    let mut key = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(key.as_mut_slice()).map_err(Failure::failed)?;
    let line = zeroize::Zeroizing::new(format!("{id}:{}", STANDARD.encode(key.as_slice())));
    policy::seal::Keyring::parse(&line).map_err(|error| Failure::Usage(format!("--id: {error}")))?;
    print::line(&line)?;
    Ok(ExitCode::SUCCESS)
}
