//! What one agent's CONNECT says stays with its own connection: an agent that leaves while its tunnel is being opened
//! leaves a connection inside Envoy that may serve the next one (`docs/decisions/0004`).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::client::{Agent, Http, Request, Way};
use harness::gateway::{Gateway, Manifests};
use harness::provider::{Options, Provider};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The host of the agents that leave, and that of the agents that stay.
const LEFT: &str = "left.example";
const KEPT: &str = "kept.example";

/// How many requests are made beside the agents that leave.
const REQUESTS: usize = 150;

/// How the other agent's host is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interception {
    All,
    Routes,
}

/// When an agent leaves.
#[derive(Debug, Clone, Copy)]
enum Leaves {
    /// Right after the head of CONNECT.
    BeforeTheAnswer,
    /// When the tunnel is open, before the first byte of TLS.
    BeforeTheHello,
}

/// A provider that says its own name in every answer.
async fn provider(name: &str) -> Provider {
    let options = Options { names: vec![name.to_owned()], ..Options::default() };
    let provider = Provider::start(options).await.expect("a provider");
    provider.behave(|behaviour| behaviour.headers = vec![("x-provider".to_owned(), name.to_owned())]);
    provider
}

async fn gateway(interception: Interception, left: &Provider, kept: &Provider) -> Gateway {
    let manifests = Manifests::worked_example().alias(&[LEFT], left).alias(&[KEPT], kept);
    let manifests = manifests.gateway_spec(&format!("interception: {interception:?}"));
    Gateway::builder(manifests).key(harness::scenario::KEY).start().await
}

/// Agents that ask for a tunnel to [`LEFT`] and leave, until they are told to stop; how many did.
async fn leave(proxy: SocketAddr, when: Leaves, stop: watch::Receiver<bool>) -> usize {
    let head = format!("CONNECT {LEFT}:443 HTTP/1.1\r\nHost: {LEFT}:443\r\n\r\n");
    let mut count = 0;
    while !*stop.borrow() {
        let mut stream = TcpStream::connect(proxy).await.expect("the proxy port");
        stream.write_all(head.as_bytes()).await.expect("the head is taken");
        match when {
            // Not at the same moment each time: Envoy is to be met at every step of opening the tunnel.
            Leaves::BeforeTheAnswer => {
                tokio::time::sleep(Duration::from_micros(count as u64 % 8 * 100)).await
            }
            Leaves::BeforeTheHello => {
                let mut answer = [0; 64];
                let read = stream.read(&mut answer).await.expect("an answer");
                assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "CONNECT was refused");
            }
        }
        drop(stream);
        count += 1;
    }
    count
}

/// Makes requests to [`KEPT`], each over a tunnel of its own; every one must be answered by its own provider.
async fn requests(gateway: &Gateway, ca: &str, kept: &Provider, context: &str) {
    for (number, http) in (0..REQUESTS).map(|number| (number, [Http::One, Http::Two][number % 2])) {
        let way = Way::Proxy(gateway.ready().proxy, format!("{KEPT}:443"));
        let request = Request::messages().authority(KEPT).header("x-number", &number.to_string());
        let answer = Agent::new(way, http, KEPT, ca).send(&request).await;
        let answer = answer.unwrap_or_else(|failure| panic!("{context}, request {number}: {failure:?}"));
        let seen = (answer.status, answer.values("x-provider"));
        assert_eq!(seen, (200, vec![KEPT]), "{context}, request {number}");
    }
    let received = kept.take_requests();
    assert_eq!(received.len(), REQUESTS, "{context}");
    assert!(received.iter().all(|request| request.authority == KEPT), "{context}");
}

async fn check(interception: Interception) {
    let (left, kept) = (provider(LEFT).await, provider(KEPT).await);
    let gateway = gateway(interception, &left, &kept).await;
    let ca = match interception {
        Interception::All => gateway.ca(),
        Interception::Routes => kept.ca().to_owned(),
    };
    for when in [Leaves::BeforeTheAnswer, Leaves::BeforeTheHello] {
        let context = format!("{interception:?}, {when:?}");
        let (stop, stopped) = watch::channel(false);
        let leaving: Vec<JoinHandle<usize>> =
            (0..2).map(|_| tokio::spawn(leave(gateway.ready().proxy, when, stopped.clone()))).collect();
        let began = Instant::now();
        requests(&gateway, &ca, &kept, &context).await;
        stop.send_replace(true);
        let mut left = 0;
        for agent in leaving {
            left += agent.await.expect("no panic");
        }
        assert!(left > REQUESTS / 2, "{context}: only {left} agents left in {:?}", began.elapsed());
    }
    assert!(left.requests().is_empty(), "a request reached the host of the agents that left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aborted_connect_leaves_nothing_to_an_intercepted_connection() {
    check(Interception::All).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aborted_connect_leaves_nothing_to_a_connection_that_passes_untouched() {
    check(Interception::Routes).await;
}
