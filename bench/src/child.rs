//! A child whose output is read and thrown away: it never waits for us, and a million access-log lines cost nothing.

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long it may take to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of standard error that are kept to explain an early end.
const KEPT: usize = 16 * 1024;

/// A running child, in a process group of its own. Dropping it ends it and what it started.
pub struct Child {
    child: std::process::Child,
    first_line: mpsc::Receiver<String>,
    errors: Arc<Mutex<Vec<u8>>>,
}

impl Child {
    /// Starts it. Panics when the program cannot be started.
    #[must_use]
    pub fn spawn(mut command: Command) -> Child {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
        let (sender, first_line) = mpsc::sync_channel(1);
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || {
            let mut line = String::new();
            if output.read_line(&mut line).is_ok() {
                // Nobody may be waiting for it.
                let _ = sender.send(line);
            }
            let _ = std::io::copy(&mut output, &mut std::io::sink());
        });
        let errors = Arc::default();
        let (kept, mut pipe) = (Arc::clone(&errors), child.stderr.take().expect("a pipe"));
        std::thread::spawn(move || keep_end(&mut pipe, &kept));
        Child { child, first_line, errors }
    }

    /// Its process number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line of its standard output. Panics with its standard error when there is none in time.
    #[must_use]
    pub fn first_line(&self, patience: Duration) -> String {
        match self.first_line.recv_timeout(patience) {
            Ok(line) if !line.is_empty() => line,
            _ => panic!("not a line of output: {}", self.errors()),
        }
    }

    /// The end of what it wrote to standard error.
    #[must_use]
    pub fn errors(&self) -> String {
        std::thread::sleep(Duration::from_millis(100));
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&errors).into_owned()
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let id = Pid::from_child(&self.child);
        if !self.is_over() {
            // It may end by itself between the two calls.
            let _ = kill_process(id, Signal::TERM);
        }
        let end = Instant::now() + PATIENCE;
        while !self.is_over() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        if !self.is_over() {
            let _ = kill_process_group(id, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

fn keep_end(pipe: &mut impl Read, kept: &Mutex<Vec<u8>>) {
    let mut part = [0; 4096];
    while let Ok(size @ 1..) = pipe.read(&mut part) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&part[..size]);
        let excess = kept.len().saturating_sub(KEPT);
        kept.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_read_and_the_rest_does_not_block_the_child() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo ready; head -c 300000 /dev/zero; echo trouble >&2"]);
        let mut child = Child::spawn(command);
        assert_eq!(child.first_line(Duration::from_secs(5)), "ready\n");
        let end = Instant::now() + Duration::from_secs(5);
        while !child.is_over() {
            assert!(Instant::now() < end, "it waits for its output to be read");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(child.errors(), "trouble\n");
    }
}
