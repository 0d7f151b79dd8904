//! The outer stage: makes the namespaces, starts the inner stage in them, and ends as that does.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::sched::{CloneFlags, unshare};
use rustix::process::{Pid, Signal, getegid, geteuid, getppid, set_parent_process_death_signal};

use super::message::{Refused, Report};
use super::stage::{self, Name};
use super::{channel, privileges};

/// Runs the stage; returns the exit code.
pub(super) fn run(parent: i32, own_network: bool) -> u8 {
    match inner(parent, own_network) {
        Ok(status) => code(status),
        Err(refused) => {
            // Where nobody listens any more there is nobody to tell.
            let _ = tell(&Report::Refused(refused));
            1
        }
    }
}

fn tell(report: &Report) -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    (&socket).write_all(&channel::encode(report)?)
}

fn inner(parent: i32, own_network: bool) -> Result<ExitStatus, Refused> {
    namespaces(own_network)?;
    privileges::keep_over_execve().map_err(Refused::kernel("capabilities in a user namespace"))?;
    // Not before: the kernel forgets it when the user namespace changes.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(Refused::failed)?;
    if getppid() != Pid::from_raw(parent) {
        return Err(Refused::failed("keyward has ended"));
    }
    // The socket, its standard input, goes on to it.
    stage::command(Name::Inner, own_network).status().map_err(Refused::failed)
}

fn namespaces(own_network: bool) -> Result<(), Refused> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let kernel = |what: &'static str| move |error: nix::Error| Refused::kernel(what)(error.into());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(kernel("a user namespace"))?;
    let map = |file: &str, line: String| {
        fs::write(format!("/proc/self/{file}"), line)
            .map_err(Refused::kernel("the user's id in a user namespace"))
    };
    // Groups cannot be dropped inside: a group may be there to deny something.
    map("setgroups", "deny".to_owned())?;
    map("uid_map", format!("{user} {user} 1"))?;
    map("gid_map", format!("{group} {group} 1"))?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC)
        .map_err(kernel("a PID, a mount and an IPC namespace"))?;
    if own_network {
        unshare(CloneFlags::CLONE_NEWNET).map_err(kernel("a network namespace"))?;
    }
    Ok(())
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| signal + 128));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
