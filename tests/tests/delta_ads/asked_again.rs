//! Names that were taken back, by either side, and are asked for again.

use controller::certificates::{MintPolicy, Others};
use controller::envoy::names::{MITM_ROUTES, PROXY_LISTENER, TRUST_BUNDLE};
use controller::xds::{Kind, Snapshot};
use harness::client::{Failure, Http};
use harness::gateway::HOST;
use harness::scenario::KEY;
use tokio::net::TcpStream;

use super::rig::{OTHER, Rig, request};
use super::world::World;

/// A handshake for a name that gets no leaf.
async fn assert_no_handshake(rig: &Rig, host: &str) {
    let failure = rig.agent(Http::One, host).await.open().await.expect_err(host);
    assert!(matches!(failure, Failure::Handshake(_)), "{host}: {failure:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_leaf_is_asked_for_again_at_every_handshake_and_open_connections_go_on() {
    let (rig, world) = Rig::with_example().await;
    let mut open = rig.agent(Http::One, HOST).await.open_http1().await.expect("a handshake");
    let from = rig.tee.len();
    rig.handle().allow(MintPolicy::refuse_all());
    let from = rig.tee.answered(from, Kind::Secret, HOST).await;
    rig.tee.seen(from, "the withdrawn name taken back", |said| said.gives_up(Kind::Secret, HOST)).await;
    for _ in 0..2 {
        let from = rig.tee.len();
        assert_no_handshake(&rig, HOST).await;
        let asked = rig.tee.seen(from, "the name", |said| said.asks_for(Kind::Secret, HOST)).await;
        rig.tee.seen(asked, "its refusal", |said| said.removes(Kind::Secret, HOST)).await;
    }
    assert_eq!(open.send(&request(HOST).to_http1()).await.expect("it stays open").status, 200);

    let from = rig.tee.len();
    rig.handle().allow(world.mint.clone());
    rig.assert_serves(HOST, KEY).await;
    let asked = rig.tee.seen(from, "the name", |said| said.asks_for(Kind::Secret, HOST)).await;
    rig.tee.seen(asked, "its leaf", |said| said.sends(Kind::Secret, HOST)).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_was_refused_at_first_gets_its_leaf_once_it_is_allowed() {
    let (rig, world) = Rig::with_example().await;
    let refusing = MintPolicy::new([HOST.to_owned()].into(), |_| false, Others::Refused);
    rig.handle().allow(refusing);
    assert_no_handshake(&rig, OTHER).await;
    rig.assert_serves(HOST, KEY).await;
    rig.handle().allow(world.mint.clone());
    let answer = rig.agent(Http::One, OTHER).await.send(&request(OTHER)).await.expect("a handshake");
    assert_eq!(answer.status, 503, "it has a leaf but no address");
    assert!(rig.provider.requests().iter().all(|received| received.authority == HOST));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_was_removed_serves_when_it_is_added_again() {
    let (rig, world) = Rig::with_example().await;
    rig.assert_serves(HOST, KEY).await;
    let address = rig.proxy().await;
    let from = rig.tee.len();
    let closed = world.without(|kind, name| kind == Kind::Listener && name == PROXY_LISTENER);
    rig.publish(&closed);
    rig.tee.answered(from, Kind::Listener, PROXY_LISTENER).await;
    becomes_closed(address).await;

    rig.publish(&world);
    rig.settled(&world).await;
    rig.assert_serves(HOST, KEY).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_can_be_taken_away_and_given_again() {
    let (rig, world) = Rig::with_example().await;
    let from = rig.tee.len();
    rig.publish(&World { snapshot: Snapshot::new(), ..world.clone() });
    let bundle = |said: &super::wire::Said| said.gives_up(Kind::Secret, TRUST_BUNDLE);
    let from = rig.tee.seen(from, "the trust bundle taken back", bundle).await;
    rig.publish(&world);
    rig.settled(&world).await;
    rig.assert_serves(HOST, KEY).await;
    for (kind, name) in [(Kind::Secret, TRUST_BUNDLE), (Kind::Route, MITM_ROUTES)] {
        assert!(rig.tee.read(from, |log| log.iter().any(|said| said.sends(kind, name))), "{kind:?} {name}");
    }
    rig.end().await;
}

/// Waits until nobody listens there. Envoy stops accepting a moment after it acknowledged the removal.
async fn becomes_closed(address: std::net::SocketAddr) {
    let end = tokio::time::Instant::now() + super::tee::PATIENCE;
    while TcpStream::connect(address).await.is_ok() {
        assert!(tokio::time::Instant::now() < end, "{address} still listens");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
