//! Which running `keyward dev` or `keyward run` a command on the same machine means.

use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::state::{StateDir, StateError, temporary};

/// Name of the control socket in a state directory.
pub(crate) const CONTROL_SOCKET: &str = "control.sock";

/// Name of the directory, among the state directories, of those that last as long as a run.
pub(crate) const RUNS: &str = "runs";

/// Why none is found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindError {
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Nothing runs.
    #[error(
        "no `keyward dev` or `keyward run` is running; start one, or name its --state-dir or --manifests"
    )]
    None,
    /// Several run.
    #[error("several `keyward` are running; name one by --state-dir: {}", list(.0))]
    Several(Vec<PathBuf>),
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The state directory that `--state-dir` and `--manifests` name: the first, else the default of the second.
///
/// # Errors
/// [`StateError`] where there is no home directory or no such directory of manifests.
pub(crate) fn state_path(state_dir: Option<&Path>, manifests: &Path) -> Result<PathBuf, StateError> {
    match state_dir {
        Some(path) => Ok(path.to_owned()),
        None => {
            let (xdg, home) = environment();
            StateDir::default_path(manifests, xdg.as_deref(), home.as_deref())
        }
    }
}

/// Where the state directories of this user are by default.
///
/// # Errors
/// [`StateError::NoHome`].
pub(crate) fn default_root() -> Result<PathBuf, StateError> {
    let (xdg, home) = environment();
    StateDir::default_root(xdg.as_deref(), home.as_deref())
}

fn environment() -> (Option<OsString>, Option<OsString>) {
    (std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME"))
}

/// The control socket of the `keyward dev` that is meant: by its state directory, its manifests, or because it is
/// the only one that answers.
///
/// # Errors
/// [`FindError`].
pub(crate) fn control_socket(
    state_dir: Option<&Path>,
    manifests: Option<&Path>,
) -> Result<PathBuf, FindError> {
    let directory = match (state_dir, manifests) {
        (None, None) => only_running()?,
        (state_dir, manifests) => state_path(state_dir, manifests.unwrap_or(Path::new(".")))?,
    };
    if !directory.is_dir() {
        return Err(FindError::None);
    }
    Ok(StateDir::open(directory)?.socket(CONTROL_SOCKET)?)
}

fn only_running() -> Result<PathBuf, FindError> {
    let root = default_root()?;
    let directories = std::fs::read_dir(&root).into_iter().flatten().flatten().map(|entry| entry.path());
    let runs = root.join(RUNS);
    let directories = directories.chain(temporary::states(&runs));
    let mut running: Vec<PathBuf> = directories.filter(|path| answers(path)).collect();
    running.sort();
    match (running.pop(), running.is_empty()) {
        (None, _) => Err(FindError::None),
        (Some(only), true) => Ok(only),
        (Some(last), false) => Err(FindError::Several(running.into_iter().chain([last]).collect())),
    }
}

fn answers(directory: &Path) -> bool {
    let socket = StateDir::open(directory).and_then(|state| state.socket(CONTROL_SOCKET));
    socket.is_ok_and(|socket| UnixStream::connect(socket).is_ok())
}
