//! The state directory: what must survive a run, and what finds a running one.
//!
//! ```text
//! lock                            held by the one `dev` that runs here, with its process id
//! keyring                         sealing keys of this directory's gateways (0600)
//! overlay.json                    values of `secret set`, sealed (0600)
//! gateways/NAMESPACE/NAME/ca.crt  what agents of that gateway trust
//! gateways/NAMESPACE/NAME/ca.key  its key (0600)
//! keyward-HASH.wasm               the filter module that its Envoys load
//! control.sock, xds.sock, …       sockets of the running `dev`
//! ```
//!
//! Nothing here is ever made anew because it cannot be read: the error says what to restore or to delete.

mod authority;
mod error;
mod file;
mod keyring;
mod lock;
mod overlay;
pub mod socket;
pub mod temporary;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use error::StateError;
pub(crate) use keyring::generate as new_keyring;
pub use lock::Lock;
pub use overlay::Overlay;
pub use temporary::Temporary;

/// A state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Opens a directory, making it where it is missing. It is this user's alone (0700).
    ///
    /// # Errors
    /// [`StateError`] where it cannot be made, is another user's, or is no directory.
    pub fn open(path: impl Into<PathBuf>) -> Result<StateDir, StateError> {
        let path = path.into();
        file::private_directory(&path)?;
        let path = path.canonicalize().map_err(StateError::io(&path))?;
        Ok(StateDir(path))
    }

    /// Where the state of a manifest directory is by default: `$XDG_STATE_HOME/keyward/HASH`, else under
    /// `$HOME/.local/state`. Both variables are the caller's to read.
    ///
    /// # Errors
    /// [`StateError::NoHome`], and where the manifests' path does not exist.
    pub fn default_path(
        manifests: &Path,
        xdg: Option<&OsStr>,
        home: Option<&OsStr>,
    ) -> Result<PathBuf, StateError> {
        let root = StateDir::default_root(xdg, home)?;
        let manifests = manifests.canonicalize().map_err(StateError::io(manifests))?;
        Ok(root.join(short_hash(manifests.as_os_str().as_bytes())))
    }

    /// Where the state directories of this user are by default.
    ///
    /// # Errors
    /// [`StateError::NoHome`].
    pub fn default_root(xdg: Option<&OsStr>, home: Option<&OsStr>) -> Result<PathBuf, StateError> {
        let absolute = |path: Option<&OsStr>| path.map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute(xdg).or_else(|| Some(absolute(home)?.join(".local/state")));
        Ok(state.ok_or(StateError::NoHome)?.join("keyward"))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Locks the directory for as long as the lock lives.
    ///
    /// # Errors
    /// [`StateError::Locked`] where another process has it.
    pub fn lock(&self) -> Result<Lock, StateError> {
        Lock::take(&self.0.join("lock"))
    }

    /// Keeps a copy of the filter module for the Envoys of this directory, under a name of its content: Envoy reads the
    /// file again at every update, and a build in between must not change what a running gateway loads.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn keep_module(&self, module: &[u8]) -> Result<PathBuf, StateError> {
        let path = self.0.join(format!("keyward-{}.wasm", short_hash(module)));
        file::replace(&path, module, 0o600)?;
        Ok(path)
    }

    /// Where a socket of this directory is: in it, or in a short directory of this user's where the path would be
    /// too long for a socket. The same for everyone who asks.
    ///
    /// # Errors
    /// [`StateError`] where the short directory cannot be made or is another user's.
    pub fn socket(&self, name: &str) -> Result<PathBuf, StateError> {
        socket::path(&self.0, name)
    }
}

/// The first 64 bits of a SHA-256, in hex.
fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_default_path_depends_on_the_manifests_real_path() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&other).unwrap();
        let path = |manifests: &Path| {
            StateDir::default_path(manifests, Some(OsStr::new("/state")), Some(OsStr::new("/home/a")))
                .unwrap()
        };
        assert_eq!(path(&one), path(&other.join("../one")));
        assert_ne!(path(&one), path(&other));
        assert!(path(&one).starts_with("/state/keyward"));
    }

    #[test]
    fn without_a_state_home_the_home_directory_is_used_and_without_both_an_error() {
        let here = Path::new("/");
        let home = Some(OsStr::new("/home/a"));
        for xdg in [None, Some(OsStr::new("")), Some(OsStr::new("relative"))] {
            let path = StateDir::default_path(here, xdg, home).unwrap();
            assert!(path.starts_with("/home/a/.local/state/keyward"), "{path:?}");
            assert!(matches!(StateDir::default_path(here, xdg, None), Err(StateError::NoHome)));
        }
    }

    #[test]
    fn the_directory_is_made_and_kept_to_its_user() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let state = StateDir::open(&path).unwrap();
        assert_eq!(mode(state.path()), 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        StateDir::open(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn a_file_in_the_directorys_place_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        let error = StateDir::open(&path).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}
