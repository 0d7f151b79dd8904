//! A2: connections that are held: by heads and bodies in drops, by half a handshake, by answers that nobody takes, and
//! by bytes that mean nothing.

use std::time::Duration;

use harness::client::Http;
use harness::gateway::HOST;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::request;
use crate::neighbour::{Neighbour, others};
use crate::row::{EVERY, HTTP1, ONCE, Row};
use crate::stage::Stage;
use crate::wire::http2::{DATA, Frame};
use crate::wire::{Request, hello};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "A2.slow-head",
            "150 heads that come byte by byte: other agents are served",
            HTTP1,
            slow_heads,
        )
        .proved_by_itself(),
        Row::new("A2.slow-connect", "150 CONNECT heads that come byte by byte", ONCE, slow_connects)
            .proved_by_itself(),
        Row::new("A2.slow-body", "60 bodies that come byte by byte", EVERY, slow_bodies).proved_by_itself(),
        Row::new("A2.answers", "answers of which the agent reads nothing", HTTP1, answers).proved_by_itself(),
        Row::new("A2.hellos", "300 half handshakes at both ports", ONCE, hellos).proved_by_itself(),
        Row::new("A2.noise", "bytes that mean nothing: at both ports, in tunnels, in TLS", ONCE, noise)
            .proved_by_itself(),
    ]
}

/// How long connections are held, and how often each gets a byte.
const HELD: Duration = Duration::from_secs(3);
const DROP: Duration = Duration::from_millis(150);

/// Lets many connections be held at once, and another agent be served beside them.
async fn beside<F, Fut>(stage: &Stage, connections: usize, hold: F)
where
    F: Fn(usize, Stage) -> Fut,
    Fut: Future<Output = bool> + Send + 'static,
{
    let neighbour = Neighbour::start(stage).await;
    let mut held = JoinSet::new();
    for number in 0..connections {
        held.spawn(hold(number, stage.clone()));
    }
    let mut open = 0;
    while let Some(one) = held.join_next().await {
        open += usize::from(one.expect("no panic"));
    }
    assert!(open > 0, "none of {connections} connections was ever open: the row tests nothing");
    neighbour.end(stage).await;
}

/// Writes bytes one by one for as long as connections are held.
async fn drip(stream: &mut (impl tokio::io::AsyncWrite + Unpin), bytes: &[u8]) {
    let end = tokio::time::Instant::now() + HELD;
    for byte in bytes.iter().cycle() {
        if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        if tokio::time::Instant::now() > end {
            return;
        }
        tokio::time::sleep(DROP).await;
    }
}

async fn slow_heads(stage: Stage) {
    beside(&stage, 150, |_, stage| async move {
        let Ok(mut stream) = stage.agent().open().await else { return false };
        drip(&mut stream, &Request::messages().to_http1()[..40]).await;
        true
    })
    .await;
    assert!(others(&stage).is_empty(), "half a head went upstream");
}

async fn slow_connects(stage: Stage) {
    beside(&stage, 150, |_, stage| async move {
        let Ok(mut stream) = TcpStream::connect(stage.subject.proxy).await else { return false };
        drip(&mut stream, b"CONNECT api.anthropic.com:443 HTTP/1.1\r\nX-Slow: ").await;
        true
    })
    .await;
    assert!(others(&stage).is_empty());
}

async fn slow_bodies(stage: Stage) {
    beside(&stage, 60, |_, stage| async move {
        let Ok(mut stream) = stage.agent().open().await else { return false };
        let slow = request().field("content-length", "100000");
        if stage.http() == Http::One {
            let head = Request { body: Vec::new(), ..slow }.to_http1();
            if stream.write_all(&head).await.is_ok() {
                drip(&mut stream, b" ").await;
            }
            return true;
        }
        let mut http = stage.http2_over(stream).await;
        let number = http.open(&slow.to_http2(), false).await;
        let end = tokio::time::Instant::now() + HELD;
        while tokio::time::Instant::now() < end {
            http.send(&[Frame::new(DATA, 0, number, *b" ")]).await;
            tokio::time::sleep(DROP).await;
        }
        true
    })
    .await;
    super::protected(&stage);
}

async fn answers(stage: Stage) {
    const SIZE: usize = 8 << 20;
    stage.world.anthropic.provider.behave(|behaviour| behaviour.text_bytes = Some(SIZE));
    let before = super::memory(&stage);
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut stream = stage.agent().open().await.expect("a connection");
        stream.write_all(&request().to_http1()).await.expect("an open connection");
        held.push(stream);
    }
    stage.world.anthropic.provider.wait_for_requests(held.len()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    stage.world.anthropic.provider.behave(|behaviour| behaviour.text_bytes = None);
    let neighbour = Neighbour::start(&stage).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    neighbour.end(&stage).await;
    let grown = super::memory(&stage).saturating_sub(before);
    assert!(grown < held.len() * SIZE / 2, "the gateway holds {grown} bytes of {} answers", held.len());
}

async fn hellos(stage: Stage) {
    beside(&stage, 300, |number, stage| async move {
        let whole = hello::hello(Some(HOST.as_bytes()), &["h2"]);
        let half = &whole[..1 + number % (whole.len() - 1)];
        let stream = match (number % 2, stage.subject.transparent) {
            (0, Some(address)) => TcpStream::connect(address).await.ok(),
            _ => harness::client::connect(stage.subject.proxy, &format!("{HOST}:443")).await.ok(),
        };
        let Some(mut stream) = stream else { return false };
        let open = stream.write_all(half).await.is_ok();
        tokio::time::sleep(HELD).await;
        open
    })
    .await;
    assert!(others(&stage).is_empty());
}

/// Bytes without meaning, the same in every run (xorshift, Marsaglia 2003).
pub(super) fn noise_of(seed: usize, length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ (seed as u64 + 1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// What a parser may take for a beginning that it knows.
const BEGINNINGS: [&[u8]; 6] = [
    b"",
    b"\x16\x03\x01\x02\x00\x01",
    b"GET / HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT ",
    b"\x80",
];

async fn noise(stage: Stage) {
    beside(&stage, 200, |number, stage| async move {
        let bytes = [BEGINNINGS[number % BEGINNINGS.len()], &noise_of(number, 20 + number * 37)].concat();
        let stream = match (number % 4, stage.subject.transparent) {
            (0, Some(address)) => TcpStream::connect(address).await.ok(),
            (1, _) => TcpStream::connect(stage.subject.proxy).await.ok(),
            (2, _) => harness::client::connect(stage.subject.proxy, &format!("{HOST}:443")).await.ok(),
            _ => {
                let variants = [Http::One, Http::Two];
                let mut agent = stage.agent();
                agent.handshake.alpn =
                    vec![if variants[number / 4 % 2] == Http::One { "http/1.1" } else { "h2" }];
                let Ok(stream) = agent.open().await else { return false };
                return said_nothing_good(stage.http1_over(stream), &bytes).await;
            }
        };
        let Some(stream) = stream else { return false };
        said_nothing_good(crate::wire::http1::Http1::new(stream, stage.seen.clone()), &bytes).await
    })
    .await;
    assert!(others(&stage).is_empty(), "noise went upstream");
}

async fn said_nothing_good<S: crate::wire::http1::Io>(
    mut http: crate::wire::http1::Http1<S>,
    bytes: &[u8],
) -> bool {
    http.write(bytes).await;
    let (answer, _) = http.rest(Duration::from_millis(300)).await;
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{:?}", String::from_utf8_lossy(&answer));
    true
}
