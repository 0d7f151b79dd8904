//! Unix sockets of a state directory.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use super::{StateError, short_hash};

/// The longest path that a socket's address takes (`sun_path` of unix(7), without the final zero).
const PATH_LIMIT: usize = 107;

/// Where sockets go whose own directory is too deep. Not from the environment: `secret set` in another terminal has
/// to find the same place.
const SHORT: &str = "/tmp";

pub(super) fn path(directory: &Path, name: &str) -> Result<PathBuf, StateError> {
    let path = directory.join(name);
    if path.as_os_str().len() <= PATH_LIMIT {
        return Ok(path);
    }
    let short = short_root()?.join(short_hash(directory.as_os_str().as_bytes()));
    own_directory(&short, rustix::process::geteuid().as_raw())?;
    Ok(short.join(name))
}

/// The directory of this user's short ones, made where it is missing.
///
/// # Errors
/// It cannot be made, or is not this user's alone.
pub fn short_root() -> Result<PathBuf, StateError> {
    let user = rustix::process::geteuid().as_raw();
    let root = Path::new(SHORT).join(format!("keyward-{user}"));
    own_directory(&root, user)?;
    Ok(root)
}

/// Makes a directory in a place where anyone can make one: what is there already must be ours alone.
fn own_directory(path: &Path, user: u32) -> Result<(), StateError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(StateError::io(path)(error));
        }
        _ => {}
    }
    // Not following a link that someone else made.
    let found = fs::symlink_metadata(path).map_err(StateError::io(path))?;
    match found.is_dir() && found.uid() == user && found.mode() & 0o077 == 0 {
        true => Ok(()),
        false => Err(StateError::NotOurs { path: path.to_owned() }),
    }
}

/// Listens on a socket that only this user can open, in the place of one that an ended process left. Needs a Tokio
/// runtime, and a directory that is this user's alone.
///
/// # Errors
/// Where the path is taken by something else than a socket, or cannot be made.
pub fn bind(path: &Path) -> Result<UnixListener, StateError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path).map_err(StateError::io(path))?,
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(StateError::io(path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(StateError::io(path))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_in_its_directory_unless_the_path_is_too_long() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(path(dir.path(), "xds.sock").unwrap(), dir.path().join("xds.sock"));
        let deep = dir.path().join("d".repeat(PATH_LIMIT));
        let short = path(&deep, "xds.sock").unwrap();
        assert!(short.as_os_str().len() <= PATH_LIMIT);
        assert_eq!(path(&deep, "xds.sock").unwrap(), short, "the same for everyone who asks");
        assert_ne!(path(&deep.join("other"), "xds.sock").unwrap(), short);
        for used in [&deep, &deep.join("other")] {
            fs::remove_dir(path(used, "x").unwrap().parent().unwrap()).unwrap();
        }
    }

    #[test]
    fn a_short_directory_that_others_could_have_made_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let user = rustix::process::geteuid().as_raw();
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        let own = dir.path().join("own");
        assert!(own_directory(&own, user).is_ok());
        assert!(matches!(own_directory(&own, user + 1), Err(StateError::NotOurs { .. })));
        for path in [open, link] {
            assert!(matches!(own_directory(&path, user), Err(StateError::NotOurs { .. })), "{path:?}");
        }
    }

    #[tokio::test]
    async fn binding_replaces_a_dead_socket_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.sock");
        drop(bind(&path).unwrap());
        let _listener = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let file = dir.path().join("file");
        fs::write(&file, "kept").unwrap();
        assert!(bind(&file).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    }
}
