//! The `keyward` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    controller::cli::run()
}
