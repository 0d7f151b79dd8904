//! Slowness: of heads, of handshakes, of bodies, of readers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::client::frames::{self, Frame, Frames};
use harness::client::{Agent, Http, Request, Response, connect};
use harness::gateway::HOST;
use harness::scenario::{adjusted_example, worked_example};
use harness::tls::crypto;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::connections::ends;

/// The longest of the limits that are waited for here, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// The start of a TLS record with a ClientHello of 512 bytes, of which no more follows.
const HALF_A_HELLO: [u8; 9] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc];

/// All that a client says before the server answers it.
fn whole_hello() -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(crypto())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), HOST.try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// Writes, and returns how long it took until the other side ended the connection.
async fn ended_after(mut stream: TcpStream, bytes: &[u8], what: &str) -> Duration {
    let started = Instant::now();
    stream.write_all(bytes).await.unwrap();
    assert!(ends(&mut stream, PATIENCE).await, "{what} stays open");
    started.elapsed()
}

#[tokio::test]
async fn heads_and_handshakes_that_never_end_are_ended() {
    let (provider, gateway) = worked_example().await;
    let ready = gateway.ready();
    let target = format!("{HOST}:443");
    let proxy = TcpStream::connect(ready.proxy).await.unwrap();
    let transparent = TcpStream::connect(ready.transparent).await.unwrap();
    let tunnel = connect(ready.proxy, &target).await.unwrap();
    let silent = TcpStream::connect(ready.transparent).await.unwrap();
    let half =
        [connect(ready.proxy, &target).await.unwrap(), TcpStream::connect(ready.transparent).await.unwrap()];
    let whole_hello = whole_hello();
    let [half_tunnel, half_direct] = half.map(|stream| ended_after(stream, &whole_hello, "half a handshake"));
    let agents = [gateway.agent(Http::One, HOST), gateway.transparent_agent(Http::One, HOST)];
    let [inner, direct] = agents.map(|agent| async move { slow_head(&agent).await });
    let (head, hello, hidden, nothing, half_tunnel, half_direct, inner, direct) = tokio::join!(
        ended_after(proxy, b"GET http://x/ HTTP/1.1\r\nHost: ", "a head at the proxy port"),
        ended_after(transparent, &HALF_A_HELLO, "a handshake at the transparent port"),
        ended_after(tunnel, &HALF_A_HELLO, "a handshake in a tunnel"),
        ended_after(silent, &[], "a connection to the transparent port that says nothing"),
        half_tunnel,
        half_direct,
        inner,
        direct,
    );
    for (what, after, limit) in [
        ("head", head, 10),
        ("hello", hello, 15),
        ("hidden hello", hidden, 15),
        ("nothing", nothing, 15),
        ("half a handshake in a tunnel", half_tunnel, 10),
        ("half a handshake", half_direct, 10),
    ] {
        assert!(after >= Duration::from_secs(limit - 1), "{what} ended after {after:?} already");
    }
    for answer in [inner, direct] {
        assert_eq!((answer.status, answer.reason()), (408, "upstream_refused"));
    }
    assert!(provider.requests().is_empty());
}

/// The answer to a head that stops in the middle.
async fn slow_head(agent: &Agent) -> Response {
    let mut connection = agent.open_http1().await.unwrap();
    connection
        .write(format!("POST /v1/messages HTTP/1.1\r\nHost: {HOST}\r\nx-a: ").as_bytes())
        .await
        .unwrap();
    let head = connection.head().await.expect("an answer");
    connection.rest(head, "POST").await.unwrap()
}

#[tokio::test]
async fn a_header_block_that_never_ends_is_ended() {
    let (provider, gateway) = worked_example().await;
    let mut connection = Frames::open(gateway.agent(Http::Two, HOST).open().await.unwrap()).await.unwrap();
    let fields = [(":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", "/v1/files")];
    let mut head = Frame::headers(1, 0, &fields);
    head.flags = 0;
    let started = Instant::now();
    connection.send(&[head]).await.unwrap();
    let over = |frame: &Frame| frame.kind == frames::GOAWAY || frame.stream == 1;
    let seen = connection.until(over).await;
    assert!(seen.last().is_some_and(over), "neither an answer nor an end: {seen:?}");
    assert!(started.elapsed() >= Duration::from_secs(9));
    assert!(provider.requests().is_empty());
}

/// Sends the head of a request with a body, then a byte of the body every `pause`, until an answer comes.
async fn trickle(agent: &Agent, pause: Duration) -> u16 {
    let (head, chunk) =
        (Request::new("POST", HOST, "/v1/files").header("transfer-encoding", "chunked"), b"1\r\nx\r\n");
    if agent.http == Http::One {
        let mut stream = agent.open().await.unwrap();
        stream.write_all(&head.to_http1()).await.unwrap();
        let mut status = [0; 12];
        loop {
            tokio::select! {
                read = stream.read_exact(&mut status) => {
                    read.expect("an answer");
                    return String::from_utf8_lossy(&status[9..]).parse().expect("a status");
                }
                () = sleep(pause) => {}
            }
            let _ = stream.write_all(chunk).await;
        }
    }
    let (sender, connection) = h2::client::handshake(agent.open().await.unwrap()).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = http::Request::post(format!("https://{HOST}/v1/files")).body(()).unwrap();
    let (mut answer, mut body) = sender.ready().await.unwrap().send_request(request, false).unwrap();
    let status = loop {
        tokio::select! {
            answer = &mut answer => break answer.expect("an answer").status().as_u16(),
            () = sleep(pause) => {}
        }
        let _ = body.send_data("x".into(), false);
    };
    driver.abort();
    status
}

#[tokio::test]
async fn a_body_that_stops_and_one_that_trickles_are_ended() {
    let (provider, gateway) =
        adjusted_example(|manifests| manifests.gateway_spec("requestTimeout: 1s")).await;
    let mut all = JoinSet::new();
    for (way, agent) in gateway.every_way() {
        for (pause, least) in [(PATIENCE, 1_000), (Duration::from_millis(300), 4_000)] {
            let (way, agent) = (way.clone(), agent.clone());
            all.spawn(async move {
                let started = Instant::now();
                assert_eq!(trickle(&agent, pause).await, 408, "{way}, {pause:?}");
                let after = started.elapsed();
                assert!(after >= Duration::from_millis(least - 100), "{way}, {pause:?}: after {after:?}");
            });
        }
    }
    all.join_all().await;
    assert!(provider.requests().is_empty(), "half a request was taken for a whole one");
}

/// Asks for a long answer, reads none of it for a while, then all that there is; how much that was.
async fn read_late(agent: &Agent) -> usize {
    let mut stream = agent.open().await.unwrap();
    if agent.http == Http::One {
        stream.write_all(&Request::messages().to_http1()).await.unwrap();
        sleep(Duration::from_secs(8)).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        return bytes.len();
    }
    let fields = [(":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", "/v1/messages")];
    let body = Frame::new(frames::DATA, frames::END_STREAM, 1, Request::messages().body);
    let mut connection = Frames::open(stream).await.unwrap();
    connection.send(&[Frame::headers(1, 0, &fields), body]).await.unwrap();
    let seen = connection.until(|frame| frame.kind == frames::RESET).await;
    assert!(seen.iter().any(|frame| frame.kind == frames::RESET), "the stream stays open");
    seen.iter().filter(|frame| frame.kind == frames::DATA).map(|frame| frame.payload.len()).sum()
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_ended() {
    const WHOLE: usize = 24 << 20;
    let (provider, gateway) =
        adjusted_example(|manifests| manifests.gateway_spec("requestTimeout: 3s")).await;
    provider.behave(|behaviour| behaviour.text_bytes = Some(WHOLE));
    let mut all = JoinSet::new();
    for (way, agent) in gateway.every_way() {
        all.spawn(async move {
            let read = read_late(&agent).await;
            assert!(read > 0 && read < WHOLE, "{way}: {read} bytes");
        });
    }
    all.join_all().await;
}
