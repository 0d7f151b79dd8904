//! An Envoy process: started, asked whether it is live, and ended.
//!
//! Envoy asks the kernel for SIGTERM when the thread that started it ends (`PR_SET_PDEATHSIG`): start it from a
//! thread that lives as long as the program, and it does not outlive a killed program.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdout, Command};

use super::KEYRING_VARIABLE;

/// Access log entries reach a reader this soon. Envoy's own default is 10 s.
const FLUSH: Duration = Duration::from_millis(50);

/// What an Envoy is started with.
pub struct Launch<'a> {
    /// The binary.
    pub binary: &'a Path,
    /// The bootstrap configuration.
    pub bootstrap: &'a serde_json::Value,
    /// A directory of this Envoy's own: its bootstrap and its log go there.
    pub directory: &'a Path,
    /// Its admin socket, as the bootstrap names it.
    pub admin: &'a Path,
    /// The sealing keys. Everything else of our environment is kept from it.
    pub keyring: &'a str,
    /// Number of worker threads.
    pub workers: usize,
}

/// A running Envoy.
pub struct Process {
    child: Child,
    pid: Pid,
    log: PathBuf,
}

impl Process {
    /// Starts it from the calling thread. Its access log comes out of [`Process::take_output`]; what else it has to
    /// say goes to `envoy.log` in its directory.
    ///
    /// # Errors
    /// The directory cannot be written, or the binary cannot be run.
    pub fn start(launch: &Launch<'_>) -> io::Result<Process> {
        let bootstrap = launch.directory.join("envoy.json");
        let log = launch.directory.join("envoy.log");
        serde_json::to_writer(private(&bootstrap)?, launch.bootstrap)?;
        // Left by an Envoy that was killed; a new one refuses to start beside it.
        let _ = fs::remove_file(launch.admin);
        let child = Command::new(launch.binary)
            .arg("--config-path")
            .arg(&bootstrap)
            .args(["--log-level", "info", "--disable-hot-restart"])
            .args(["--file-flush-interval-msec", &FLUSH.as_millis().to_string()])
            .args(["--concurrency", &launch.workers.to_string()])
            .env_clear()
            .env(KEYRING_VARIABLE, launch.keyring)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(private(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| io::Error::other("it ended at once"))?;
        Ok(Process { child, pid, log })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Its standard output: the access log. Once.
    pub fn take_output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The file that its own log goes to.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The system cannot tell.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks it to end, and ends it when it has not after `patience`.
    pub async fn stop(&mut self, patience: Duration) {
        let _ = kill_process(self.pid, Signal::TERM);
        if tokio::time::timeout(patience, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

fn private(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Whether the Envoy behind an admin socket is live: workers started, all its first configuration taken.
pub async fn is_live(admin: &Path) -> bool {
    tokio::time::timeout(Duration::from_secs(1), ask_ready(admin)).await.is_ok_and(|answer| answer.unwrap_or(false))
}

async fn ask_ready(admin: &Path) -> io::Result<bool> {
    let mut stream = UnixStream::connect(admin).await?;
    stream.write_all(b"GET /ready HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    Ok(status.ends_with(b" 200"))
}
