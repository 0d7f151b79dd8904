//! Private files and directories: written whole or not at all, read only where nobody else can.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::StateError;

/// No file of ours is larger; one that is was put there by someone else.
const SIZE_LIMIT: u64 = 16 << 20;

/// Makes a directory of this user's alone, with its parents, or makes the one that is there such.
pub(super) fn private_directory(path: &Path) -> Result<(), StateError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StateError::io(path))?;
    let metadata = fs::metadata(path).map_err(StateError::io(path))?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(StateError::NotOurs { path: path.to_owned() });
    }
    if metadata.mode() & 0o777 != 0o700 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(StateError::io(path))?;
    }
    Ok(())
}

/// Replaces a file: who reads it sees the old bytes or the new ones, also after a crash.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StateError> {
    let temporary = path.with_extension("new");
    let written = write_new(&temporary, bytes, mode).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_parent(path)).map_err(StateError::io(path))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // Left over from a run that was killed.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// This user: the file holds keys.
    Owner,
    /// Anyone.
    Anyone,
}

/// Reads a text file; `None` where there is none.
pub(super) fn read(path: &Path, readers: Readers) -> Result<Option<Zeroizing<String>>, StateError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(StateError::io(path))?,
    };
    let metadata = file.metadata().map_err(StateError::io(path))?;
    if readers == Readers::Owner && metadata.mode() & 0o077 != 0 {
        return Err(StateError::Exposed { path: path.to_owned() });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(SIZE_LIMIT).read_to_string(&mut text).map_err(StateError::io(path))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_has_its_mode_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keyring");
        fs::write(dir.path().join("keyring.new"), "left over").unwrap();
        replace(&path, b"one", 0o600).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.key");
        replace(&path, b"x", 0o640).unwrap();
        assert!(matches!(read(&path, Readers::Owner), Err(StateError::Exposed { .. })));
        assert!(read(&path, Readers::Anyone).unwrap().is_some());
        assert!(read(&dir.path().join("none"), Readers::Owner).unwrap().is_none());
    }

    #[test]
    fn what_is_not_text_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keyring");
        replace(&path, b"\xff\xfe", 0o600).unwrap();
        let error = read(&path, Readers::Owner).err().unwrap().to_string();
        assert!(error.contains("keyring"), "{error}");
    }
}
