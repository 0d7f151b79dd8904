//! Directories of one `keyward run`, for this user alone: one for its objects and state where it has no others, and one,
//! elsewhere, for what its command reads. The run removes them. What a killed one left behind the next one removes.
//!
//! In each lies a file that is locked as long as its run lives, however it ends. A directory without one, one of another
//! user and one that others may read is none of ours. One with nothing but that file may just be in the making.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tempfile::TempDir;

const PREFIX: &str = "keyward-run-";
const LOCK: &str = "run.lock";
const STATE: &str = "state";

/// A directory of this run, removed when dropped.
#[derive(Debug)]
pub struct Temporary {
    // Removed before the lock is let go of: nobody else is to remove it meanwhile.
    directory: TempDir,
    _lock: File,
}

impl Temporary {
    /// Makes one in this directory.
    ///
    /// # Errors
    /// None can be made there, or none can be locked.
    pub fn make(parent: &Path) -> io::Result<Temporary> {
        let mut builder = tempfile::Builder::new();
        let directory =
            builder.prefix(PREFIX).permissions(Permissions::from_mode(0o700)).tempdir_in(parent)?;
        let lock = OpenOptions::new().write(true).create_new(true).open(directory.path().join(LOCK))?;
        // It waits for whoever is just looking whether somebody has it.
        lock.lock()?;
        Ok(Temporary { directory, _lock: lock })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where the state of a run is that has no other place for it.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.path().join(STATE)
    }
}

/// Removes what killed runs left in this directory. What cannot be removed stays.
pub fn sweep(parent: &Path) {
    for found in all(parent) {
        if found.lock.try_lock().is_ok() {
            let _ = found.remove();
        }
    }
}

/// The state directories of the runs that live in this directory.
pub fn states(parent: &Path) -> impl Iterator<Item = PathBuf> {
    let live = all(parent).filter(|found| matches!(found.lock.try_lock(), Err(TryLockError::WouldBlock)));
    live.map(|found| found.path.join(STATE)).filter(|state| state.is_dir())
}

/// A directory that some run made.
struct Found {
    path: PathBuf,
    directory: File,
    lock: File,
}

fn all(parent: &Path) -> impl Iterator<Item = Found> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()));
    named.filter_map(|entry| Found::open(entry.path()).ok())
}

impl Found {
    fn open(path: PathBuf) -> io::Result<Found> {
        // Neither a link nor a pipe is waited at or followed: anyone may put things where temporary files are.
        let open = |path: &Path, flags: OFlags| {
            let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK;
            OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
        };
        let is_ours = |file: &File, mode| -> io::Result<bool> {
            let found = file.metadata()?;
            Ok(found.uid() == rustix::process::geteuid().as_raw() && found.mode() & mode == 0)
        };
        let directory = open(&path, OFlags::DIRECTORY)?;
        let lock = open(&inside(&directory).join(LOCK), OFlags::empty())?;
        if !is_ours(&directory, 0o077)? || !is_ours(&lock, 0)? || !lock.metadata()?.is_file() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Found { path, directory, lock })
    }

    /// Removes it, the lock last: what is interrupted here is found again.
    fn remove(&self) -> io::Result<()> {
        let inside = inside(&self.directory);
        let entries: Vec<_> = fs::read_dir(&inside)?.collect::<Result<_, _>>()?;
        let entries: Vec<_> = entries.into_iter().filter(|entry| entry.file_name() != LOCK).collect();
        if entries.is_empty() {
            return Ok(());
        }
        for entry in entries {
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
        fs::remove_file(inside.join(LOCK))?;
        fs::remove_dir(&self.path)
    }
}

/// A path into a directory that is open, whatever stands at its own path by now.
fn inside(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn left_behind(parent: &Path, name: &str) -> PathBuf {
        let path = parent.join(format!("{PREFIX}{name}"));
        fs::create_dir_all(path.join("state/gateways")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        fs::write(path.join("state/keyring"), "key").unwrap();
        fs::write(path.join(LOCK), "").unwrap();
        path
    }

    #[test]
    fn what_a_killed_run_left_behind_goes_and_what_lives_stays() {
        let parent = tempfile::tempdir().unwrap();
        let live = Temporary::make(parent.path()).unwrap();
        fs::create_dir(live.state()).unwrap();
        let dead = left_behind(parent.path(), "dead");
        assert_eq!(states(parent.path()).collect::<Vec<_>>(), [live.state()]);
        sweep(parent.path());
        assert!(!dead.exists() && live.state().exists());
        let path = live.path().to_owned();
        drop(live);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_in_the_making_is_not_taken() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join(format!("{PREFIX}new"));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        sweep(parent.path());
        fs::write(path.join(LOCK), "").unwrap();
        sweep(parent.path());
        assert!(path.join(LOCK).exists());
    }

    #[test]
    fn what_is_not_ours_stays_untouched() {
        let parent = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let target = left_behind(elsewhere.path(), "target");
        symlink(&target, parent.path().join(format!("{PREFIX}link"))).unwrap();
        let open = left_behind(parent.path(), "open");
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        let unlocked = left_behind(parent.path(), "unlocked");
        fs::remove_file(unlocked.join(LOCK)).unwrap();
        let linked = left_behind(parent.path(), "linked");
        fs::remove_file(linked.join(LOCK)).unwrap();
        symlink(target.join(LOCK), linked.join(LOCK)).unwrap();
        let another = parent.path().join("another");
        fs::rename(left_behind(parent.path(), "another"), &another).unwrap();
        let mut foreign = vec![open, unlocked, linked, another, target];
        if rustix::process::geteuid().is_root() {
            let others = left_behind(parent.path(), "others");
            std::os::unix::fs::chown(&others, Some(65534), None).unwrap();
            foreign.push(others);
        }
        sweep(parent.path());
        for path in foreign {
            assert!(path.join("state/keyring").exists(), "{} is gone", path.display());
        }
    }

    #[test]
    fn links_in_what_is_removed_are_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let kept = tempfile::tempdir().unwrap();
        fs::write(kept.path().join("file"), "").unwrap();
        let dead = left_behind(parent.path(), "dead");
        symlink(kept.path(), dead.join("link")).unwrap();
        symlink(kept.path(), dead.join("state/link")).unwrap();
        sweep(parent.path());
        assert!(!dead.exists() && kept.path().join("file").exists());
    }
}
