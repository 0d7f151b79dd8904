//! A2: heads that are too large: by bytes, by number, in pieces, compressed.

use harness::client::Http;

use crate::neighbour::{Neighbour, others};
use crate::row::{EVERY, HTTP2, Row};
use crate::stage::Stage;
use crate::wire::http2::{CONTINUATION, END_HEADERS, END_STREAM, Frame, HEADERS, encode};
use crate::wire::{Reply, Request};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row("A2.bytes", "a head of a megabyte: refused or closed, other agents are served", EVERY, bytes),
        row("A2.count", "a head of ten thousand lines", EVERY, count),
        row("A2.line", "a request line of a megabyte", EVERY, line),
        row("A2.continuation", "a head in frames without end", HTTP2, continuation),
        row("A2.empty", "a head in empty frames without end", HTTP2, empty),
        row("A2.compressed", "a small head that unfolds to 40 MB", HTTP2, compressed),
    ]
}

/// A row whose control is that a smaller request of the same making is served.
fn row<F, Fut>(id: &'static str, what: &'static str, variants: &'static [crate::row::Variant], case: F) -> Row
where
    F: Fn(Stage) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Row::new(id, what, variants, case).proved_by_itself()
}

/// The statuses with which a head that is too large may be refused; 0 stands for an ended connection or stream.
const REFUSALS: [u16; 6] = [0, 400, 413, 414, 431, 503];

const MEGABYTE: usize = 1 << 20;

/// A request of this size is served; one of that size is refused, and another agent notices nothing.
async fn check(stage: &Stage, of: impl Fn(usize) -> Request, served: usize, refused: usize) {
    let reply = stage.ask(&of(served)).await;
    assert_eq!(reply.status(), 200, "the control: {reply:?}");
    stage.world.anthropic.forget();
    let neighbour = Neighbour::start(stage).await;
    for _ in 0..3 {
        let reply = stage.ask(&of(refused)).await;
        assert!(reply.is_refusal(), "served: {reply:?}");
        stage.refused_with_any(&reply, &REFUSALS);
    }
    neighbour.end(stage).await;
    assert!(others(stage).is_empty(), "it went upstream");
}

async fn bytes(stage: Stage) {
    check(&stage, |size| Request::messages().field("x-large", "v".repeat(size)), 1_000, MEGABYTE).await;
}

async fn count(stage: Stage) {
    let of = |count| {
        (0..count).fold(Request::messages(), |request, number| request.field(format!("x-{number}"), "v"))
    };
    check(&stage, of, 20, 10_000).await;
}

async fn line(stage: Stage) {
    let of = |size| Request::messages().path(format!("/v1/messages?{}", "q".repeat(size)));
    check(&stage, of, 1_000, MEGABYTE).await;
}

/// Sends the first frame of a head and then others until the connection ends, or `frames` were sent.
async fn flood(stage: &Stage, first: Vec<u8>, next: &[u8], frames: usize) {
    assert_eq!(stage.http(), Http::Two);
    let neighbour = Neighbour::start(stage).await;
    let mut http = stage.http2().await.expect("a connection");
    let number = http.new_stream();
    http.send(&[Frame::new(HEADERS, END_STREAM, number, first)]).await;
    for _ in 0..frames / 100 {
        http.send(&vec![Frame::new(CONTINUATION, 0, number, next); 100]).await;
    }
    http.send(&[Frame::new(CONTINUATION, END_HEADERS, number, Vec::new())]).await;
    let reply: Reply = http.answer(number).await.into();
    assert!(reply.is_refusal(), "served: {reply:?}");
    stage.refused_with_any(&reply, &REFUSALS);
    neighbour.end(stage).await;
    assert!(others(stage).is_empty(), "it went upstream");
}

fn head() -> Vec<u8> {
    encode(&Request::new("GET", "/v1/messages").to_http2())
}

async fn continuation(stage: Stage) {
    let lines: Vec<_> = (0..100).map(|_| (b"x-more".to_vec(), vec![b'v'; 100])).collect();
    flood(&stage, head(), &encode(&lines), 1_000).await;
}

async fn empty(stage: Stage) {
    flood(&stage, head(), &[], 100_000).await;
}

async fn compressed(stage: Stage) {
    // One field into the dynamic table (RFC 7541, section 6.2.1), then 10,000 references to it (section 6.1).
    let value = vec![b'v'; 3_900];
    let mut entry = encode(&[(b"x-large".to_vec(), value)]);
    entry[0] = 0x40;
    let first = [head(), entry].concat();
    flood(&stage, first, &[0xbe; 100], 100).await;
}
