//! The processes of the gateway: signals to them, their memory, and where Envoy answers questions about itself.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use crate::stage::Stage;

/// Ends a process at once.
pub(crate) fn kill(number: i32) {
    signal(number, Signal::KILL);
}

/// Sends a process a signal.
pub(crate) fn signal(number: i32, signal: Signal) {
    kill_process(Pid::from_raw(number).expect("a process"), signal).expect("a running process");
}

/// What Keyward and its Envoy hold in memory, bytes; 0 where something else is attacked.
pub(crate) fn memory(stage: &Stage) -> usize {
    let Some(gateway) = &stage.subject.gateway else { return 0 };
    gateway.processes().iter().map(|(number, _)| resident(*number)).sum()
}

/// What a process holds in memory, bytes (proc_pid_status(5), VmRSS); 0 where it has ended.
fn resident(number: i32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<usize>().ok()).unwrap_or(0) * 1024
}

/// The admin socket of the Envoy of a gateway with this state directory.
pub(crate) fn admin_socket(state: &Path) -> PathBuf {
    let mut folders = vec![state.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_name() == "admin.sock" {
                return entry.path();
            }
            folders.extend(entry.path().is_dir().then(|| entry.path()));
        }
    }
    panic!("no admin socket under {}", state.display());
}
