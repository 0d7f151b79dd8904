//! The gRPC server: it finds a stream's gateway by the node id and hands the stream to its connection.
//!
//! Absent on purpose: the state-of-the-world protocol, TCP, and TLS: who may reach the socket is the file system's
//! to say, and [`Callers`]'.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use time::OffsetDateTime;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Response, Status, Streaming};

use super::connection::Connection;
use super::gateway::{Feed, Gateway, GatewayHandle};
use crate::certificates::Leaves;
use crate::plan::ObjectKey;

/// Where the time comes from: the system, or a test.
pub type Clock = Arc<dyn Fn() -> OffsetDateTime + Send + Sync>;

/// Requests name every subscribed resource after a reconnect: ten thousand leaves are about 1 MiB.
const REQUEST_LIMIT: usize = 16 << 20;

/// A stream that does not say who it is within this time is closed.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// How often leaves are looked through for those to renew.
const TICK: Duration = Duration::from_secs(1);

/// A dead peer is noticed after this and half as long again.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How long a peer has at shutdown to read what was sent to it.
const GRACE: Duration = Duration::from_secs(2);

/// Who may open a stream.
#[derive(Debug, Clone, Default)]
pub enum Callers {
    /// Whoever can open the socket.
    #[default]
    Anyone,
    /// Only these processes, each for one gateway. By process id as the kernel reports it (`SO_PEERCRED`).
    Only(Arc<Mutex<BTreeMap<i32, ObjectKey>>>),
}

impl Callers {
    /// A list that has nobody on it yet.
    #[must_use]
    pub fn listed() -> Callers {
        Callers::Only(Arc::default())
    }

    /// Puts a process on the list. Nothing where everyone may come.
    pub fn admit(&self, process: i32, gateway: ObjectKey) {
        if let Callers::Only(list) = self {
            lock(list).insert(process, gateway);
        }
    }

    /// Takes a process off the list, as soon as it ended: its number can be given to another.
    pub fn dismiss(&self, process: i32) {
        if let Callers::Only(list) = self {
            lock(list).remove(&process);
        }
    }

    fn knows(&self, process: Option<i32>) -> bool {
        match self {
            Callers::Anyone => true,
            Callers::Only(list) => process.is_some_and(|process| lock(list).contains_key(&process)),
        }
    }

    fn may_be(&self, process: Option<i32>, node: &str) -> bool {
        match self {
            Callers::Anyone => true,
            Callers::Only(list) => {
                let list = lock(list);
                process.and_then(|process| list.get(&process)).is_some_and(|key| key.to_string() == node)
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The gateways that are served, by node id.
#[derive(Default)]
pub(super) struct Gateways(Mutex<BTreeMap<String, Arc<Gateway>>>);

impl Gateways {
    fn find(&self, node: &str) -> Option<Arc<Gateway>> {
        lock(&self.0).get(node).cloned()
    }

    fn insert(&self, key: &ObjectKey, gateway: Arc<Gateway>) -> Option<Arc<Gateway>> {
        lock(&self.0).insert(key.to_string(), gateway)
    }

    /// Takes a gateway off, unless another of its name came since.
    pub(super) fn remove(&self, key: &ObjectKey, gateway: &Arc<Gateway>) {
        let mut gateways = lock(&self.0);
        if gateways.get(&key.to_string()).is_some_and(|served| Arc::ptr_eq(served, gateway)) {
            gateways.remove(&key.to_string());
        }
    }

    fn tick(&self, now: OffsetDateTime) {
        let gateways: Vec<Arc<Gateway>> = lock(&self.0).values().cloned().collect();
        for gateway in gateways {
            gateway.tick(now);
        }
    }
}

/// The delta ADS server of every gateway. Clones serve the same gateways.
#[derive(Clone)]
pub struct Server {
    gateways: Arc<Gateways>,
    callers: Callers,
    clock: Clock,
    streams: Arc<AtomicU64>,
    closing: watch::Sender<bool>,
}

impl Default for Server {
    fn default() -> Self {
        Server::new()
    }
}

impl Server {
    /// A server without gateways, open to whoever can open its socket, on the system's clock.
    #[must_use]
    pub fn new() -> Server {
        Server {
            gateways: Arc::default(),
            callers: Callers::Anyone,
            clock: Arc::new(OffsetDateTime::now_utc),
            streams: Arc::default(),
            closing: watch::Sender::new(false),
        }
    }

    /// Restricts who may open a stream.
    #[must_use]
    pub fn with_callers(self, callers: Callers) -> Server {
        Server { callers, ..self }
    }

    /// Replaces the clock that leaves live by.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Server {
        Server { clock, ..self }
    }

    /// Adds a gateway, in the place of one of the same name. Its node id is `namespace/name`. Its streams stay
    /// silent until the first [`GatewayHandle::publish`].
    pub fn gateway(&self, key: ObjectKey, leaves: Leaves) -> GatewayHandle {
        let gateway = Arc::new(Gateway::new(leaves));
        if let Some(before) = self.gateways.insert(&key, gateway.clone()) {
            before.feed.send_replace(Feed::Removed);
        }
        GatewayHandle { key, gateway, gateways: self.gateways.clone() }
    }

    /// Serves until `shutdown` is ready and every stream has ended, or two seconds later where a peer does not read.
    ///
    /// # Errors
    /// Where accepting connections fails for good.
    pub async fn serve(self, listener: UnixListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let shutdown = async {
            tokio::select! { () = shutdown => {}, () = self.renew() => {} }
            self.closing.send_replace(true);
        };
        let callers = self.callers.clone();
        let incoming = UnixListenerStream::new(listener).filter(move |stream| {
            let process = stream.as_ref().ok().and_then(|stream| stream.peer_cred().ok()?.pid());
            stream.is_err() || callers.knows(process)
        });
        let service =
            AggregatedDiscoveryServiceServer::new(self.clone()).max_decoding_message_size(REQUEST_LIMIT);
        let mut closing = self.closing.subscribe();
        let grace = async {
            // An error says that the sender is gone, which `self` holds.
            let _ = closing.wait_for(|closing| *closing).await;
            tokio::time::sleep(GRACE).await;
        };
        let serving = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE / 2))
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, shutdown);
        tokio::select! {
            served = serving => served.map_err(io::Error::other),
            () = grace => Ok(()),
        }
    }

    async fn renew(&self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.gateways.tick((self.clock)());
        }
    }

    /// The gateway of a stream's first request.
    fn admit(
        &self,
        process: Option<i32>,
        first: &discovery::DeltaDiscoveryRequest,
    ) -> Result<Arc<Gateway>, Status> {
        let node = first.node.as_ref().map(|node| node.id.as_str()).unwrap_or_default();
        let gateway =
            self.gateways.find(node).ok_or_else(|| Status::not_found("no gateway has this node id"))?;
        if !self.callers.may_be(process, node) {
            return Err(Status::permission_denied("this process is not that gateway's"));
        }
        Ok(gateway)
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Server {
    type StreamAggregatedResourcesStream = ReceiverStream<Result<discovery::DiscoveryResponse, Status>>;
    type DeltaAggregatedResourcesStream = ReceiverStream<Result<discovery::DeltaDiscoveryResponse, Status>>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<discovery::DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("only delta ADS (api_type DELTA_GRPC) is served"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<discovery::DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let peer = request.extensions().get::<UdsConnectInfo>().and_then(|info| info.peer_cred);
        let process = peer.and_then(|peer| peer.pid());
        let mut requests = request.into_inner();
        let first = tokio::time::timeout(FIRST_REQUEST, requests.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no request came"))??
            .ok_or_else(|| Status::invalid_argument("the stream ended before its first request"))?;
        let gateway = self.admit(process, &first)?;
        // One response of each type can be outstanding.
        let (responses, stream) = mpsc::channel(super::Kind::ALL.len());
        let proxy = self.streams.fetch_add(1, Ordering::Relaxed);
        let connection = Connection::new(gateway, proxy, process, self.clock.clone());
        tokio::spawn(connection.run(first, requests, responses, self.closing.subscribe()));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
