//! What `keyward` and the two stages say to each other.

use std::ffi::OsString;

use serde::{Deserialize, Serialize};

/// How a command is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// In namespaces.
    Isolated { own_network: bool },
    /// In none.
    Bare,
}

/// From `keyward` to the inner stage.
#[derive(Serialize, Deserialize)]
pub(super) enum Order {
    /// Hide these, and say whether everything is ready.
    Hide(Hidden),
    /// Run this. Its standard input comes along.
    Run(Command),
    /// Send the command this signal.
    Signal(i32),
    /// Let it go on, with the terminal or without.
    Continue { foreground: bool },
}

/// What the command does not see.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Hidden {
    pub(super) paths: Vec<OsString>,
    pub(super) runtime: Option<Runtime>,
}

/// A directory of which the command gets one of its own.
#[derive(Serialize, Deserialize)]
pub(super) struct Runtime {
    pub(super) directory: OsString,
    /// A file in it that the command sees all the same.
    pub(super) kept: Option<OsString>,
}

/// A command to run.
#[derive(Serialize, Deserialize)]
pub(super) struct Command {
    pub(super) argv: Vec<OsString>,
    pub(super) environment: Vec<(OsString, OsString)>,
    /// It gets the terminal.
    pub(super) foreground: bool,
}

/// From the stages to `keyward`.
#[derive(Serialize, Deserialize)]
pub(super) enum Report {
    /// The command may come. With a network of its own, a listening socket comes along.
    Ready,
    /// Nothing was made.
    Refused(Refused),
    /// The command runs.
    Started,
    /// It cannot be executed; the system's error number.
    NotStarted { code: i32 },
    /// It has stopped, by this signal.
    Stopped { signal: i32 },
    /// It has ended; as shells report it.
    Ended { code: u8, by_signal: bool },
}

/// Why a command is not isolated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// The kernel, or what confines this process.
    #[error("the kernel refuses {what} ({cause}); {remedy}")]
    Kernel {
        /// What it refuses.
        what: String,
        /// What it says.
        cause: String,
        /// What may be the matter.
        remedy: String,
    },
    /// Something that is to be hidden cannot be.
    #[error("{path} cannot be hidden from the command: {cause}")]
    Hidden {
        /// What was to be hidden.
        path: String,
        /// Why not.
        cause: String,
    },
    /// The command would start in a place that is hidden from it.
    #[error("the working directory {path} is hidden from the command: start it from another one")]
    WorkingDirectory {
        /// Where it would start.
        path: String,
    },
    /// The process that makes the namespaces failed.
    #[error("the process that isolates the command failed: {cause}")]
    Failed {
        /// How.
        cause: String,
    },
}

/// Without them there are no other namespaces, and next to nothing is allowed in those.
const USER_NAMESPACES: &str = "user namespaces may be turned off here (user.max_user_namespaces, \
                               kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, or a \
                               container's profile)";

/// For filters of system calls.
pub(super) const SECCOMP: &str = "it may have none (CONFIG_SECCOMP_FILTER), or a container's profile forbids the \
                                  system call seccomp";

/// For what keeps the command from abstract sockets.
pub(super) const LANDLOCK: &str =
    "a container's profile may forbid Landlock's system calls, by another error than ENOSYS";

impl Refused {
    /// Whether this machine does not isolate at all, as opposed to a mistake in what was asked for.
    #[must_use]
    pub fn is_of_the_kernel(&self) -> bool {
        matches!(self, Refused::Kernel { .. })
    }

    /// Of the kernel.
    pub(super) fn kernel(what: &str) -> impl Fn(std::io::Error) -> Refused {
        move |error| Refused::Kernel {
            what: what.to_owned(),
            cause: error.to_string(),
            remedy: USER_NAMESPACES.to_owned(),
        }
    }

    /// The same for want of something else than user namespaces.
    pub(super) fn for_want_of(self, remedy: &str) -> Refused {
        match self {
            Refused::Kernel { what, cause, .. } => Refused::Kernel { what, cause, remedy: remedy.to_owned() },
            other => other,
        }
    }

    /// Of the stage itself.
    pub(super) fn failed(error: impl std::fmt::Display) -> Refused {
        Refused::Failed { cause: error.to_string() }
    }
}
