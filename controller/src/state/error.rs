//! What can be wrong with the state directory. Every message names the path and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// What is wrong with the state directory.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Neither `$XDG_STATE_HOME` nor `$HOME` is an absolute path.
    #[error("no place for the state: set HOME or XDG_STATE_HOME, or give --state-dir")]
    NoHome,
    /// Another process holds the lock.
    #[error("{} is in use by {holder}: stop it, or give this one another --state-dir", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Who, as far as the lock tells: `process 123`.
        holder: String,
    },
    /// A directory that must be this user's is not.
    #[error("{} is not a directory of this user's alone: remove it, or choose another place with --state-dir", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },
    /// A file with keys can be read by others.
    #[error("{} can be read by others: chmod 600 it, and replace the key if others could log in", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be used as it is.
    #[error("{}: {cause}. {remedy}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never a value.
        cause: String,
        /// What to do.
        remedy: String,
    },
    /// A namespace or name that cannot be a directory's.
    #[error("a gateway's namespace and name must be DNS labels to keep state for it")]
    Name,
}

impl StateError {
    /// Turns an I/O error about `path` into a state error.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> StateError {
        let path = path.to_owned();
        move |source| StateError::Io { path, source }
    }
}
