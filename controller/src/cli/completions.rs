//! `keyward completions`: what a shell needs to complete this command line.

use std::io::Write as _;
use std::process::ExitCode;

use clap_complete::Shell;

use super::{Failure, print};

/// Print what a shell needs to complete keyward's commands and flags
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  source <(keyward completions bash)                                      # this shell
  keyward completions bash > ~/.local/share/bash-completion/completions/keyward
  keyward completions zsh > \"${fpath[1]}/_keyward\"
  keyward completions fish > ~/.config/fish/completions/keyward.fish
  keyward completions powershell >> $PROFILE
  keyward completions elvish >> ~/.config/elvish/rc.elv";

pub(super) fn run(args: &Args, mut command: clap::Command) -> Result<ExitCode, Failure> {
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut text);
    print::text(|output| output.write_all(&text))?;
    Ok(ExitCode::SUCCESS)
}
