//! The namespaces that the suite runs in: a network of its own, where names, port 443 and private addresses are what
//! the suite says, and mounts of its own, where the machine's resolver and CA files are replaced.

use std::fmt;
use std::process::{Command, Stdio};

use crate::arguments::Arguments;

/// Why there is no namespace.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The command is missing.
    NoUnshare(std::io::Error),
    /// The kernel, or what confines this process, refuses. What each attempt said.
    Kernel(Vec<String>),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NoUnshare(error) => {
                write!(f, "the command `unshare` (util-linux) cannot be started: {error}")
            }
            Refused::Kernel(attempts) => {
                let attempts = attempts.join("; ");
                write!(
                    f,
                    "the kernel refuses network and mount namespaces ({attempts}): run as root, or allow user namespaces \
                     (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces, or the container's profile)"
                )
            }
        }
    }
}

const OWN: [&str; 2] = ["--net", "--mount"];
const AS_USER: [&str; 4] = ["--user", "--map-root-user", "--net", "--mount"];

/// How this machine lets namespaces be made: the arguments of `unshare`.
///
/// # Errors
/// [`Refused`] when it does not.
pub(crate) fn find() -> Result<&'static [&'static str], Refused> {
    let mut refusals = Vec::new();
    let root = rustix::process::geteuid().is_root();
    let ways: &[&'static [&'static str]] = if root { &[&OWN, &AS_USER] } else { &[&AS_USER] };
    for way in ways {
        let tried = Command::new("unshare").args(*way).arg("true").stdin(Stdio::null()).output();
        match tried {
            Ok(output) if output.status.success() => return Ok(way),
            Ok(output) => refusals.push(format!(
                "`unshare {}`: {}",
                way.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            )),
            Err(error) => return Err(Refused::NoUnshare(error)),
        }
    }
    Err(Refused::Kernel(refusals))
}

/// This program again, as a worker in namespaces of its own.
pub(crate) fn worker(way: &[&str], arguments: &Arguments) -> std::io::Result<Command> {
    let mut command = Command::new("unshare");
    command.args(way).arg("--").arg(std::env::current_exe()?).arg("--worker").args(arguments.of_worker());
    if arguments.proxy.is_none() {
        harness::artefacts::hand_to(&mut command);
    }
    // What is tested is how the machine's own bundle is found.
    command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    Ok(command)
}
