//! The heap: near its end requests are refused in the usual form, nothing dies, and afterwards everything serves.

use std::time::Duration;

use harness::client::{Agent, Http, Http1, Io, Request};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::Scripted;
use harness::scenario::KEY;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;

/// Enough for an Envoy at rest, in MiB.
const HEAP: &str = "96";
/// Bytes of a head that waits: less than what makes Envoy end a stream for what it holds.
const HEAD: usize = 48 << 10;
/// Requests that wait, at most and at once.
const MOST: usize = 1_500;
const STEP: usize = 50;
/// Long enough for a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// Answers what is small, and keeps everything else waiting.
async fn answer_what_is_small(mut stream: TlsStream<TcpStream>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let whole = buffer[..length].windows(4).any(|bytes| bytes == b"\r\n\r\n");
        if whole && length < 4 << 10 {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
        }
    }
}

/// A request that has no answer.
async fn wait(agent: &Agent) -> Option<Http1<impl Io + use<>>> {
    let mut connection = agent.open_http1().await.ok()?;
    let request = Request::new("GET", HOST, "/v1/models").header("x-bulk", &"x".repeat(HEAD));
    connection.write(&request.to_http1()).await.ok()?;
    Some(connection)
}

fn refuses(gateway: &Gateway) -> bool {
    gateway.stats("overload.envoy.overload_actions.stop_accepting_requests.active").values().sum::<u64>() == 1
}

#[tokio::test]
async fn near_the_end_of_the_heap_requests_are_refused_and_afterwards_all_is_well() {
    let provider = Scripted::start(&[HOST], &["http/1.1"], answer_what_is_small).await.unwrap();
    let manifests = Manifests::worked_example().alias_at(&[HOST], provider.port(), provider.ca());
    let gateway = Gateway::builder(manifests).key(KEY).arguments(&["--envoy-heap", HEAP]).start().await;
    let envoys = gateway.envoys();
    let mut waiting = Vec::new();
    let mut bystanders: Vec<(String, Agent, Http1<_>)> = Vec::new();
    while !refuses(&gateway) {
        assert!(waiting.len() < MOST, "{:?}", gateway.stats("server.memory|overload"));
        // Connections that exist before the end: beyond it there are no new ones.
        bystanders.clear();
        for (way, agent) in gateway.every_way().into_iter().filter(|(_, agent)| agent.http == Http::One) {
            if let Ok(connection) = agent.open_http1().await {
                bystanders.push((way, agent, connection));
            }
        }
        let agent = gateway.transparent_agent(Http::One, HOST);
        let mut step = JoinSet::new();
        for _ in 0..STEP {
            let agent = agent.clone();
            step.spawn(async move { wait(&agent).await });
        }
        waiting.extend(step.join_all().await);
        sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(bystanders.len(), 2, "nobody was connected before");
    for (way, _, mut connection) in bystanders {
        let answer = connection.send(&Request::messages().to_http1()).await.expect(&way);
        assert_eq!((answer.status, answer.reason()), (503, "overloaded"), "{way}: {answer:?}");
        assert_eq!(answer.values("content-type"), ["application/json"], "{way}");
        let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("a JSON body");
        assert_eq!(body["error"]["type"], "overloaded", "{way}");
    }
    drop(waiting);
    let served = async {
        for (_, agent) in gateway.every_way() {
            while !agent.send(&Request::messages()).await.is_ok_and(|answer| answer.status == 200) {
                sleep(Duration::from_millis(100)).await;
            }
        }
    };
    timeout(SOON, served).await.expect("the gateway serves again");
    assert_eq!(gateway.envoys(), envoys, "an Envoy ended");
}
