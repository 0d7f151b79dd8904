//! The Envoys of a running `keyward dev`: one for each gateway, started again when they end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::args::Args;
use super::capacity;
use crate::cli::Failure;
use crate::envoy::binary::{self, Binary};
use crate::envoy::bootstrap::{Capacity, bootstrap};
use crate::envoy::module;
use crate::envoy::process::{Envoy, Launch, ProcessError, Spawner};
use crate::plan::ObjectKey;
use crate::state::StateDir;
use crate::xds::Callers;

/// An Envoy that could not be started, or ended before it was live, is started again after this.
const BACKOFF: Duration = Duration::from_millis(500);

/// How long an Envoy may take to be live.
const LIVE: Duration = Duration::from_secs(60);

/// How long an Envoy whose gateway is gone may take to end.
const GRACE: Duration = Duration::from_secs(3);

/// Worker threads of each Envoy.
const WORKERS: u32 = 2;

/// This program, whatever became of its file since it was started (proc(5)).
const OWN_BINARY: &str = "/proc/self/exe";

/// What an Envoy has to say.
pub(super) enum Output {
    /// A line of its access log.
    Line(ObjectKey, String),
    /// It is live.
    Live(ObjectKey),
    /// It ended by itself, or could not be started, and why. It is started again.
    Ended(ObjectKey, String),
}

pub(super) struct Envoys {
    start: Arc<Start>,
    state: StateDir,
    module: PathBuf,
    capacity: Capacity,
    running: BTreeMap<ObjectKey, Running>,
    /// Gone once all of them are told to end, so that what they say comes to an end.
    sender: Option<mpsc::Sender<Output>>,
    outputs: mpsc::Receiver<Output>,
}

/// What every Envoy is started with.
struct Start {
    spawner: Spawner,
    binary: Binary,
    callers: Callers,
}

struct Running {
    live: bool,
    admin: PathBuf,
    stop: oneshot::Sender<Duration>,
}

impl Envoys {
    /// Finds the Envoy and the module that all of them run. To be called in a Tokio runtime.
    ///
    /// # Errors
    /// There is none that works; the message says what to do.
    pub(super) fn open(args: &Args, state: &StateDir, callers: Callers) -> Result<Self, Failure> {
        let binary = binary::find(args.envoy.as_deref()).map_err(Failure::failed)?;
        tracing::info!(path = %binary.path.display(), version = %binary.version, "Envoy");
        let module = module::find(args.module.clone()).map_err(Failure::failed)?;
        let (sender, outputs) = mpsc::channel(1024);
        Ok(Envoys {
            module: state.keep_module(&module).map_err(Failure::failed)?,
            start: Arc::new(Start {
                spawner: Spawner::start(OWN_BINARY.into()).map_err(Failure::failed)?,
                binary,
                callers,
            }),
            state: state.clone(),
            capacity: capacity::within_limits(args),
            running: BTreeMap::new(),
            sender: Some(sender),
            outputs,
        })
    }

    /// The module that filters run.
    pub(super) fn module(&self) -> &Path {
        &self.module
    }

    /// What any of them says next. `None` once all of them have ended after [`Envoys::stop`].
    pub(super) async fn next(&mut self) -> Option<Output> {
        let output = self.outputs.recv().await;
        match &output {
            Some(Output::Live(key)) => self.set_live(key, true),
            Some(Output::Ended(key, _)) => self.set_live(key, false),
            _ => {}
        }
        output
    }

    fn set_live(&mut self, key: &ObjectKey, live: bool) {
        if let Some(running) = self.running.get_mut(key) {
            running.live = live;
        }
    }

    /// Whether a gateway's Envoy takes connections.
    pub(super) fn is_live(&self, key: &ObjectKey) -> bool {
        self.running.get(key).is_some_and(|running| running.live)
    }

    /// The admin socket of a gateway's Envoy.
    pub(super) fn admin(&self, key: &ObjectKey) -> Option<&Path> {
        self.running.get(key).map(|running| running.admin.as_path())
    }

    /// Runs an Envoy for a gateway from now on.
    ///
    /// # Errors
    /// The state directory cannot hold what it needs.
    pub(super) fn start(&mut self, key: &ObjectKey, xds: &Path) -> Result<(), Failure> {
        let launch = self.launch(key, xds).map_err(Failure::failed)?;
        let admin = launch.admin.clone();
        let Some(sender) = self.sender.clone() else { return Ok(()) };
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(supervise(key.clone(), launch, self.start.clone(), sender, stopped));
        self.running.insert(key.clone(), Running { live: false, admin, stop });
        Ok(())
    }

    fn launch(&self, key: &ObjectKey, xds: &Path) -> Result<Launch, crate::state::StateError> {
        let directory = self.state.envoy_directory(key)?;
        let admin = directory.join("admin.sock");
        Ok(Launch {
            binary: self.start.binary.path.clone(),
            bootstrap: bootstrap(key, xds, &admin, self.capacity),
            directory,
            admin,
            keyring: self.state.keyring()?,
            workers: Some(WORKERS),
        })
    }

    /// Ends the Envoy of a gateway without waiting for it.
    pub(super) fn end(&mut self, key: &ObjectKey) {
        if let Some(running) = self.running.remove(key) {
            let _ = running.stop.send(GRACE);
        }
    }

    /// Tells all of them to end. [`Envoys::next`] gives what they still have to say, and then `None`.
    pub(super) fn stop(&mut self, grace: Duration) {
        for running in std::mem::take(&mut self.running).into_values() {
            let _ = running.stop.send(grace);
        }
        self.sender = None;
    }
}

async fn supervise(
    key: ObjectKey,
    launch: Launch,
    start: Arc<Start>,
    outputs: mpsc::Sender<Output>,
    mut stopped: oneshot::Receiver<Duration>,
) {
    loop {
        let (pause, why) = match start.launch(&key, &launch, &outputs).await {
            Err(error) => (BACKOFF, error.to_string()),
            Ok((mut envoy, caller)) => tokio::select! {
                grace = &mut stopped => {
                    let _ = envoy.stop(grace.unwrap_or_default()).await;
                    drop(caller);
                    return;
                }
                ended = live_then_ended(&key, &mut envoy, &outputs) => ended,
            },
        };
        let _ = outputs.send(Output::Ended(key.clone(), why)).await;
        tokio::select! {
            _ = &mut stopped => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// A process that may open an xDS stream, for as long as this lives: its number can be given to another.
struct Caller {
    callers: Callers,
    id: i32,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.callers.dismiss(self.id);
    }
}

impl Start {
    async fn launch(
        &self,
        key: &ObjectKey,
        launch: &Launch,
        outputs: &mpsc::Sender<Output>,
    ) -> Result<(Envoy, Caller), ProcessError> {
        let (envoy, mut lines) = self.spawner.launch(launch).await?;
        let id = envoy.id().and_then(|id| i32::try_from(id).ok()).unwrap_or_default();
        self.callers.admit(id, key.clone());
        let (key, outputs) = (key.clone(), outputs.clone());
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                let _ = outputs.send(Output::Line(key.clone(), line)).await;
            }
        });
        Ok((envoy, Caller { callers: self.callers.clone(), id }))
    }
}

/// Why it ended, and how long to wait before the next one: not at all where it was live before.
async fn live_then_ended(
    key: &ObjectKey,
    envoy: &mut Envoy,
    outputs: &mpsc::Sender<Output>,
) -> (Duration, String) {
    if let Err(error) = envoy.ready(LIVE).await {
        return (BACKOFF, error.to_string());
    }
    let _ = outputs.send(Output::Live(key.clone())).await;
    match envoy.ended().await {
        Ok(status) => (Duration::ZERO, format!("Envoy ended ({status})")),
        Err(error) => (BACKOFF, error.to_string()),
    }
}
