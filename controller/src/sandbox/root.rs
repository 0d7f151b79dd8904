//! What root's ownership would still let a command do that has none of root's capabilities: write the kernel's
//! settings (`core_pattern` names a program that the kernel runs outside of every namespace), trace the kernel, read
//! the disks that everything lies on.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};

use super::masks::{EMPTY, INERT, Mount, PROC};

/// Parts of `/proc` that are settings of the kernel.
const SETTINGS: &[&str] =
    &["sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "mtrr", "scsi", "latency_stats", "timer_stats"];

/// Where the kernel is traced, and programs are put into it.
const TRACING: &[&str] = &[
    "/sys/kernel/debug",
    "/sys/kernel/tracing",
    "/sys/kernel/security",
    "/sys/kernel/config",
    "/sys/fs/bpf",
];

/// Devices that are not for everyone, and are made for programs without privileges all the same.
const DEVICES: &[&str] = &["fuse", "kvm", "kfd", "net", "dri"];

/// What all devices of a maker's are called.
const NVIDIA: &str = "nvidia";

/// File systems of their own, with nothing but terminals and what processes share.
const NO_DEVICES: &[&str] = &["pts", "shm", "mqueue", "hugepages"];

/// The devices that a command must not have although root owns them: disks, memory, consoles, what people type.
pub(super) fn devices() -> io::Result<Vec<(PathBuf, Metadata)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/dev")? {
        let entry = entry?;
        let name = entry.file_name();
        let of_programs =
            DEVICES.iter().any(|kept| name == *kept) || name.as_bytes().starts_with(NVIDIA.as_bytes());
        if !of_programs && !NO_DEVICES.iter().any(|kept| name == *kept) {
            devices_in(entry.path(), &mut found)?;
        }
    }
    Ok(found)
}

fn devices_in(path: PathBuf, found: &mut Vec<(PathBuf, Metadata)>) -> io::Result<()> {
    let metadata = fs::symlink_metadata(&path)?;
    let kind = metadata.file_type();
    // What everyone may read and write is made to be harmless.
    let for_everyone = kind.is_char_device() && metadata.mode() & 0o006 == 0o006;
    if kind.is_dir() {
        for entry in fs::read_dir(&path)? {
            devices_in(entry?.path(), found)?;
        }
    } else if kind.is_block_device() || kind.is_char_device() && !for_everyone {
        found.push((path, metadata));
    }
    Ok(())
}

/// Makes the kernel's settings read-only. To be called once this mount namespace has its own `/proc`.
pub(super) fn keep_settings(mounts: &[Mount]) -> io::Result<()> {
    for path in SETTINGS.iter().map(|name| Path::new(PROC).join(name)).filter(|path| path.exists()) {
        mount_bind(&path, &path)?;
        mount_remount(&path, MountFlags::BIND | MountFlags::RDONLY | INERT, c"")?;
    }
    for mount in mounts.iter().filter(|mount| mount.at.starts_with("/sys")) {
        // Another may lie over it, which is in the list too.
        mount_remount(&mount.at, MountFlags::BIND | MountFlags::RDONLY | mount.flags, c"")?;
    }
    for path in TRACING.iter().filter(|path| Path::new(path).is_dir()) {
        mount("keyward", *path, "tmpfs", INERT | MountFlags::RDONLY, EMPTY)?;
    }
    Ok(())
}
