//! Connections: how many at once, how long they may be idle, how long a handshake may take.

use std::time::Duration;

use harness::client::{Http, Request};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::Provider;
use harness::scenario::{KEY, adjusted_example};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Long enough for a busy machine, shorter than any limit that is not meant.
const SOON: Duration = Duration::from_secs(8);

/// Whether the other side ends the connection within `patience`, whatever it sends before.
pub(super) async fn ends(stream: &mut (impl tokio::io::AsyncRead + Unpin), patience: Duration) -> bool {
    let mut sink = vec![0; 4096];
    let ended = async { while matches!(stream.read(&mut sink).await, Ok(1..)) {} };
    timeout(patience, ended).await.is_ok()
}

/// Waits until the counters that match come to `number` together: Envoy closes a connection first and counts it then.
pub(super) async fn counted(gateway: &Gateway, counters: &str, number: u64) {
    let reached = async {
        while gateway.stats(counters).values().sum::<u64>() != number {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, reached).await.unwrap_or_else(|_| panic!("{counters} is {:?}", gateway.stats(counters)));
}

#[tokio::test]
async fn connections_beyond_the_number_allowed_are_closed_and_a_free_one_serves_again() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let builder = Gateway::builder(Manifests::example(&provider)).key(KEY);
    let gateway = builder.arguments(&["--envoy-connections", "4"]).start().await;
    let ready = gateway.ready();
    let mut held = Vec::new();
    for port in [ready.proxy, ready.transparent, ready.proxy, ready.transparent] {
        held.push(TcpStream::connect(port).await.unwrap());
    }
    // At the transparent port a connection that has said nothing yet is still with the listener's filters.
    counted(&gateway, r"^listener\.127\.0\.0\.1_\d%2B\.downstream_(pre_)?cx_active$", 4).await;
    for port in [ready.proxy, ready.transparent] {
        let mut further = TcpStream::connect(port).await.unwrap();
        assert!(ends(&mut further, SOON).await, "a connection too many stays open");
    }
    assert!(gateway.admin("/ready").contains("200 OK"), "the admin socket is refused too");
    counted(&gateway, "downstream_global_cx_overflow", 2).await;
    drop(held);
    let served = async {
        while gateway.agent(Http::One, HOST).send(&Request::messages()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, served).await.expect("the gateway serves again");
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let (_provider, gateway) =
        adjusted_example(|manifests| manifests.gateway_spec("requestTimeout: 1s")).await;
    for (way, agent) in gateway.every_way() {
        match agent.http {
            Http::One => {
                let mut connection = agent.open_http1().await.unwrap();
                assert_eq!(connection.send(&Request::messages().to_http1()).await.unwrap().status, 200);
                assert!(ends(&mut connection.into_inner(), SOON).await, "{way} stays open");
            }
            Http::Two => {
                let mut connection = agent.open_http2().await.unwrap();
                assert_eq!(connection.send(&Request::messages()).await.unwrap().status, 200);
                let closed = async {
                    while !connection.is_closed() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                timeout(SOON, closed).await.expect(&way);
            }
        }
    }
    let mut silent = TcpStream::connect(gateway.ready().proxy).await.unwrap();
    assert!(ends(&mut silent, SOON).await, "the proxy port keeps a connection that says nothing");
}
