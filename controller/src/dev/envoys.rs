//! The Envoys of a running `keyward dev`: one for each gateway, started again when they end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStdout;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::args::Args;
use crate::cli::Failure;
use crate::envoy::binary::{Binary, Search};
use crate::envoy::bootstrap::bootstrap;
use crate::envoy::module;
use crate::envoy::process::{Launch, Process, is_live};
use crate::plan::ObjectKey;
use crate::state::StateDir;
use crate::xds::Callers;

/// An Envoy that ended sooner than this is not started again at once.
const STEADY: Duration = Duration::from_secs(5);

/// How long it waits then.
const BACKOFF: Duration = Duration::from_millis(500);

/// How often an Envoy that starts is asked whether it is live.
const POLL: Duration = Duration::from_millis(20);

/// Worker threads of each Envoy.
const WORKERS: usize = 2;

/// What an Envoy has to say.
pub(super) enum Output {
    /// A line of its access log.
    Line(ObjectKey, String),
    /// It is live.
    Live(ObjectKey),
    /// It ended by itself, and why.
    Ended(ObjectKey, String),
}

pub(super) struct Envoys {
    binary: Binary,
    module: PathBuf,
    state: StateDir,
    xds: PathBuf,
    keyring: Zeroizing<String>,
    callers: Callers,
    running: BTreeMap<ObjectKey, Running>,
    outputs: (mpsc::Sender<Output>, mpsc::Receiver<Output>),
}

struct Running {
    live: bool,
    stop: oneshot::Sender<Duration>,
    task: JoinHandle<()>,
}

impl Envoys {
    /// Finds the Envoy and the module that all of them run.
    ///
    /// # Errors
    /// There is none that works; the message says what to do.
    pub(super) fn open(args: &Args, state: &StateDir, xds: &Path, callers: Callers) -> Result<Self, Failure> {
        let binary = Search::from_environment(args.envoy.clone()).find().map_err(Failure::failed)?;
        tracing::info!(path = %binary.path.display(), version = %binary.version, "Envoy");
        Ok(Envoys {
            binary,
            module: module::find(args.module.clone()).map_err(Failure::failed)?,
            state: state.clone(),
            xds: xds.to_owned(),
            keyring: state.keyring().map_err(Failure::failed)?,
            callers,
            running: BTreeMap::new(),
            outputs: mpsc::channel(1024),
        })
    }

    /// The module that filters run.
    pub(super) fn module(&self) -> &Path {
        &self.module
    }

    /// What any of them says next.
    pub(super) async fn next(&mut self) -> Option<Output> {
        let output = self.outputs.1.recv().await;
        if let Some(Output::Live(key)) = &output
            && let Some(running) = self.running.get_mut(key)
        {
            running.live = true;
        }
        output
    }

    /// Whether a gateway's Envoy takes connections.
    pub(super) fn is_live(&self, key: &ObjectKey) -> bool {
        self.running.get(key).is_some_and(|running| running.live)
    }

    /// Starts the Envoy of a gateway, from the calling thread (see [`Process`]).
    ///
    /// # Errors
    /// It cannot be run.
    pub(super) fn start(&mut self, key: &ObjectKey) -> Result<(), Failure> {
        let directory = self.state.gateway_directory(key).map_err(Failure::failed)?;
        let admin = self.state.socket(&format!("admin-{}-{}.sock", key.namespace, key.name)).map_err(Failure::failed)?;
        let launch = Launch {
            binary: &self.binary.path,
            bootstrap: &bootstrap(key, &self.xds, &admin),
            directory: &directory,
            admin: &admin,
            keyring: &self.keyring,
            workers: WORKERS,
        };
        let mut process = Process::start(&launch)
            .map_err(|error| Failure::Failed(format!("{}: {error}", self.binary.path.display())))?;
        self.callers.admit(process.pid().as_raw_nonzero().get(), key.clone());
        let (stop, stopped) = oneshot::channel();
        if let Some(output) = process.take_output() {
            tokio::spawn(copy_lines(key.clone(), output, self.outputs.0.clone()));
        }
        let task = supervise(key.clone(), process, admin, self.callers.clone(), stopped, self.outputs.0.clone());
        self.running.insert(key.clone(), Running { live: false, stop, task: tokio::spawn(task) });
        Ok(())
    }

    /// Ends the Envoy of a gateway without waiting for it.
    pub(super) fn end(&mut self, key: &ObjectKey) {
        if let Some(running) = self.running.remove(key) {
            let _ = running.stop.send(STEADY);
        }
    }

    /// Ends all of them, and waits until they have.
    pub(super) async fn stop(&mut self, patience: Duration) {
        let running = std::mem::take(&mut self.running);
        let tasks: Vec<_> = running
            .into_values()
            .map(|running| {
                let _ = running.stop.send(patience);
                running.task
            })
            .collect();
        for task in tasks {
            let _ = task.await;
        }
    }
}

async fn supervise(
    key: ObjectKey,
    mut process: Process,
    admin: PathBuf,
    callers: Callers,
    stopped: oneshot::Receiver<Duration>,
    outputs: mpsc::Sender<Output>,
) {
    let (pid, started) = (process.pid().as_raw_nonzero().get(), Instant::now());
    tokio::select! {
        patience = stopped => process.stop(patience.unwrap_or_default()).await,
        why = live_then_ended(&key, &mut process, &admin, &outputs) => {
            callers.dismiss(pid);
            if started.elapsed() < STEADY {
                tokio::time::sleep(BACKOFF).await;
            }
            let _ = outputs.send(Output::Ended(key, why)).await;
        }
    }
    callers.dismiss(pid);
    let _ = std::fs::remove_file(admin);
}

async fn live_then_ended(
    key: &ObjectKey,
    process: &mut Process,
    admin: &Path,
    outputs: &mpsc::Sender<Output>,
) -> String {
    let log = process.log().to_owned();
    let live = async {
        while !is_live(admin).await {
            tokio::time::sleep(POLL).await;
        }
    };
    let ended = tokio::select! {
        () = live => {
            let _ = outputs.send(Output::Live(key.clone())).await;
            process.wait().await
        }
        ended = process.wait() => ended,
    };
    let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
    format!("the Envoy of EgressGateway {key} ended ({how}): {}", last_words(&log))
}

/// What an Envoy said last that matters, and where the rest is.
fn last_words(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let grave = text.lines().rev().find(|line| line.contains("[critical]") || line.contains("[error]"));
    format!("{} (log: {})", grave.unwrap_or("it gave no reason").trim(), log.display())
}

async fn copy_lines(key: ObjectKey, output: ChildStdout, outputs: mpsc::Sender<Output>) {
    let mut lines = BufReader::new(output).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line).into_owned();
        if outputs.send(Output::Line(key.clone(), line)).await.is_err() {
            return;
        }
    }
}
