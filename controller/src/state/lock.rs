//! The lock of a state directory: one `dev` at a time.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::StateError;

/// Holds a state directory's lock until dropped. The kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Lock, StateError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(path).map_err(StateError::io(path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(locked(path, &mut file)),
            Err(error) => return Err(StateError::io(path)(error.into())),
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()));
        written.map_err(StateError::io(path))?;
        Ok(Lock { _file: file })
    }
}

fn locked(path: &Path, file: &mut File) -> StateError {
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    let holder =
        text.trim().parse::<u32>().map_or("another process".to_owned(), |pid| format!("process {pid}"));
    StateError::Locked { path: path.parent().unwrap_or(path).to_owned(), holder }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_has_it_and_the_lock_ends_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        let error = Lock::take(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        assert!(error.contains(dir.path().to_str().unwrap()) && error.contains("--state-dir"), "{error}");
        drop(lock);
        Lock::take(&path).unwrap();
    }
}
