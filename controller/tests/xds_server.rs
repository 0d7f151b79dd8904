//! The delta ADS server over a real Unix socket, with a real gRPC client in the proxy's place.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use controller::certificates::{Authority, Leaves, MintPolicy, Others};
use controller::plan::ObjectKey;
use controller::state::socket;
use controller::xds::acks::AckState;
use controller::xds::{Asked, Callers, GatewayHandle, Kind, Resource, Server, Snapshot};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::google::protobuf::Any;
use envoy_types::pb::google::rpc::Status as Detail;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

const START: i64 = 1_800_000_000;

/// Long enough for a busy machine, short enough for a failed test.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a socket of its own, on a clock that the test moves.
struct Served {
    server: Server,
    clock: Arc<AtomicI64>,
    path: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
    _dir: tempfile::TempDir,
}

impl Served {
    async fn start(callers: Callers) -> Served {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("xds.sock");
        let clock = Arc::new(AtomicI64::new(START));
        let now = clock.clone();
        let server =
            Server::new().with_callers(callers).with_clock(Arc::new(move || at(now.load(Ordering::SeqCst))));
        let (stop, stopped) = oneshot::channel();
        let listener = socket::bind(&path).unwrap();
        let task = tokio::spawn(server.clone().serve(listener, async { drop(stopped.await) }));
        Served { server, clock, path, stop: Some(stop), task, _dir: dir }
    }

    fn gateway(&self, name: &str) -> GatewayHandle {
        let (authority, _) = Authority::create(&key(name).to_string(), at(START)).unwrap();
        self.server.gateway(key(name), Leaves::new(authority))
    }

    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

/// A proxy's end of a stream.
struct Proxy {
    requests: mpsc::Sender<discovery::DeltaDiscoveryRequest>,
    responses: Streaming<discovery::DeltaDiscoveryResponse>,
}

impl Proxy {
    async fn connect(
        path: &Path,
        node: &str,
        first: discovery::DeltaDiscoveryRequest,
    ) -> Result<Proxy, Status> {
        let (requests, stream) = mpsc::channel(16);
        let node = Some(Node { id: node.to_owned(), ..Default::default() });
        requests.send(discovery::DeltaDiscoveryRequest { node, ..first }).await.unwrap();
        let responses =
            client(path).await?.delta_aggregated_resources(ReceiverStream::new(stream)).await?.into_inner();
        Ok(Proxy { requests, responses })
    }

    async fn say(&self, request: discovery::DeltaDiscoveryRequest) {
        self.requests.send(request).await.unwrap();
    }

    async fn hear(&mut self) -> discovery::DeltaDiscoveryResponse {
        tokio::time::timeout(PATIENCE, self.responses.message()).await.unwrap().unwrap().unwrap()
    }

    async fn ack(&self, response: &discovery::DeltaDiscoveryResponse) {
        self.say(answer(response)).await;
    }

    async fn nack(&self, response: &discovery::DeltaDiscoveryResponse, message: &str) {
        let error_detail = Some(Detail { message: message.to_owned(), ..Default::default() });
        self.say(discovery::DeltaDiscoveryRequest { error_detail, ..answer(response) }).await;
    }

    /// Hears one response and acknowledges it.
    async fn take(&mut self) -> discovery::DeltaDiscoveryResponse {
        let response = self.hear().await;
        self.ack(&response).await;
        response
    }
}

async fn client(path: &Path) -> Result<AggregatedDiscoveryServiceClient<Channel>, Status> {
    let endpoint = Endpoint::from_shared(format!("unix:{}", path.display())).unwrap();
    let channel = endpoint.connect().await.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(usize::MAX))
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "default".to_owned(), name: name.to_owned() }
}

fn answer(response: &discovery::DeltaDiscoveryResponse) -> discovery::DeltaDiscoveryRequest {
    discovery::DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        ..Default::default()
    }
}

fn subscribe(kind: Kind, names: &[&str]) -> discovery::DeltaDiscoveryRequest {
    discovery::DeltaDiscoveryRequest {
        type_url: kind.url().to_owned(),
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

fn resource(kind: Kind, name: &str, body: &str) -> (Kind, Resource) {
    let body = Any { type_url: kind.url().to_owned(), value: body.as_bytes().to_vec() };
    (kind, Resource::new(name, body))
}

fn snapshot(kind: Kind, name: &str, body: &str) -> Snapshot {
    Snapshot::from_iter([resource(kind, name, body)])
}

fn names(response: &discovery::DeltaDiscoveryResponse) -> Vec<&str> {
    response.resources.iter().map(|resource| resource.name.as_str()).collect()
}

fn everyone() -> MintPolicy {
    MintPolicy::new(["api.example".to_owned()].into(), |_| false, Others::Minted)
}

async fn until(handle: &GatewayHandle, holds: impl FnMut(&AckState) -> bool) {
    let mut acks = handle.acks();
    tokio::time::timeout(PATIENCE, acks.wait_for(holds)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_proxy_gets_its_gateways_resources_and_its_answers_are_seen() {
    let served = Served::start(Callers::Anyone).await;
    let (one, other) = (served.gateway("one"), served.gateway("other"));
    let wanted = snapshot(Kind::Extension, "bucket-0", "1");
    one.publish(wanted.clone());
    other.publish(snapshot(Kind::Extension, "bucket-0", "other"));

    let mut proxy =
        Proxy::connect(&served.path, "default/one", subscribe(Kind::Extension, &["bucket-0"])).await.unwrap();
    let response = proxy.hear().await;
    assert_eq!(response.resources[0].resource.as_ref().unwrap().value, b"1");
    assert!(!one.acks().borrow().settled(&wanted));
    proxy.ack(&response).await;
    until(&one, |acks| acks.connected() == 1 && acks.settled(&wanted)).await;
    assert_eq!(other.acks().borrow().connected(), 0);

    let refused = snapshot(Kind::Extension, "bucket-0", "2");
    one.publish(refused.clone());
    let response = proxy.hear().await;
    proxy.nack(&response, "no such module").await;
    until(&one, |acks| acks.refusals(&refused).iter().any(|refusal| refusal.message == "no such module"))
        .await;

    let next = snapshot(Kind::Extension, "bucket-0", "3");
    one.publish(next.clone());
    proxy.take().await;
    until(&one, |acks| acks.settled(&next) && acks.refusals(&next).is_empty()).await;
    drop(proxy);
    until(&one, |acks| acks.connected() == 0).await;
    served.stop().await;
}

#[tokio::test]
async fn a_version_that_a_process_refused_is_not_sent_to_it_on_its_next_stream() {
    let served = Served::start(Callers::Anyone).await;
    let gateway = served.gateway("one");
    gateway.publish(snapshot(Kind::Extension, "b", "1"));
    let mut proxy =
        Proxy::connect(&served.path, "default/one", subscribe(Kind::Extension, &["b"])).await.unwrap();
    let held = proxy.take().await.resources[0].version.clone();
    let refused = snapshot(Kind::Extension, "b", "2");
    gateway.publish(refused.clone());
    let response = proxy.hear().await;
    proxy.nack(&response, "no").await;
    until(&gateway, |acks| !acks.refusals(&refused).is_empty()).await;
    drop(proxy);
    until(&gateway, |acks| acks.connected() == 0).await;

    let first = discovery::DeltaDiscoveryRequest {
        initial_resource_versions: [("b".to_owned(), held)].into(),
        ..subscribe(Kind::Extension, &["b"])
    };
    let mut proxy = Proxy::connect(&served.path, "default/one", first).await.unwrap();
    until(&gateway, |acks| !acks.refusals(&refused).is_empty()).await;
    gateway.publish(snapshot(Kind::Extension, "b", "3"));
    assert_eq!(proxy.hear().await.resources[0].resource.as_ref().unwrap().value, b"3");
    let counts = gateway.counts();
    assert_eq!(counts.pushes, [(Kind::Extension, 3)].into());
    assert_eq!(counts.nacks, [(Kind::Extension, 1)].into(), "what is remembered is not refused anew");
    served.stop().await;
}

#[tokio::test]
async fn unknown_nodes_and_the_state_of_the_world_are_refused() {
    let served = Served::start(Callers::Anyone).await;
    served.gateway("one");
    for node in ["default/none", "", "one"] {
        let refused = Proxy::connect(&served.path, node, subscribe(Kind::Cluster, &[])).await.err().unwrap();
        assert_eq!(refused.code(), Code::NotFound, "{node}");
    }
    let stream = tokio_stream::once(discovery::DiscoveryRequest::default());
    let refused =
        client(&served.path).await.unwrap().stream_aggregated_resources(stream).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unimplemented);
    served.stop().await;
}

#[tokio::test]
async fn only_listed_processes_may_open_a_stream_each_for_its_own_gateway() {
    let callers = Callers::listed();
    let served = Served::start(callers.clone()).await;
    served.gateway("one").publish(snapshot(Kind::Cluster, "c", "1"));
    served.gateway("other");
    let connect = |node: &'static str| Proxy::connect(&served.path, node, subscribe(Kind::Cluster, &[]));
    assert!(connect("default/one").await.is_err(), "not listed");

    let process = std::process::id().try_into().unwrap();
    callers.admit(process, key("one"));
    assert_eq!(names(&connect("default/one").await.unwrap().hear().await), ["c"]);
    assert_eq!(connect("default/other").await.err().unwrap().code(), Code::PermissionDenied);
    callers.dismiss(process);
    assert!(connect("default/one").await.is_err(), "not listed any more");
    served.stop().await;
}

#[tokio::test]
async fn leaves_are_minted_refused_renewed_and_withdrawn() {
    let served = Served::start(Callers::Anyone).await;
    let gateway = served.gateway("one");
    gateway.publish(Snapshot::new());
    gateway.allow(everyone());
    let mut proxy =
        Proxy::connect(&served.path, "default/one", subscribe(Kind::Secret, &["api.example"])).await.unwrap();
    let first = proxy.take().await;
    assert_eq!(names(&first), ["api.example"]);
    for refused in ["API.example", "no/sni", "1.2.3.4"] {
        proxy.say(subscribe(Kind::Secret, &[refused])).await;
        assert_eq!(proxy.take().await.removed_resources, [refused]);
    }

    served.clock.store(START + 15 * 3600, Ordering::SeqCst);
    let renewed = proxy.take().await;
    assert_eq!(names(&renewed), ["api.example"]);
    assert_ne!(renewed.resources[0].version, first.resources[0].version);

    let mut asked = gateway.counts().asked;
    assert_eq!(asked.remove(&Asked::Refused), Some(2), "`no/sni` is no leaf");
    // Made for whoever asked, or ahead of it.
    assert!([[(Asked::Minted, 1)].into(), [(Asked::Cached, 1)].into()].contains(&asked), "{asked:?}");
    assert_eq!(gateway.minting().0, 2, "made and renewed");

    gateway.allow(MintPolicy::refuse_all());
    assert_eq!(proxy.take().await.removed_resources, ["api.example"]);
    served.stop().await;
}

#[tokio::test]
async fn leaves_held_over_a_restart_are_replaced_at_the_rate_of_minting() {
    let served = Served::start(Callers::Anyone).await;
    let gateway = served.gateway("one");
    gateway.publish(Snapshot::new());
    gateway.allow(MintPolicy::new([].into(), |_| false, Others::Minted));
    let held: Vec<String> = (0..60).map(|n| format!("n{n:02}.example")).collect();
    let first = discovery::DeltaDiscoveryRequest {
        initial_resource_versions: held.iter().map(|name| (name.clone(), "before".to_owned())).collect(),
        ..subscribe(Kind::Secret, &held.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut proxy = Proxy::connect(&served.path, "default/one", first).await.unwrap();
    for name in &held[..25] {
        assert_eq!(names(&proxy.take().await), [name]);
    }
    let new: Vec<String> = (0..130).map(|n| format!("a{n:03}.example")).collect();
    proxy.say(subscribe(Kind::Secret, &new.iter().map(String::as_str).collect::<Vec<_>>())).await;
    let refused = proxy.take().await.removed_resources;
    assert_eq!(refused, new[100..], "a hundred wait, the other new names are refused at once");
    assert_eq!(gateway.counts().asked.get(&Asked::Throttled), Some(&30));
    // Handshakes wait for the new ones, so they go first.
    let waiting: Vec<&String> = new[..100].iter().chain(&held[25..]).collect();
    for (second, names_of_it) in (1..).zip(waiting.chunks(25)) {
        served.clock.store(START + second, Ordering::SeqCst);
        for name in names_of_it {
            assert_eq!(names(&proxy.take().await), [*name]);
        }
    }
    served.stop().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_does_not_stop_another() {
    let served = Served::start(Callers::Anyone).await;
    let gateway = served.gateway("one");
    let large = "x".repeat(8 << 20);
    gateway.publish(snapshot(Kind::Listener, "l", &large));
    let first = || subscribe(Kind::Listener, &[]);
    let _deaf = Proxy::connect(&served.path, "default/one", first()).await.unwrap();
    let mut proxy = Proxy::connect(&served.path, "default/one", first()).await.unwrap();
    assert_eq!(proxy.take().await.resources[0].resource.as_ref().unwrap().value.len(), large.len());
    for body in ["1", "2", "3"] {
        gateway.publish(snapshot(Kind::Listener, "l", body));
        assert_eq!(proxy.take().await.resources[0].resource.as_ref().unwrap().value, body.as_bytes());
    }
    served.stop().await;
}

#[tokio::test]
async fn ten_thousand_clusters_travel_in_one_response() {
    let served = Served::start(Callers::Anyone).await;
    let gateway = served.gateway("one");
    let body = "x".repeat(1000);
    let clusters = (0..10_000).map(|n| resource(Kind::Cluster, &format!("alias/h{n:05}.example"), &body));
    let wanted: Snapshot = clusters.collect();
    gateway.publish(wanted.clone());
    let mut proxy = Proxy::connect(&served.path, "default/one", subscribe(Kind::Cluster, &[])).await.unwrap();
    let response = proxy.take().await;
    assert_eq!(response.resources.len(), 10_000);
    until(&gateway, |acks| acks.settled(&wanted)).await;

    let versions = response.resources.into_iter().map(|resource| (resource.name, resource.version)).collect();
    let first = discovery::DeltaDiscoveryRequest {
        initial_resource_versions: versions,
        ..subscribe(Kind::Cluster, &[])
    };
    let mut again = Proxy::connect(&served.path, "default/one", first).await.unwrap();
    until(&gateway, |acks| acks.connected() == 2 && acks.settled(&wanted)).await;
    gateway.publish(
        wanted.iter().skip(1).map(|(kind, resource)| (kind, resource.clone())).collect::<Snapshot>(),
    );
    assert_eq!(again.hear().await.removed_resources, ["alias/h00000.example"]);
    served.stop().await;
}

#[tokio::test]
async fn a_removed_gateway_ends_its_streams_and_a_new_one_of_its_name_starts_fresh() {
    let served = Served::start(Callers::Anyone).await;
    let gateway = served.gateway("one");
    gateway.publish(snapshot(Kind::Cluster, "c", "1"));
    let mut proxy = Proxy::connect(&served.path, "default/one", subscribe(Kind::Cluster, &[])).await.unwrap();
    proxy.take().await;
    gateway.remove();
    assert!(tokio::time::timeout(PATIENCE, proxy.responses.message()).await.unwrap().unwrap().is_none());
    assert!(Proxy::connect(&served.path, "default/one", subscribe(Kind::Cluster, &[])).await.is_err());

    let fresh = served.gateway("one");
    assert_ne!(fresh.certificate(), gateway.certificate());
    gateway.remove();
    fresh.publish(snapshot(Kind::Cluster, "c", "2"));
    let mut proxy = Proxy::connect(&served.path, "default/one", subscribe(Kind::Cluster, &[])).await.unwrap();
    assert_eq!(names(&proxy.hear().await), ["c"], "removing the old one twice leaves the new one");
    served.stop().await;
}

#[tokio::test]
async fn shutting_down_ends_open_streams() {
    let served = Served::start(Callers::Anyone).await;
    let gateway = served.gateway("one");
    gateway.publish(Snapshot::new());
    let mut proxy = Proxy::connect(&served.path, "default/one", subscribe(Kind::Cluster, &[])).await.unwrap();
    proxy.take().await;
    let ended = Arc::new(Mutex::new(false));
    let seen = ended.clone();
    let listening = tokio::spawn(async move {
        while let Ok(Some(_)) = proxy.responses.message().await {}
        *seen.lock().unwrap() = true;
    });
    served.stop().await;
    tokio::time::timeout(PATIENCE, listening).await.unwrap().unwrap();
    assert!(*ended.lock().unwrap());
    until(&gateway, |acks| acks.connected() == 0).await;
}
