//! A leaf is renewed at two thirds of its life: the next handshake sees the new one, open connections go on.

use std::time::{Duration, Instant};

use controller::xds::Kind;
use harness::client::{Agent, Http, Http1, Http2};
use harness::gateway::HOST;

use super::rig::{Rig, request};

/// Envoy's workers take a new leaf up a moment after its main thread has acknowledged it.
const TAKEN_UP: Duration = Duration::from_secs(2);

/// The certificate that a handshake shows.
async fn certificate(agent: &Agent) -> Vec<u8> {
    let stream = agent.open().await.expect("a handshake");
    stream.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_leaf_is_seen_by_the_next_handshake_and_open_connections_go_on() {
    let (rig, _) = Rig::with_example().await;
    let agent = rig.agent(Http::One, HOST).await;
    let before = certificate(&agent).await;
    let mut one = Http1::new(agent.open().await.expect("a handshake"));
    let mut two: Http2 = rig.agent(Http::Two, HOST).await.open_http2().await.expect("a handshake");
    assert_eq!(certificate(&agent).await, before, "a leaf is kept until it is renewed");

    let from = rig.tee.len();
    rig.catch_up();
    rig.tee.answered(from, Kind::Secret, HOST).await;
    let end = Instant::now() + TAKEN_UP;
    while certificate(&agent).await == before {
        assert!(Instant::now() < end, "handshakes see the old leaf");
    }
    assert_ne!(certificate(&agent).await, before, "the old leaf came back");
    assert_eq!(one.send(&request(HOST).to_http1()).await.expect("it stays open").status, 200);
    assert_eq!(two.send(&request(HOST)).await.expect("it stays open").status, 200);
    rig.end().await;
}
