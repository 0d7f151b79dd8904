//! Envoy as a child: started with nothing of our environment but the keyring, watched, and never left behind.
//!
//! The kernel ends it when the *thread* that started it ends, so it ends with this process even when that is killed.
//! [`Spawner`] is that thread. Hot restart is off: whoever can reach its sockets can stop Envoy.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use zeroize::Zeroizing;

use super::{KEYRING_VARIABLE, admin};
use crate::tether;

/// How often readiness is asked for.
const POLL: Duration = Duration::from_millis(25);
/// Access-log lines that wait for whoever reads them.
const LINES: usize = 1024;
/// How long connections of a listener that changed or went may go on.
const DRAIN_SECONDS: &str = "20";
/// Lines of Envoy's own log that are kept to explain an early end.
const KEPT: usize = 20;

/// What to start.
pub struct Launch {
    /// Path of Envoy ([`super::binary::find`]).
    pub binary: PathBuf,
    /// The bootstrap ([`super::bootstrap::bootstrap`]).
    pub bootstrap: Value,
    /// A directory of the caller's, mode 0700, for the bootstrap file.
    pub directory: PathBuf,
    /// Path of the admin socket that the bootstrap names.
    pub admin: PathBuf,
    /// The sealing keys ([`KEYRING_VARIABLE`]).
    pub keyring: Zeroizing<String>,
    /// Number of worker threads; `None` is one for each core.
    pub workers: Option<u32>,
}

/// Why an Envoy does not run.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The bootstrap cannot be written.
    #[error("the bootstrap cannot be written to {path}")]
    Bootstrap {
        /// Where to.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The program cannot be started.
    #[error("{path} cannot be started")]
    Start {
        /// The program.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The thread that starts Envoys is gone.
    #[error("no Envoy can be started while shutting down")]
    ShuttingDown,
    /// It ended before it was ready.
    #[error("Envoy ended before it was ready ({status}); its last words:\n{log}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// It did not get ready in time.
    #[error("Envoy was not ready after {waited:?}; its last words:\n{log}")]
    NotReady {
        /// How long it was given.
        waited: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// It cannot be watched.
    #[error("Envoy cannot be watched")]
    Watch(#[source] io::Error),
}

type Order = (Command, oneshot::Sender<io::Result<Child>>);

/// The thread that Envoys are started from. They end when it is dropped, if they have not been stopped before.
pub struct Spawner {
    keyward: PathBuf,
    orders: blocking::Sender<Order>,
}

/// A running Envoy. Dropping it kills it.
pub struct Envoy {
    child: Child,
    admin: PathBuf,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl Spawner {
    /// Starts the thread. To be called in a Tokio runtime, which must outlive it. `keyward` is the path of the
    /// `keyward` binary, which ties each Envoy to this process before it becomes Envoy.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(keyward: PathBuf) -> io::Result<Spawner> {
        let runtime = Handle::current();
        let (orders, inbox) = blocking::channel::<Order>();
        thread::Builder::new().name("envoy-parent".to_owned()).spawn(move || {
            let _entered = runtime.enter();
            for (mut command, answer) in inbox {
                // Whoever asked may have gone; then the child is dropped, which kills it.
                let _ = answer.send(command.spawn());
            }
        })?;
        Ok(Spawner { keyward, orders })
    }

    /// Starts an Envoy. The receiver gives its standard output, which is the access log, line by line.
    ///
    /// # Errors
    /// [`ProcessError`].
    pub async fn launch(&self, launch: &Launch) -> Result<(Envoy, mpsc::Receiver<String>), ProcessError> {
        let bootstrap = launch.directory.join("bootstrap.json");
        write_bootstrap(&bootstrap, &launch.bootstrap)
            .map_err(|cause| ProcessError::Bootstrap { path: bootstrap.clone(), cause })?;
        let (answer, started) = oneshot::channel();
        self.orders
            .send((self.command(launch, &bootstrap), answer))
            .map_err(|_| ProcessError::ShuttingDown)?;
        let mut child = started
            .await
            .map_err(|_| ProcessError::ShuttingDown)?
            .map_err(|cause| ProcessError::Start { path: launch.binary.clone(), cause })?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(keep_log(stderr, Arc::clone(&log)));
        }
        let (sender, lines) = mpsc::channel(LINES);
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(forward_lines(stdout, sender));
        }
        Ok((Envoy { child, admin: launch.admin.clone(), log }, lines))
    }

    fn command(&self, launch: &Launch, bootstrap: &Path) -> Command {
        let mut command = tether::command(&self.keyward, &launch.binary);
        command.arg("--config-path").arg(bootstrap).arg("--disable-hot-restart");
        // The level is fixed: below `info` Envoy prints the headers that the filter has injected.
        command.args(["--log-level", "info", "--log-format", "%l %n %v", "--log-format-escaped"]);
        // Access-log lines appear when they happen, not every ten seconds.
        command.args(["--file-flush-interval-msec", "50"]);
        // What a listener no longer allows ends soon: by default it would go on for ten minutes.
        command.args(["--drain-time-s", DRAIN_SECONDS]);
        if let Some(workers) = launch.workers {
            command.args(["--concurrency", &workers.to_string()]);
        }
        command.env_clear().env(KEYRING_VARIABLE, launch.keyring.as_str());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

impl Envoy {
    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until every listener is in place.
    ///
    /// # Errors
    /// When it ends first, or takes longer than `limit`.
    pub async fn ready(&mut self, limit: Duration) -> Result<(), ProcessError> {
        let deadline = Instant::now() + limit;
        while !admin::is_ready(&self.admin).await {
            if let Some(status) = self.child.try_wait().map_err(ProcessError::Watch)? {
                // What it said last may still be on its way.
                sleep(POLL).await;
                return Err(ProcessError::Ended { status, log: self.last_words() });
            }
            if Instant::now() >= deadline {
                return Err(ProcessError::NotReady { waited: limit, log: self.last_words() });
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// The addresses that its listeners are bound to, by the listener's name ([`super::names`]).
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn listeners(&self) -> Result<BTreeMap<String, SocketAddr>, ProcessError> {
        admin::listeners(&self.admin).await.map_err(ProcessError::Watch)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub async fn ended(&mut self) -> Result<ExitStatus, ProcessError> {
        self.child.wait().await.map_err(ProcessError::Watch)
    }

    /// Asks it to end, and kills it after `grace`.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub async fn stop(mut self, grace: Duration) -> Result<ExitStatus, ProcessError> {
        terminate(self.id());
        if timeout(grace, self.child.wait()).await.is_err() {
            self.child.kill().await.map_err(ProcessError::Watch)?;
        }
        let ended = self.ended().await;
        // Nothing depends on it: what cannot be removed stays.
        let _ = std::fs::remove_file(&self.admin);
        ended
    }

    fn last_words(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

fn terminate(id: Option<u32>) {
    let process = id.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(process) = process {
        // It may have ended meanwhile, which is what is wanted.
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
    }
}

fn write_bootstrap(path: &Path, bootstrap: &Value) -> io::Result<()> {
    let json = serde_json::to_vec_pretty(bootstrap)?;
    std::fs::write(path, json)
}

/// Passes lines on. When nobody reads them any more they are dropped, so that Envoy never waits for us.
async fn forward_lines(output: impl AsyncRead + Unpin, lines: mpsc::Sender<String>) {
    let mut output = BufReader::new(output).lines();
    while let Ok(Some(line)) = output.next_line().await {
        let _ = lines.send(line).await;
    }
}

async fn keep_log(output: impl AsyncRead + Unpin, log: Arc<Mutex<VecDeque<String>>>) {
    let mut output = BufReader::new(output).lines();
    while let Ok(Some(line)) = output.next_line().await {
        if line.contains("marked as work-in-progress") {
            continue;
        }
        report(&line);
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == KEPT {
            log.pop_front();
        }
        log.push_back(line);
    }
}

/// Repeats a line of Envoy's log in ours, at its own level.
fn report(line: &str) {
    match line.split_once(' ') {
        Some(("error" | "critical", rest)) => tracing::error!(target: "envoy", "{rest}"),
        Some(("warning", rest)) => tracing::warn!(target: "envoy", "{rest}"),
        Some(("info", rest)) => tracing::info!(target: "envoy", "{rest}"),
        _ => tracing::info!(target: "envoy", "{line}"),
    }
}
