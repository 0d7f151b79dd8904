//! The processes that belong to a run, found by its state directory: it is in the command line or the environment of
//! `keyward` and of every Envoy, whatever their parents and process groups became.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Every live process that names this directory but the one that asks: number and command line.
pub(crate) fn of(state: &Path) -> Vec<(i32, String)> {
    let needle = state.to_string_lossy().into_owned();
    let entries = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter(|number| *number != own()).filter_map(|number| command_of(number, &needle)).collect()
}

/// The command line of a process that names `needle`. One that has ended, or is a zombie, has none.
fn command_of(number: i32, needle: &str) -> Option<(i32, String)> {
    let read = |file: &str| {
        let bytes = std::fs::read(format!("/proc/{number}/{file}")).ok()?;
        Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
    };
    let command = read("cmdline").filter(|command| !command.is_empty())?;
    let named = command.contains(needle) || read("environ").is_some_and(|text| text.contains(needle));
    named.then_some((number, command))
}

/// Waits until none is left.
pub(crate) async fn gone(state: &Path, patience: Duration) -> Result<(), String> {
    let end = Instant::now() + patience;
    while !of(state).is_empty() {
        if Instant::now() > end {
            return Err(format!("{:?}", of(state)));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// How long a process may take to end by itself: on a busy machine one that was just started takes a while to see that
/// its parent is gone.
const GRACE: Duration = Duration::from_secs(10);

/// Kills what is left after some grace, and returns what had to be killed.
pub(crate) fn end(state: &Path) -> Vec<(i32, String)> {
    let deadline = Instant::now() + GRACE;
    while !of(state).is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let left = of(state);
    for pid in left.iter().filter_map(|(number, _)| Pid::from_raw(*number)) {
        // It may end by itself first.
        let _ = kill_process(pid, Signal::KILL);
    }
    left
}

fn own() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::{end, of};

    #[test]
    fn a_process_that_names_the_directory_is_found_and_ended() {
        let folder = tempfile::tempdir().unwrap();
        assert!(of(folder.path()).is_empty());
        let mut child = Command::new("sleep").arg("60").env("STATE", folder.path()).spawn().unwrap();
        // Right after it was started the kernel shows neither its command line nor its environment.
        let patience = Instant::now() + Duration::from_secs(5);
        while of(folder.path()).is_empty() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
        let found = of(folder.path());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(end(folder.path()).len(), 1);
        assert!(!child.wait().unwrap().success());
        assert!(of(folder.path()).is_empty());
    }
}
