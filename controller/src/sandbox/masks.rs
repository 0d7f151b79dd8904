//! What the command does not see: each directory under an empty one, each file under an empty file, wherever on the
//! machine they appear, and `/proc` and the user's runtime directory under ones of its own.
//!
//! The mount namespace belongs to a user namespace in which the command has no capability, so it cannot undo any of
//! this. In a namespace that it makes inside, the kernel locks what it copies: mounts that came together stay together
//! (mount_namespaces(7)).

use std::ffi::{CStr, OsString};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount, unmount,
};
use rustix::process::geteuid;

use super::message::{Hidden, Refused};
use super::{root, runtime};

/// Nothing in it is executed, is a device or changes privileges.
pub(super) const INERT: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// Of an empty directory.
pub(super) const EMPTY: &CStr = c"size=4k,nr_inodes=2,mode=0755";

pub(super) const PROC: &str = "/proc";

/// Hides these, and gives this mount namespace a `/proc` of its PID namespace.
pub(super) fn put(hidden: &Hidden) -> Result<(), Refused> {
    // What is mounted outside later would otherwise appear inside, beside what hides it.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|error| Refused::kernel("mounts of its own")(error.into()))?;
    let working_directory = std::env::current_dir();
    let mounted = fs::read("/proc/self/mountinfo").map_err(Refused::failed)?;
    let mounts = mountinfo(&mounted);
    let mut places = Vec::new();
    let runtime = hidden.runtime.as_ref();
    let kept = runtime.map(runtime::hold).transpose().map_err(Refused::failed)?.flatten();
    let of_runtime = runtime.map(|runtime| &runtime.directory);
    for path in hidden.paths.iter().chain(of_runtime).map(Path::new) {
        places.extend(everywhere(path, &mounts).map_err(|error| refused(path, &error))?);
    }
    let is_root = geteuid().is_root();
    if is_root {
        places.extend(root::devices().map_err(Refused::failed)?);
    }
    // The deepest first: what hides a directory hides what lies in it, and nothing can be mounted there any more.
    places.sort_by_key(|(path, _)| std::cmp::Reverse(path.components().count()));
    places.dedup_by(|one, other| one.0 == other.0);
    with_an_empty_file(|empty| {
        for (path, found) in &places {
            put_over(path, found, empty).map_err(|error| refused(path, &error))?;
        }
        Ok(())
    })?;
    if let Some(runtime) = runtime {
        runtime::make(runtime, kept).map_err(Refused::kernel("a runtime directory of its own"))?;
    }
    mount("proc", PROC, "proc", INERT, None)
        .map_err(|error| Refused::kernel("a /proc of its own")(error.into()))?;
    if is_root {
        root::keep_settings(&mounts).map_err(Refused::kernel("to make its settings read-only"))?;
    }
    enter_again(working_directory)
}

fn refused(path: &Path, error: &io::Error) -> Refused {
    Refused::Hidden { path: path.display().to_string(), cause: error.to_string() }
}

/// Hides one thing.
fn put_over(path: &Path, found: &Metadata, empty: &Path) -> io::Result<()> {
    if found.is_dir() {
        mount("keyward", path, "tmpfs", INERT | MountFlags::RDONLY, EMPTY)?;
    } else {
        mount_bind(empty, path)?;
    }
    Ok(())
}

/// Does something with an empty file that cannot be written to and lies nowhere once this returns.
fn with_an_empty_file(use_it: impl FnOnce(&Path) -> Result<(), Refused>) -> Result<(), Refused> {
    // Any directory that there is would do; this one gets another content anyway.
    mount("keyward", PROC, "tmpfs", INERT, EMPTY)
        .map_err(|error| Refused::kernel("a file system of its own")(error.into()))?;
    let path = Path::new(PROC).join("empty");
    File::create(&path).map_err(Refused::failed)?;
    mount_remount(PROC, INERT | MountFlags::RDONLY, EMPTY).map_err(Refused::failed)?;
    use_it(&path)?;
    unmount(PROC, UnmountFlags::DETACH).map_err(Refused::failed)
}

/// Enters the working directory by its path: the old one would be what lies under a mask.
fn enter_again(path: io::Result<PathBuf>) -> Result<(), Refused> {
    // A directory that was deleted has no path, and no path leads from it.
    let Ok(path) = path else { return std::env::set_current_dir("/").map_err(Refused::failed) };
    std::env::set_current_dir(&path)
        .map_err(|_| Refused::WorkingDirectory { path: path.display().to_string() })
}

/// A mount of this namespace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Major and minor number of the file system.
    device: String,
    /// What of the file system is mounted.
    root: PathBuf,
    /// Where.
    pub(super) at: PathBuf,
    /// What the kernel lets nobody take away who has it from another namespace.
    pub(super) flags: MountFlags,
}

/// All places where something appears: its file system, or the part with it, may be mounted at several.
fn everywhere(path: &Path, mounts: &[Mount]) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let path = fs::canonicalize(path)?;
    let found = fs::symlink_metadata(&path)?;
    // The last that fits is on top.
    let longest = mounts.iter().filter(|mount| path.starts_with(&mount.at));
    let holder = longest.max_by_key(|mount| mount.at.components().count());
    let mut places = vec![(path.clone(), found)];
    let Some(holder) = holder else { return Ok(places) };
    let Ok(inside) = path.strip_prefix(&holder.at) else { return Ok(places) };
    let inside = holder.root.join(inside);
    let (device, inode) = (places[0].1.dev(), places[0].1.ino());
    for mount in mounts.iter().filter(|mount| mount.device == holder.device) {
        let Ok(rest) = inside.strip_prefix(&mount.root) else { continue };
        let place = if rest.as_os_str().is_empty() { mount.at.clone() } else { mount.at.join(rest) };
        // Another mount may lie over it.
        if let Ok(found) = fs::symlink_metadata(&place)
            && (found.dev(), found.ino()) == (device, inode)
        {
            places.push((place, found));
        }
    }
    Ok(places)
}

/// `/proc/PID/mountinfo` of proc_pid_mountinfo(5).
fn mountinfo(text: &[u8]) -> Vec<Mount> {
    let line = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ').skip(2);
        let device = String::from_utf8(fields.next()?.to_vec()).ok()?;
        let (root, at) = (unescaped(fields.next()?), unescaped(fields.next()?));
        Some(Mount { device, root, at, flags: flags(fields.next()?) })
    };
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn flags(options: &[u8]) -> MountFlags {
    let flag = |option: &[u8]| match option {
        b"ro" => MountFlags::RDONLY,
        b"nosuid" => MountFlags::NOSUID,
        b"nodev" => MountFlags::NODEV,
        b"noexec" => MountFlags::NOEXEC,
        b"noatime" => MountFlags::NOATIME,
        b"nodiratime" => MountFlags::NODIRATIME,
        b"relatime" => MountFlags::RELATIME,
        _ => MountFlags::empty(),
    };
    options.split(|byte| *byte == b',').map(flag).collect()
}

/// Blanks and backslashes are written as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let code =
            || std::str::from_utf8(after.get(..3)?).ok().and_then(|code| u8::from_str_radix(code, 8).ok());
        match (first, code()) {
            (b'\\', Some(code)) => {
                bytes.push(code);
                rest = after.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_with_the_blanks_in_its_name() {
        let text = b"28 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                     99 28 254:0 /home/a\\040b /mnt/c\\134d ro,nosuid - ext4 /dev/vda rw\nshort\n";
        let mount = |root: &str, at: &str, flags| Mount {
            device: "254:0".to_owned(),
            root: root.into(),
            at: at.into(),
            flags,
        };
        let inert = MountFlags::RDONLY | MountFlags::NOSUID;
        assert_eq!(
            mountinfo(text),
            [mount("/", "/", MountFlags::RELATIME), mount("/home/a b", "/mnt/c\\d", inert)]
        );
    }

    #[test]
    fn something_is_found_where_else_its_file_system_is_mounted() {
        let mounts = mountinfo(&fs::read("/proc/self/mountinfo").unwrap());
        let dir = tempfile::tempdir().unwrap();
        let places = everywhere(dir.path(), &mounts).unwrap();
        assert!(places.iter().any(|(path, _)| path == &fs::canonicalize(dir.path()).unwrap()));
        assert!(everywhere(&dir.path().join("missing"), &mounts).is_err());
    }
}
