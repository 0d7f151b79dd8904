//! What the mixed load runs against: a controller and an Envoy, each of which can be killed while the other goes on.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ::controller::certificates::Authority;
use ::controller::envoy::bootstrap::{Capacity, bootstrap};
use ::controller::envoy::names::PROXY_LISTENER;
use ::controller::envoy::process::{Envoy, Launch, Spawner};
use ::controller::state::StateDir;
use harness::client::{Agent, Http, Way};
use policy::seal::Keyring;
use rustix::process::{Pid, Signal, kill_process};
use time::OffsetDateTime;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpSocket;
use tokio::process::{Child, Command};

use super::controller::{SETTLED, gateway};
use crate::scale::tenants;
use crate::scale::upstream::Upstream;

/// How long the controller stays away: longer than a request, shorter than Envoy's patience.
const AWAY: Duration = Duration::from_secs(5);

/// How long a process may take until it serves.
const START: Duration = Duration::from_secs(120);

/// Routes of the gateway.
pub(super) const TENANTS: usize = 20;

/// A process that was killed, until what it did was done again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outage {
    pub(super) of: Part,
    pub(super) from: Instant,
    pub(super) to: Instant,
}

/// What can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Controller,
    Envoy,
}

impl Outage {
    /// Whether it overlaps a span of time.
    pub(super) fn meets(&self, from: Instant, to: Instant) -> bool {
        from <= self.to && self.from <= to
    }
}

/// Everything that runs. All of it ends when dropped.
pub(super) struct Stage {
    pub(super) manifests: tempfile::TempDir,
    state: tempfile::TempDir,
    proxy: SocketAddr,
    /// Holds the port while no Envoy does.
    _port: TcpSocket,
    ca: String,
    controller: Child,
    envoy: Envoy,
    spawner: Spawner,
    _upstream: Upstream,
}

impl Stage {
    /// Starts it, and waits until it serves.
    pub(super) async fn start() -> Stage {
        let upstream = Upstream::start(&tenants::probed_hosts()).await;
        let folder = || tempfile::Builder::new().prefix("kw").tempdir().expect("a temporary directory");
        let (manifests, state) = (folder(), folder());
        tenants::write(manifests.path(), TENANTS, upstream.address.port(), &upstream.ca).expect("manifests");
        let port = TcpSocket::new_v4().expect("a socket");
        port.set_reuseport(true).expect("a port that Envoy can share");
        port.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let proxy = port.local_addr().expect("its address");
        let kept = StateDir::open(state.path()).expect("a state directory");
        // Made before anyone else looks: two that make one at a time would make two.
        drop(kept.keyring().expect("a keyring"));
        let authority: Authority =
            kept.authority(&gateway(), OffsetDateTime::now_utc()).expect("an authority");
        let ca = authority.certificate().to_owned();
        let spawner = Spawner::start(harness::artefacts::keyward().to_owned()).expect("a thread");
        let controller = controller(manifests.path(), state.path(), proxy);
        let envoy = launch(&spawner, &kept).await;
        let mut stage = Stage {
            manifests,
            state,
            proxy,
            _port: port,
            ca,
            controller,
            envoy,
            spawner,
            _upstream: upstream,
        };
        stage.settled().await;
        stage.serves().await;
        stage
    }

    /// The number of the controller.
    pub(super) fn controller(&self) -> i32 {
        id(self.controller.id())
    }

    /// The number of the Envoy.
    pub(super) fn envoy(&self) -> i32 {
        id(self.envoy.id())
    }

    /// An agent that wants a host.
    pub(super) fn agent(&self, http: Http, host: &str) -> Agent {
        Agent::new(Way::Proxy(self.proxy, format!("{host}:443")), http, host, &self.ca)
    }

    /// Kills the controller, starts it again a while later, and waits until Envoy holds what it serves.
    pub(super) async fn kill_controller(&mut self) -> Outage {
        let from = Instant::now();
        kill(self.controller());
        self.controller.wait().await.expect("a child that ended");
        tokio::time::sleep(AWAY).await;
        self.controller = controller(self.manifests.path(), self.state.path(), self.proxy);
        self.settled().await;
        Outage { of: Part::Controller, from, to: Instant::now() }
    }

    /// Kills the Envoy, starts another one at once, and waits until it serves.
    pub(super) async fn kill_envoy(&mut self) -> Outage {
        let from = Instant::now();
        kill(self.envoy());
        self.envoy.ended().await.expect("a child that ended");
        self.envoy = launch(&self.spawner, &StateDir::open(self.state.path()).expect("the state")).await;
        self.serves().await;
        Outage { of: Part::Envoy, from, to: Instant::now() }
    }

    /// Waits until the controller says that an Envoy holds what it serves.
    async fn settled(&mut self) {
        let Some(output) = self.controller.stdout.take() else { return };
        let mut lines = BufReader::new(output).lines();
        let line =
            tokio::time::timeout(START, lines.next_line()).await.expect("the controller serves in time");
        assert_eq!(line.expect("its output").as_deref(), Some(SETTLED));
    }

    /// Waits until Envoy listens and a request is answered with a credential.
    async fn serves(&self) {
        let end = Instant::now() + START;
        while !self.envoy.listeners().await.is_ok_and(|listeners| listeners.contains_key(PROXY_LISTENER))
            || !self.answers().await
        {
            assert!(Instant::now() < end, "the gateway does not serve");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn answers(&self) -> bool {
        let host = tenants::host(1);
        let answer = self.agent(Http::Two, &host).send(&crate::scale::load::request(&host)).await;
        answer.is_ok_and(|answer| crate::scale::load::generation(&answer).is_some())
    }
}

fn controller(manifests: &std::path::Path, state: &std::path::Path, proxy: SocketAddr) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    command.arg("endurance-controller").arg("--manifests").arg(manifests).arg("--state").arg(state);
    command.arg("--xds").arg(state.join("xds.sock")).arg("--proxy").arg(proxy.to_string());
    command.arg("--module").arg(harness::artefacts::module());
    command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("this program starts")
}

async fn launch(spawner: &Spawner, state: &StateDir) -> Envoy {
    let directory = state.envoy_directory(&gateway()).expect("a directory");
    let admin = directory.join("admin.sock");
    let keyring = state.keyring().expect("a keyring");
    assert!(Keyring::parse(&keyring).is_ok());
    let launch = Launch {
        binary: harness::artefacts::envoy(),
        bootstrap: bootstrap(&gateway(), &state.path().join("xds.sock"), &admin, Capacity::default()),
        directory,
        admin,
        keyring,
        workers: Some(2),
    };
    let (mut envoy, mut lines) = spawner.launch(&launch).await.expect("Envoy starts");
    // Its access log is read, so that it never waits for a reader.
    tokio::spawn(async move { while lines.recv().await.is_some() {} });
    envoy.ready(START).await.expect("Envoy is ready");
    envoy
}

fn id(process: Option<u32>) -> i32 {
    process.and_then(|id| i32::try_from(id).ok()).expect("a running process")
}

fn kill(process: i32) {
    let process = Pid::from_raw(process).expect("a process");
    kill_process(process, Signal::KILL).expect("a running process");
}
