//! A runtime directory (`XDG_RUNTIME_DIR`) of the command's own: empty, but for what it keeps of the user's.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, mount, move_mount, open_tree};

use super::masks::INERT;
use super::message::Runtime;

/// Programs keep sockets and little files in it.
const OPTIONS: &std::ffi::CStr = c"size=16m,nr_inodes=4k,mode=0700";

/// A file that is kept, as a mount without a place.
pub(super) struct Kept {
    path: PathBuf,
    mount: OwnedFd,
}

/// Takes hold of what is kept, before the directory is hidden.
pub(super) fn hold(runtime: &Runtime) -> io::Result<Option<Kept>> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let hold = |path: PathBuf| Ok(Kept { mount: open_tree(CWD, &path, flags)?, path });
    runtime.kept.clone().map(PathBuf::from).map(hold).transpose()
}

/// Makes the directory, over whatever is there.
pub(super) fn make(runtime: &Runtime, kept: Option<Kept>) -> io::Result<()> {
    let directory = Path::new(&runtime.directory);
    mount("keyward", directory, "tmpfs", INERT, OPTIONS)?;
    if let Some(Kept { path, mount }) = kept {
        fs::create_dir_all(path.parent().unwrap_or(directory))?;
        File::create(&path)?;
        move_mount(&mount, "", CWD, &path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    }
    Ok(())
}
