//! Running a program that ends when its parent does, however that ends.
//!
//! The kernel is asked before the program begins (`PR_SET_PDEATHSIG`, which `execve` keeps), so there is no moment in
//! which the program runs untethered. The death signal is of the *thread* that started the child: see
//! [`crate::envoy::process::Spawner`].

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

/// The hidden subcommand by which `keyward` tethers its children.
pub(crate) const SUBCOMMAND: &str = "tethered";

/// A command that runs `program` tethered to this process. `keyward` is the path of this binary.
pub(crate) fn command(keyward: &Path, program: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(keyward);
    command.arg(SUBCOMMAND).arg(getpid().as_raw_nonzero().to_string()).arg(program);
    command
}

/// Becomes the program, tethered to the process `parent`; returns only when that cannot be done.
pub(crate) fn become_program(parent: i32, command: &[OsString]) -> io::Error {
    let [program, arguments @ ..] = command else {
        return io::Error::new(io::ErrorKind::InvalidInput, "no program");
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // It may have ended before the kernel was asked.
    if getppid() != Pid::from_raw(parent) {
        return io::Error::other("the parent has ended");
    }
    Command::new(program).args(arguments).exec()
}
