//! Sockets by which a process of this user has others run commands for it, outside of the sandbox. They are hidden:
//! with one of them in reach nothing else would be.

use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// In `/run/user/UID`: the session bus, by which `systemd-run --user` works, and engines of containers.
const OF_A_USER: &[&str] =
    &["bus", "systemd", "docker.sock", "podman", "containerd", "containerd-rootless", "libvirt", "lxd"];

/// Of the machine, for whoever may open them.
const OF_THE_MACHINE: &[&str] = &[
    "/run/docker.sock",
    "/run/containerd",
    "/run/podman",
    "/run/crio",
    "/run/buildkit",
    "/run/libvirt",
    "/run/lxd.socket",
    "/run/incus",
    "/run/snapd.socket",
    "/run/screen",
    "/var/lib/lxd/unix.socket",
    "/var/lib/incus/unix.socket",
    "/var/snap/lxd/common/lxd/unix.socket",
];

/// Those that ask others nothing when root comes.
const OF_ROOT: &[&str] = &["/run/systemd/private", "/run/dbus/system_bus_socket"];

/// What of it there is on this machine.
pub(super) fn doors() -> Vec<PathBuf> {
    let user = geteuid();
    let runtime = Path::new("/run/user").join(user.as_raw().to_string());
    let mut doors: Vec<PathBuf> = OF_A_USER.iter().map(|name| runtime.join(name)).collect();
    doors.extend(OF_THE_MACHINE.iter().map(PathBuf::from));
    if user.is_root() {
        doors.extend(OF_ROOT.iter().map(PathBuf::from));
    }
    // Terminals of tmux: who reaches its server types into them.
    let of_tmux = std::env::var_os("TMUX_TMPDIR").filter(|directory| !directory.is_empty());
    for directory in [Some("/tmp".into()), of_tmux].into_iter().flatten() {
        doors.push(PathBuf::from(directory).join(format!("tmux-{}", user.as_raw())));
    }
    doors.retain(|door| door.exists());
    doors
}
