//! The controller inside the test, a real Envoy in front of a provider, and the tee between them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use controller::certificates::{Authority, Leaves};
use controller::envoy::Placement;
use controller::envoy::bootstrap::bootstrap;
use controller::envoy::names::PROXY_LISTENER;
use controller::envoy::process::{Envoy, Launch, Spawner};
use controller::state::socket;
use controller::xds::{GatewayHandle, Server};
use harness::artefacts;
use harness::client::{Agent, Http, Request, Way};
use harness::gateway::{HOST, Manifests};
use harness::provider::{Options, Provider};
use harness::scenario::{KEY, PLACEHOLDER};
use harness::sealed::KEYRING;
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::tee::{PATIENCE, Tee};
use super::world::{World, gateway};

/// Hosts that the provider has a certificate for, besides the worked example's.
pub(super) const OTHER: &str = "other.example";

/// How long before now the tests begin, by the controller's clock: longer than two thirds of a leaf's life, so that
/// every leaf is due for renewal when the clock is put right, and valid for an agent all the time.
const BEHIND: time::Duration = time::Duration::hours(16);

/// How long Envoy gets to end.
const GRACE: Duration = Duration::from_secs(3);

/// A running controller.
struct Controller {
    handle: GatewayHandle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

/// Everything that one test runs. All of it ends when dropped.
pub(super) struct Rig {
    /// The upstream of every host.
    pub(super) provider: Provider,
    /// What is said between Envoy and the controller.
    pub(super) tee: Tee,
    /// Seconds that are added to the controller's clock.
    clock: Arc<AtomicI64>,
    ca: (String, Zeroizing<String>),
    controller: Option<Controller>,
    envoy: Envoy,
    module: PathBuf,
    folder: tempfile::TempDir,
    _spawner: Spawner,
}

impl Rig {
    /// Starts everything. Envoy has nothing yet, and listens on nothing.
    pub(super) async fn start() -> Rig {
        let artefacts = || (artefacts::module().to_owned(), artefacts::keyward().to_owned());
        let (module, keyward) = tokio::task::spawn_blocking(artefacts).await.expect("the artefacts");
        let names = [HOST, OTHER].map(str::to_owned).to_vec();
        let provider = Provider::start(Options { names, ..Options::default() }).await.expect("a provider");
        provider.behave(|behaviour| behaviour.key = Some(KEY.to_owned()));
        let folder = tempfile::Builder::new().prefix("kw").tempdir().expect("a temporary directory");
        let tee = Tee::start(&folder.path().join("tee.sock"), &folder.path().join("xds.sock"));
        let clock = Arc::new(AtomicI64::new(-BEHIND.whole_seconds()));
        let (authority, key) = Authority::create(&gateway().to_string(), now(&clock)).expect("an authority");
        let ca = (authority.certificate().to_owned(), key);
        let spawner = Spawner::start(keyward).expect("a thread");
        let (envoy, _) = spawner.launch(&launch(&folder)).await.expect("Envoy");
        let mut rig =
            Rig { provider, tee, clock, ca, controller: None, envoy, module, folder, _spawner: spawner };
        rig.start_controller();
        rig
    }

    /// Starts everything with the worked example, and waits until Envoy holds it.
    pub(super) async fn with_example() -> (Rig, World) {
        let rig = Rig::start().await;
        let world = rig.example(KEY);
        rig.publish(&world);
        rig.settled(&world).await;
        (rig, world)
    }

    /// Ends everything in order.
    pub(super) async fn end(mut self) {
        self.stop_controller().await;
        self.envoy.stop(GRACE).await.expect("Envoy ends");
    }

    /// Starts the controller, with the certificate authority that it had and nothing else.
    pub(super) fn start_controller(&mut self) {
        assert!(self.controller.is_none(), "it runs");
        let clock = Arc::clone(&self.clock);
        let authority = Authority::load(&self.ca.0, &self.ca.1, now(&clock)).expect("the authority");
        let server = Server::new().with_clock(Arc::new(move || now(&clock)));
        let handle = server.gateway(gateway(), Leaves::new(authority));
        let listener = socket::bind(&self.folder.path().join("xds.sock")).expect("a socket");
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.serve(listener, async { drop(stopped.await) }));
        self.controller = Some(Controller { handle, stop, task });
    }

    /// Stops the controller, and waits until it has.
    pub(super) async fn stop_controller(&mut self) {
        let Controller { stop, task, .. } = self.controller.take().expect("it runs");
        stop.send(()).expect("it runs");
        let ended = tokio::time::timeout(PATIENCE, task).await.expect("it stops in time");
        ended.expect("no panic").expect("no error");
    }

    /// Puts the controller's clock right.
    pub(super) fn catch_up(&self) {
        self.clock.store(0, Ordering::SeqCst);
    }

    /// The worked example, in front of the provider.
    pub(super) fn manifests(&self) -> Manifests {
        Manifests::example(&self.provider)
    }

    /// The worked example compiled with this credential.
    pub(super) fn example(&self, credential: &str) -> World {
        self.world(&self.manifests(), credential)
    }

    /// Manifests compiled with this credential.
    pub(super) fn world(&self, manifests: &Manifests, credential: &str) -> World {
        World::compile(manifests, credential, &self.placement(true))
    }

    /// Where Envoy listens: on free ports, with or without the transparent one.
    pub(super) fn placement(&self, transparent: bool) -> Placement {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Placement {
            proxy: free,
            transparent: transparent.then_some(free),
            module: self.module.clone(),
            epoch: 0,
        }
    }

    /// What the test does with the gateway.
    pub(super) fn handle(&self) -> &GatewayHandle {
        &self.controller.as_ref().expect("it runs").handle
    }

    /// Hands a world out.
    pub(super) fn publish(&self, world: &World) {
        self.handle().allow(world.mint.clone());
        self.handle().publish(world.snapshot.clone());
    }

    /// Waits until a connected Envoy holds it.
    pub(super) async fn settled(&self, world: &World) {
        let mut acks = self.handle().acks();
        let settled = acks.wait_for(|acks| acks.connected() == 1 && acks.settled(&world.snapshot));
        let settled = tokio::time::timeout(PATIENCE, settled).await.is_ok();
        let refusals = self.handle().acks().borrow().refusals(&world.snapshot);
        assert!(settled, "Envoy does not hold what was published; refused: {refusals:?}");
    }

    /// The address of the proxy port. Envoy listens a moment after it has acknowledged a listener: it waits for what
    /// that refers to.
    pub(super) async fn proxy(&self) -> SocketAddr {
        let end = Instant::now() + PATIENCE;
        loop {
            let listeners = self.envoy.listeners().await.expect("Envoy's listeners");
            if let Some(address) = listeners.get(PROXY_LISTENER) {
                return *address;
            }
            assert!(Instant::now() < end, "Envoy does not listen: {listeners:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// An agent that uses the proxy port.
    pub(super) async fn agent(&self, http: Http, host: &str) -> Agent {
        Agent::new(Way::Proxy(self.proxy().await, format!("{host}:443")), http, host, &self.ca.0)
    }

    /// Sends a request to a host on a fresh connection; it must be answered by the provider, with this key.
    pub(super) async fn assert_serves(&self, host: &str, credential: &str) {
        self.provider.behave(|behaviour| behaviour.key = Some(credential.to_owned()));
        let before = self.provider.requests().len();
        let answer = self.agent(Http::Two, host).await.send(&request(host)).await;
        assert_eq!(answer.expect(host).status, 200, "{host}");
        let received = self.provider.requests().split_off(before);
        assert_eq!(received[0].values("x-api-key"), [credential], "{host}");
    }
}

/// `POST /v1/messages` as an agent sends it.
pub(super) fn request(host: &str) -> Request {
    Request::messages().authority(host).header("x-api-key", PLACEHOLDER)
}

fn now(clock: &AtomicI64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + time::Duration::seconds(clock.load(Ordering::SeqCst))
}

fn launch(folder: &tempfile::TempDir) -> Launch {
    let admin = folder.path().join("admin.sock");
    Launch {
        binary: artefacts::envoy(),
        bootstrap: bootstrap(&gateway(), &folder.path().join("tee.sock"), &admin),
        directory: folder.path().to_owned(),
        admin,
        keyring: Zeroizing::new(KEYRING.to_owned()),
        workers: Some(2),
    }
}
