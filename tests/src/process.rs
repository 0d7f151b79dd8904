//! A child in a process group of its own, its output collected by line, ended with everything it started.

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long a child may take to end after SIGTERM before its group is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the rest of an ended child's output may take. Children of its own may hold the pipe open.
const REST: Duration = Duration::from_secs(5);

/// What was written to a pipe so far, by line, and who reads it.
struct Lines {
    read: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

/// A running child.
pub struct Process {
    child: Child,
    output: Lines,
    errors: Lines,
}

impl Process {
    /// Starts it. Panics when the program cannot be started.
    pub fn spawn(mut command: Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
        let output = collect(child.stdout.take().expect("a pipe"));
        let errors = collect(child.stderr.take().expect("a pipe"));
        Process { child, output, errors }
    }

    /// What it wrote to standard output so far, by line.
    #[must_use]
    pub fn output(&self) -> Vec<String> {
        read(&self.output)
    }

    /// What it wrote to standard error so far, by line.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        read(&self.errors)
    }

    /// Whether it has ended. Its output may not be complete yet.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().ok().flatten().is_some()
    }

    /// The first line of standard output; what was written to standard error when it ends or takes too long first.
    ///
    /// # Errors
    /// Standard error, when there is no such line.
    pub async fn first_line(&mut self, patience: Duration) -> Result<String, String> {
        let end = Instant::now() + patience;
        loop {
            let over = self.is_over() || Instant::now() > end;
            if over {
                self.read_to_the_end().await;
            }
            match self.output().into_iter().next() {
                Some(line) => return Ok(line),
                None if over => return Err(self.errors().join("\n")),
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// The processes below it: those that it started, those that they started, and so on.
    #[must_use]
    pub fn descendants(&self) -> Vec<Pid> {
        let numbers = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
        let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let parents: Vec<_> =
            numbers.filter_map(|number| Some((Pid::from_raw(number)?, parent(number)?))).collect();
        let mut family = vec![self.id()];
        for next in 0.. {
            let Some(&elder) = family.get(next) else { break };
            family.extend(parents.iter().filter(|(_, parent)| *parent == elder).map(|(child, _)| *child));
        }
        family.split_off(1)
    }

    /// Sends it a signal. Panics when it has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).expect("a running process");
    }

    /// The threads that read may be behind the end of the process.
    async fn read_to_the_end(&mut self) {
        let end = Instant::now() + REST;
        let is_read = |lines: &Lines| lines.reader.is_finished();
        while self.is_over() && !(is_read(&self.output) && is_read(&self.errors)) && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Its exit code once it has ended and its output is read, None when a signal ended it.
    ///
    /// # Errors
    /// When it is still running after `patience`.
    pub async fn ended(&mut self, patience: Duration) -> Result<Option<i32>, String> {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                self.read_to_the_end().await;
                return Ok(status.code());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!("still running after {patience:?}"))
    }

    /// Ends it: asks first, then kills the whole group.
    pub fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It may end by itself between the two calls.
            let _ = kill_process(self.id(), Signal::TERM);
        }
        let end = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process_group(self.id(), Signal::KILL);
            let _ = self.child.wait();
        }
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Who started a process that still runs.
fn parent(number: i32) -> Option<Pid> {
    let status = std::fs::read_to_string(format!("/proc/{number}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    Pid::from_raw(parent.trim().parse().ok()?)
}

fn collect(pipe: impl Read + Send + 'static) -> Lines {
    let read = Arc::<Mutex<Vec<String>>>::default();
    let collected = Arc::clone(&read);
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).into_owned();
            collected.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
    Lines { read, reader }
}

fn read(lines: &Lines) -> Vec<String> {
    lines.read.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::Process;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn(command)
    }

    #[tokio::test]
    async fn lines_and_exit_code_are_seen() {
        let mut process = shell("echo ready; echo trouble >&2; exit 3");
        assert_eq!(process.first_line(Duration::from_secs(5)).await, Ok("ready".into()));
        assert_eq!(process.ended(Duration::from_secs(5)).await, Ok(Some(3)));
    }

    #[tokio::test]
    async fn a_child_that_ends_without_a_line_says_what_it_wrote() {
        let written = shell("echo trouble >&2; exit 3").first_line(Duration::from_secs(5)).await.unwrap_err();
        assert!(written.contains("trouble"), "{written}");
    }
}
