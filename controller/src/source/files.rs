//! Reading a directory so that no half-written file is taken for a whole one.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::load::Listing;

/// How often a file that changes while it is read is read again, and after what pause.
const ATTEMPTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(5);

/// What tells one version of a file from another: inode, length, and times of content and inode change.
pub(super) type Stamp = (u64, u64, (i64, i64), (i64, i64));

/// The manifest files of a directory by name. The error is of the directory itself.
pub(super) fn manifests(directory: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // What is linked to a directory is a directory; what cannot be looked at is listed, and its problem told.
        let is_directory = fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir());
        if is_manifest(&name) && !is_directory {
            files.insert(name, entry.path());
        }
    }
    Ok(files)
}

fn is_manifest(name: &str) -> bool {
    !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml"))
}

/// Reads every manifest file.
pub(super) fn read(directory: &Path) -> io::Result<Listing> {
    let files = manifests(directory)?;
    let bytes = |path: &Path| read_stable(path).map_err(|error| error.to_string());
    Ok(files.into_iter().map(|(name, path)| (name, bytes(&path))).collect())
}

/// The stamps of every manifest file; equal maps mean that nothing changed.
pub(super) fn stamps(directory: &Path) -> Option<BTreeMap<String, Option<Stamp>>> {
    let files = manifests(directory).ok()?;
    Some(files.into_iter().map(|(name, path)| (name, fs::metadata(path).ok().map(|it| stamp(&it)))).collect())
}

fn read_stable(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    for _ in 0..ATTEMPTS {
        let before = fs::metadata(path)?;
        if !before.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let bytes = Zeroizing::new(fs::read(path)?);
        let after = fs::metadata(path)?;
        if stamp(&before) == stamp(&after) && after.len() == bytes.len() as u64 {
            return Ok(bytes);
        }
        std::thread::sleep(PAUSE);
    }
    Err(io::Error::other("it keeps changing while it is read"))
}

fn stamp(metadata: &Metadata) -> Stamp {
    let content = (metadata.mtime(), metadata.mtime_nsec());
    let inode = (metadata.ctime(), metadata.ctime_nsec());
    (metadata.ino(), metadata.len(), content, inode)
}
