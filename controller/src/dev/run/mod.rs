//! The running `keyward dev`: manifests, control requests and Envoys come in; snapshots and events go out.
//!
//! One task owns everything that changes. It never blocks on an Envoy: what takes time comes back as an event.

mod hand_out;
mod tell;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::args::Args;
use super::control::{self, Answer, Pending, SetSecret};
use super::envoys::{Envoys, Output as EnvoyOutput};
use super::event::{Event, GatewayState};
use super::find::{CONTROL_SOCKET, state_path};
use super::gateway::Gateway;
use super::manifests::Manifests;
use super::output::Sink;
use super::peers::Peers;
use super::report::Report;
use super::secrets;
use super::tokens::Tokens;
use crate::cli::Failure;
use crate::conditions::Statuses;
use crate::inspector::{AskState, Inspector};
use crate::metrics::{Endpoint, Propagation, Question};
use crate::plan::ObjectKey;
use crate::source::Overrides;
use crate::state::{Lock, StateDir, socket};
use crate::xds::{Callers, Server};

/// Name of the socket that serves Envoys, in the state directory.
const XDS_SOCKET: &str = "xds.sock";

/// Name of the socket that takes spans for the inspector.
const INSPECTOR_SOCKET: &str = "inspector.sock";

/// How long the first start may take before it counts as failed.
const START: Duration = Duration::from_secs(60);

/// How long Envoys get to end by themselves.
const STOP: Duration = Duration::from_secs(3);

pub(super) struct Dev {
    args: Args,
    sink: Box<dyn Sink>,
    state: StateDir,
    manifests: Manifests,
    tokens: Tokens,
    server: Server,
    /// The socket that serves Envoys.
    xds: PathBuf,
    envoys: Envoys,
    gateways: BTreeMap<ObjectKey, Gateway>,
    /// What the compiler says of gateways; their Envoys have a say in it.
    of_gateways: Statuses,
    /// What the compiler says of all other objects, until it was reported.
    of_others: Statuses,
    report: Report,
    peers: Peers,
    /// An Envoy acknowledged or refused something.
    answered: Arc<Notify>,
    /// How long changed Secrets took.
    propagation: Propagation,
    /// Where metrics are served, where they are.
    metrics: Option<Endpoint>,
    ready: bool,
    /// The socket that Envoys tell the inspector of requests at, where there is one.
    inspected: Option<PathBuf>,
    inspector: Option<Inspector>,
    _lock: Lock,
}

impl Dev {
    /// Starts everything, and runs until `end` says with what to end. Events go to `sink`; `flags` are the values that
    /// stand above those of the manifests.
    ///
    /// # Errors
    /// [`Failure`] where it cannot start; what was started has ended by then.
    pub(super) async fn run(
        args: Args,
        flags: Overrides,
        sink: Box<dyn Sink>,
        end: impl Future<Output = Result<ExitCode, Failure>>,
    ) -> Result<ExitCode, Failure> {
        let (questions, asked) = mpsc::channel(1);
        let metrics = args.metrics_listen.map(|address| Endpoint::start(address, questions));
        let metrics = metrics.transpose().map_err(Failure::failed)?;
        let mut dev = Dev::open(args, flags, sink, metrics)?;
        let (requests, control) = mpsc::channel(16);
        let control_path = dev.state.socket(CONTROL_SOCKET).map_err(Failure::failed)?;
        let listener = socket::bind(&control_path).map_err(Failure::failed)?;
        if let Some(socket) = &dev.inspected {
            let inspector = Inspector::start(dev.args.inspect_listen, socket, state_of(&requests)).await;
            dev.inspector = Some(inspector.map_err(|error| cannot_inspect(&dev.args, &error))?);
        }
        tokio::spawn(control::serve(listener, requests));
        for message in dev.manifests.shadowed() {
            dev.emit(Event::Problem { message })?;
        }
        let result = dev.serve(control, asked, end).await;
        dev.stop().await?;
        for socket in [control_path, dev.xds].into_iter().chain(dev.inspected) {
            let _ = std::fs::remove_file(socket);
        }
        dev.sink.end().map_err(Failure::output)?;
        result
    }

    fn open(
        args: Args,
        flags: Overrides,
        sink: Box<dyn Sink>,
        metrics: Option<Endpoint>,
    ) -> Result<Dev, Failure> {
        let path = state_path(args.state_dir.as_deref(), &args.manifests).map_err(Failure::failed)?;
        let state = StateDir::open(path).map_err(Failure::failed)?;
        let lock = state.lock().map_err(Failure::failed)?;
        let inspected = match args.no_inspect {
            true => None,
            false => Some(state.socket(INSPECTOR_SOCKET).map_err(Failure::failed)?),
        };
        let manifests = Manifests::open(&args.manifests, flags, &state, inspected.clone(), !args.no_usage)?;
        let (xds, callers) = (state.socket(XDS_SOCKET).map_err(Failure::failed)?, Callers::listed());
        let envoys = Envoys::open(&args, &state, callers.clone())?;
        let server = Server::new().with_callers(callers);
        let listener = socket::bind(&xds).map_err(Failure::failed)?;
        tokio::spawn(serve(server.clone(), listener));
        Ok(Dev {
            sink,
            of_gateways: Statuses::default(),
            of_others: Statuses::default(),
            report: Report::default(),
            peers: Peers::default(),
            answered: Arc::default(),
            propagation: Propagation::default(),
            metrics,
            gateways: BTreeMap::new(),
            ready: false,
            inspected,
            inspector: None,
            _lock: lock,
            args,
            state,
            manifests,
            tokens: Tokens::none(),
            server,
            xds,
            envoys,
        })
    }

    async fn serve(
        &mut self,
        mut control: mpsc::Receiver<Pending>,
        mut asked: mpsc::Receiver<Question>,
        end: impl Future<Output = Result<ExitCode, Failure>>,
    ) -> Result<ExitCode, Failure> {
        self.reload()?;
        self.announce()?;
        if self.gateways.is_empty() {
            return Err(no_gateway(&self.args));
        }
        let deadline = Instant::now() + START;
        let mut end = pin!(end);
        loop {
            tokio::select! {
                result = &mut end => return result,
                () = self.manifests.changed() => self.reload()?,
                Some(pending) = control.recv() => self.answer(pending),
                // Nothing is new by that. Whoever asked may have gone.
                Some(question) = asked.recv() => {
                    drop(question.send(self.reading()));
                    continue;
                }
                Some(output) = self.envoys.next() => self.envoy(output)?,
                () = self.tokens.changed() => self.renew()?,
                () = self.answered.notified() => {}
                () = sleep_until(deadline), if !self.ready => return Err(self.not_ready()),
            }
            self.announce()?;
        }
    }

    /// Ends the Envoys, and says what their access logs still held.
    async fn stop(&mut self) -> Result<(), Failure> {
        self.envoys.stop(STOP);
        while let Some(output) = self.envoys.next().await {
            if let EnvoyOutput::Line(key, line) = output {
                self.access(&key, &line)?;
            }
        }
        Ok(())
    }

    /// What keeps it from starting ends it; later it goes on with what it has.
    fn fail_or_report(&mut self, failure: Failure) -> Result<(), Failure> {
        if self.ready { self.emit(Event::Problem { message: failure.to_string() }) } else { Err(failure) }
    }

    fn answer(&mut self, pending: Pending) {
        match pending {
            Pending::Set { request, answer } => self.set_secret(request, answer),
            // Whoever asked may have gone.
            Pending::Status(answer) => drop(answer.send(Box::new(self.status()))),
        }
    }

    /// Takes new values of a Secret in: judged first, then kept, then handed out.
    fn set_secret(&mut self, request: SetSecret, answer: oneshot::Sender<Answer>) {
        let SetSecret { secret, values, wait } = request;
        let note = match self.manifests.judge(&secret, &values) {
            Ok(note) => note,
            Err(message) => return drop(answer.send(Answer::Refused { message })),
        };
        let set = Instant::now();
        let kept = self.manifests.set(&secret, values, &self.state).map_err(|error| error.to_string());
        let applied = kept
            .and_then(|change| self.apply(change, Some(set.into_std())).map_err(|error| error.to_string()));
        if let Err(message) = applied {
            return drop(answer.send(Answer::Refused { message }));
        }
        let settled: Vec<_> = self.gateways.values().map(Gateway::settled).collect();
        tokio::spawn(async move { answer.send(secrets::wait(settled, wait, note).await) });
    }

    fn envoy(&mut self, output: EnvoyOutput) -> Result<(), Failure> {
        match output {
            EnvoyOutput::Line(key, line) => self.access(&key, &line),
            EnvoyOutput::Live(key) if self.ready => self.gateway_event(&key, GatewayState::Started),
            EnvoyOutput::Live(_) => Ok(()),
            EnvoyOutput::Ended(key, why) => {
                tracing::warn!(gateway = %key, "{why}");
                if let Some(gateway) = self.gateways.get_mut(&key) {
                    gateway.restarted();
                }
                if !self.ready {
                    return Err(Failure::Failed(format!("EgressGateway {key}: {why}")));
                }
                self.gateway_event(&key, GatewayState::Restarting)
            }
        }
    }
}

fn no_gateway(args: &Args) -> Failure {
    Failure::Failed(format!(
        "{}: no EgressGateway that can serve is among the manifests; see the problems and conditions above, and \
         examples/anthropic for one that works",
        args.manifests.display()
    ))
}

fn cannot_inspect(args: &Args, error: &std::io::Error) -> Failure {
    Failure::Failed(format!(
        "the inspector cannot listen at {}: {error}; choose another address by --inspect-listen",
        args.inspect_listen
    ))
}

/// The status for the inspector's page, as `keyward status` gets it.
fn state_of(requests: &mpsc::Sender<Pending>) -> AskState {
    let requests = requests.clone();
    Arc::new(move || {
        let requests = requests.clone();
        Box::pin(async move {
            let (answer, status) = oneshot::channel();
            requests.send(Pending::Status(answer)).await.ok()?;
            serde_json::to_vec(&status.await.ok()?).ok()
        })
    })
}

async fn serve(server: Server, listener: UnixListener) {
    // It ends with the program: what runs then are Envoys that end too.
    if let Err(error) = server.serve(listener, std::future::pending()).await {
        tracing::error!(%error, "the xDS server ended");
    }
}
