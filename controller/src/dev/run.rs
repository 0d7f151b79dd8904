//! The running `keyward dev`: manifests, control requests and Envoys come in; snapshots and events go out.
//!
//! One task owns everything that changes. It never blocks on an Envoy: what takes time comes back as an event.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::net::UnixListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::access;
use super::args::{Args, Listen};
use super::control::{self, Answer, Pending, SetSecret};
use super::envoys::{Envoys, Output as EnvoyOutput};
use super::event::{Event, GatewayState};
use super::find::{CONTROL_SOCKET, state_path};
use super::gateway::Gateway;
use super::manifests::{Change, Manifests};
use super::output::Sink;
use super::peers::Peers;
use super::ports::Addresses;
use super::report::Report;
use super::secrets;
use super::tokens::Tokens;
use crate::certificates::Leaves;
use crate::cli::Failure;
use crate::compile::Touched;
use crate::conditions::{Programmed, Statuses};
use crate::plan::ObjectKey;
use crate::source::Overrides;
use crate::state::{Lock, StateDir, socket};
use crate::xds::acks::AckState;
use crate::xds::{Callers, Server};

/// Name of the socket that serves Envoys, in the state directory.
const XDS_SOCKET: &str = "xds.sock";

/// How long the first start may take before it counts as failed.
const START: Duration = Duration::from_secs(30);

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
    ready: bool,
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
        let mut dev = Dev::open(args, flags, sink)?;
        let (requests, control) = mpsc::channel(16);
        let control_path = dev.state.socket(CONTROL_SOCKET).map_err(Failure::failed)?;
        let listener = socket::bind(&control_path).map_err(Failure::failed)?;
        tokio::spawn(control::serve(listener, requests));
        for message in dev.manifests.shadowed() {
            dev.emit(Event::Problem { message })?;
        }
        let result = dev.serve(control, end).await;
        dev.stop().await?;
        for socket in [control_path, dev.xds] {
            let _ = std::fs::remove_file(socket);
        }
        dev.sink.end().map_err(Failure::failed)?;
        result
    }

    fn open(args: Args, flags: Overrides, sink: Box<dyn Sink>) -> Result<Dev, Failure> {
        let path = state_path(args.state_dir.as_deref(), &args.manifests).map_err(Failure::failed)?;
        let state = StateDir::open(path).map_err(Failure::failed)?;
        let lock = state.lock().map_err(Failure::failed)?;
        let manifests = Manifests::open(&args.manifests, flags, &state)?;
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
            gateways: BTreeMap::new(),
            ready: false,
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
                Some(pending) = control.recv() => self.set_secret(pending),
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

    /// Reads the manifests again and hands out what differs.
    fn reload(&mut self) -> Result<(), Failure> {
        let (change, problems) = self.manifests.load();
        for problem in self.report.new_problems(problems) {
            self.emit(Event::Problem { message: problem })?;
        }
        self.apply(change)
    }

    fn apply(&mut self, change: Change) -> Result<(), Failure> {
        let is_everything = matches!(change, Change::Everything(_));
        self.hand_out(change)?;
        // What a value that was rotated is sealed for needs the same tokens as before.
        if is_everything { self.want_tokens() } else { Ok(()) }
    }

    /// Wants the Google tokens that the plans need. The token of an account that is gone goes with it at once.
    fn want_tokens(&mut self) -> Result<(), Failure> {
        let (needed, system_trust) = (&self.manifests.needed().wanted, self.manifests.system_trust());
        if let Err(error) = self.tokens.want(needed, system_trust) {
            self.fail_or_report(Failure::failed(error))?;
        }
        self.renew()
    }

    /// Hands out what came of Google tokens: new ones, and what is said of them.
    fn renew(&mut self) -> Result<(), Failure> {
        let change = self.manifests.renew(self.tokens.snapshot());
        self.hand_out(change)
    }

    fn hand_out(&mut self, change: Change) -> Result<(), Failure> {
        match change {
            Change::Everything(statuses) => self.apply_everything(statuses),
            Change::Values(touched, statuses) => {
                self.of_others.0.extend(statuses.0);
                self.apply_values(&touched)
            }
        }
    }

    /// Hands out plans that are new, and starts and ends gateways.
    fn apply_everything(&mut self, statuses: Statuses) -> Result<(), Failure> {
        let known: Vec<ObjectKey> = self.manifests.plans().keys().cloned().collect();
        let gone: Vec<_> = self.gateways.keys().filter(|key| !known.contains(key)).cloned().collect();
        for key in gone {
            self.remove(&key)?;
        }
        let new: Vec<_> = known.iter().filter(|key| !self.gateways.contains_key(key)).collect();
        for key in new {
            if let Err(failure) = self.add(key, &known) {
                self.fail_or_report(failure)?;
            }
        }
        let plans = self.manifests.plans();
        let published = self.gateways.iter_mut();
        let published = published.filter_map(|(key, gateway)| gateway.publish(plans.get(key)?).err());
        for error in published.collect::<Vec<_>>() {
            self.fail_or_report(Failure::failed(error))?;
        }
        self.report.forget_all_but(&statuses);
        (self.of_gateways, self.of_others) = statuses.split();
        Ok(())
    }

    /// Hands out buckets whose sealed values are new.
    fn apply_values(&mut self, touched: &Touched) -> Result<(), Failure> {
        let mut failed = Vec::new();
        for (key, buckets) in touched {
            let Some(plan) = self.manifests.plans().get(key) else { continue };
            let Some(gateway) = self.gateways.get_mut(key) else { continue };
            failed.extend(gateway.publish_buckets(plan, buckets).err());
        }
        failed.into_iter().try_for_each(|error| self.fail_or_report(Failure::failed(error)))
    }

    /// What keeps it from starting ends it; later it goes on with what it has.
    fn fail_or_report(&mut self, failure: Failure) -> Result<(), Failure> {
        if self.ready { self.emit(Event::Problem { message: failure.to_string() }) } else { Err(failure) }
    }

    fn add(&mut self, key: &ObjectKey, known: &[ObjectKey]) -> Result<(), Failure> {
        // After the start a gateway may come or go; the flags were right for those of the start.
        let (listen, transparent) = match self.ready {
            false => (self.args.listen.clone(), self.args.transparent_listen.clone()),
            true => (named(&self.args.listen, known), named(&self.args.transparent_listen, known)),
        };
        let addresses = Addresses::assign(&listen, &transparent, known)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let ports = addresses.reserve(key).map_err(Failure::failed)?;
        let authority = self.state.authority(key, OffsetDateTime::now_utc()).map_err(Failure::failed)?;
        let ca = self.state.authority_path(key).map_err(Failure::failed)?;
        let handle = self.server.gateway(key.clone(), Leaves::new(authority));
        tokio::spawn(notify(handle.acks(), self.answered.clone()));
        let gateway = Gateway::new(key.clone(), ports, handle, ca, self.envoys.module().to_owned());
        self.gateways.insert(key.clone(), gateway);
        self.envoys.start(key, &self.xds)
    }

    fn remove(&mut self, key: &ObjectKey) -> Result<(), Failure> {
        self.envoys.end(key);
        if let Some(gateway) = self.gateways.remove(key) {
            gateway.handle().remove();
        }
        self.gateway_event(key, GatewayState::Removed)
    }

    /// Takes new values of a Secret in: judged first, then kept, then handed out.
    fn set_secret(&mut self, pending: Pending) {
        let Pending { request, answer } = pending;
        let SetSecret { secret, values, wait } = request;
        let note = match self.manifests.judge(&secret, &values) {
            Ok(note) => note,
            Err(message) => return drop(answer.send(Answer::Refused { message })),
        };
        let kept = self.manifests.set(&secret, values, &self.state).map_err(|error| error.to_string());
        let applied = kept.and_then(|change| self.apply(change).map_err(|error| error.to_string()));
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
                if !self.ready {
                    return Err(Failure::Failed(format!("EgressGateway {key}: {why}")));
                }
                self.gateway_event(&key, GatewayState::Restarting)
            }
        }
    }

    fn access(&mut self, key: &ObjectKey, line: &str) -> Result<(), Failure> {
        let Some((entry, gateway)) = access::Entry::parse(line).zip(self.gateways.get(key)) else {
            return Ok(());
        };
        let ca = gateway.ca();
        let silent = self.peers.is_silent_end(&entry).then(|| entry.silent_end(&ca));
        let line = silent.clone().or_else(|| entry.line(&ca));
        self.emit(Event::Access {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            entry: entry.into_json(&ca, silent),
            line,
        })
    }

    /// Says what is new: conditions that changed, and, once, that everything serves.
    fn announce(&mut self) -> Result<(), Failure> {
        // This runs after every request's line too: thousands of routes are looked at once for each compilation.
        let mut gateways = self.of_gateways.clone();
        for (key, gateway) in &self.gateways {
            gateways.set_programmed(key, &gateway.programmed());
        }
        let others = std::mem::take(&mut self.of_others);
        for statuses in [&gateways, &others] {
            for event in self.report.changed_conditions(statuses) {
                self.emit(event)?;
            }
        }
        // Not before the first answers of token endpoints: what starts at that word would find its requests denied.
        if !self.ready && self.tokens.are_tried() && self.gateways.keys().all(|key| self.serves(key)) {
            self.ready = true;
            let gateways = self.gateways.values().map(Gateway::address).collect();
            self.emit(Event::Ready { gateways })?;
        }
        Ok(())
    }
}

impl Dev {
    /// Whether a gateway answers requests: its Envoy is live and holds what was published.
    fn serves(&self, key: &ObjectKey) -> bool {
        let programmed = self.gateways.get(key).map(Gateway::programmed);
        programmed == Some(Programmed::Yes) && self.envoys.is_live(key)
    }

    fn not_ready(&self) -> Failure {
        let waiting = self.gateways.iter().filter(|(key, _)| !self.serves(key));
        let lines = waiting.map(|(key, gateway)| format!("EgressGateway {key}: {:?}", gateway.programmed()));
        Failure::Failed(format!(
            "not ready after {} s: {}",
            START.as_secs(),
            lines.collect::<Vec<_>>().join("; ")
        ))
    }

    fn gateway_event(&mut self, key: &ObjectKey, state: GatewayState) -> Result<(), Failure> {
        let address = self.gateways.get(key).map(Gateway::address);
        self.emit(Event::Gateway { namespace: key.namespace.clone(), name: key.name.clone(), state, address })
    }

    fn emit(&mut self, event: Event) -> Result<(), Failure> {
        self.sink.emit(event).map_err(|error| Failure::Failed(format!("standard output: {error}")))
    }
}

fn no_gateway(args: &Args) -> Failure {
    Failure::Failed(format!(
        "{}: no EgressGateway that can serve is among the manifests; see the problems and conditions above, and \
         examples/anthropic for one that works",
        args.manifests.display()
    ))
}

/// The values of a flag that speak of gateways that exist.
fn named(values: &[Listen], known: &[ObjectKey]) -> Vec<Listen> {
    let exists = |listen: &&Listen| listen.gateway.as_ref().is_some_and(|key| known.contains(key));
    values.iter().filter(exists).cloned().collect()
}

/// Tells of every change until the gateway is gone.
async fn notify(mut acks: watch::Receiver<AckState>, answered: Arc<Notify>) {
    while acks.changed().await.is_ok() {
        answered.notify_one();
    }
}

async fn serve(server: Server, listener: UnixListener) {
    // It ends with the program: what runs then are Envoys that end too.
    if let Err(error) = server.serve(listener, std::future::pending()).await {
        tracing::error!(%error, "the xDS server ended");
    }
}
