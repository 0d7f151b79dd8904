//! Sockets by which a process of this user has others run commands for it, outside of the sandbox. They are hidden:
//! with one of them in reach nothing else would be.
//!
//! In the user's runtime directory everything is hidden but the SSH agent: desktops, editors and terminals keep their
//! sockets there, and most of them take commands. Elsewhere servers are left alone that are not listed here: a command
//! may use a database that runs on this machine.

use std::env::{self, var_os};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::message::Runtime;

/// Of the machine, for whoever may open them. The system's bus and systemd ask others nothing when root comes, and let
/// who sits at the machine do more than one thinks.
const OF_THE_MACHINE: &[&str] = &[
    "/run/docker.sock",
    "/run/containerd",
    "/run/podman",
    "/run/crio",
    "/run/cri-dockerd.sock",
    "/run/k3s",
    "/run/buildkit",
    "/run/libvirt",
    "/run/lxd.socket",
    "/run/incus",
    "/run/snapd.socket",
    "/run/multipass_socket",
    "/run/screen",
    "/run/systemd/private",
    "/run/dbus/system_bus_socket",
    "/var/lib/lxd/unix.socket",
    "/var/lib/incus/unix.socket",
    "/var/snap/lxd/common/lxd/unix.socket",
    "/var/snap/multipass/common/multipass_socket",
    // Queues of messages, which have names there in spite of the IPC namespace.
    "/dev/mqueue",
];

/// In the home directory: engines of containers in machines of their own, GnuPG's agent (it runs the program for
/// passphrases that a file names, and reads that file when told to), Emacs, terminals.
const OF_A_HOME: &[&str] = &[
    ".docker/desktop",
    ".docker/run",
    ".colima",
    ".lima",
    ".rd/docker.sock",
    ".gnupg/S.gpg-agent",
    ".gnupg/S.gpg-agent.browser",
    ".gnupg/S.gpg-agent.extra",
    ".emacs.d/server",
    ".local/share/wezterm",
    ".screen",
];

/// In directories for temporary files, before the user's id.
const OF_AN_ID: &[&str] = &["tmux-", "emacs"];

/// There too: displays and session managers. A client of X11 types into every window.
const OF_A_DISPLAY: &[&str] = &[".X11-unix", ".ICE-unix"];

/// There too: how sockets, or directories with sockets in them, begin.
const BEGINNINGS: &[&str] = &["vscode-", "dbus-", "nvim."];

/// Variables that name such a socket, in whatever form: a path, `unix:///path`, `unix:path=/path,guid=…`.
const VARIABLES: &[&str] = &[
    "ALACRITTY_SOCKET",
    "BUILDKIT_HOST",
    "CONTAINERD_ADDRESS",
    "CONTAINER_HOST",
    "DBUS_SESSION_BUS_ADDRESS",
    "DBUS_SYSTEM_BUS_ADDRESS",
    "DOCKER_HOST",
    "EMACS_SOCKET_NAME",
    "I3SOCK",
    "KITTY_LISTEN_ON",
    "NVIM",
    "NVIM_LISTEN_ADDRESS",
    "PULSE_SERVER",
    "SWAYSOCK",
    "TMUX",
    "VSCODE_GIT_IPC_HANDLE",
    "VSCODE_IPC_HOOK",
    "VSCODE_IPC_HOOK_CLI",
    "WAYLAND_DISPLAY",
    "WEZTERM_UNIX_SOCKET",
];

/// What of it there is on this machine, outside of the runtime directory.
pub(super) fn doors() -> Vec<PathBuf> {
    let mut doors: Vec<PathBuf> = OF_THE_MACHINE.iter().map(PathBuf::from).collect();
    if let Some(home) = env::home_dir() {
        doors.extend(OF_A_HOME.iter().map(|name| home.join(name)));
    }
    let user = geteuid().as_raw();
    doors.push(Path::new("/run/user").join(user.to_string()));
    for directory in [Some("/tmp".into()), set("TMPDIR"), set("TMUX_TMPDIR")].into_iter().flatten() {
        let directory = Path::new(&directory);
        doors.extend(OF_AN_ID.iter().map(|name| directory.join(format!("{name}{user}"))));
        doors.extend(OF_A_DISPLAY.iter().map(|name| directory.join(name)));
        doors.extend(sockets_in(directory));
    }
    doors.extend(set("SCREENDIR").map(PathBuf::from));
    let named = VARIABLES.iter().filter_map(|name| set(name)).flat_map(|value| paths(&value));
    doors.extend(named.filter(|path| is_socket(path)));
    doors.retain(|door| door.exists());
    doors
}

/// The runtime directory, and what the command keeps of it: who uses git over SSH needs the agent.
pub(super) fn runtime() -> Option<Runtime> {
    let directory = set("XDG_RUNTIME_DIR")
        .map_or_else(|| Path::new("/run/user").join(geteuid().as_raw().to_string()), PathBuf::from);
    let directory = fs::canonicalize(directory).ok()?;
    // Some name a directory that is everyone's, which is none.
    let found = fs::metadata(&directory).ok()?;
    if !found.is_dir() || found.uid() != geteuid().as_raw() || found.mode() & 0o077 != 0 {
        return None;
    }
    let agent = set("SSH_AUTH_SOCK").and_then(|agent| fs::canonicalize(agent).ok());
    let kept = agent.filter(|agent| agent.starts_with(&directory) && is_socket(agent));
    Some(Runtime { directory: directory.into(), kept: kept.map(OsString::from) })
}

/// A variable of this process that is not empty.
fn set(name: &str) -> Option<OsString> {
    var_os(name).filter(|value| !value.is_empty())
}

/// Sockets, and directories for them, that have no certain name.
fn sockets_in(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_one = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let begins = |beginning: &&str| name.as_bytes().starts_with(beginning.as_bytes());
        let kind = entry.file_type();
        BEGINNINGS.iter().any(begins)
            && kind.is_ok_and(|kind| kind.is_socket() || kind.is_dir() && begins(&"nvim."))
    };
    entries.filter(is_one).map(|entry| entry.path())
}

/// What can be a path in an address.
fn paths(address: &OsStr) -> Vec<PathBuf> {
    let parts = address.as_bytes().split(|byte| b",;".contains(byte));
    let path = |part: &[u8]| {
        let start = part.iter().position(|byte| *byte == b'/')?;
        Some(PathBuf::from(OsStr::from_bytes(part.get(start..)?)))
    };
    parts.filter_map(path).collect()
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_socket_is_found_in_its_address() {
        for (address, expected) in [
            ("/tmp/tmux-0/default,123,0", &["/tmp/tmux-0/default"][..]),
            ("unix:///run/user/1/docker.sock", &["/run/user/1/docker.sock"]),
            ("unix:path=/run/bus,guid=1;unix:path=/b", &["/run/bus", "/b"]),
            ("tcp://127.0.0.1:2375", &["/127.0.0.1:2375"]),
            ("wayland-0", &[]),
        ] {
            let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
            let found: Vec<_> = paths(OsStr::new(address))
                .iter()
                .map(|path| path.components().collect::<PathBuf>())
                .collect();
            assert_eq!(found, expected, "{address}");
        }
    }
}
