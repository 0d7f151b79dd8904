//! A2: HTTP/2 frames without end, and streams.

use std::time::Duration;

use harness::scenario::PLACEHOLDER;

use crate::neighbour::{Neighbour, others};
use crate::row::{HTTP2, Row, Variant};
use crate::stage::Stage;
use crate::wire::Request;
use crate::wire::http2::{
    DATA, END_HEADERS, END_STREAM, Frame, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    encode,
};

pub(super) fn rows() -> Vec<Row> {
    let row = |id, what, case: fn(Stage) -> Case| Row::new(id, what, VARIANTS, case).proved_by_itself();
    vec![
        row("A2.streams", "thousands of open streams: the surplus is refused", |stage| {
            Box::pin(streams(stage))
        }),
        row("A2.reset", "streams opened and reset at once: the connection is ended", |stage| {
            Box::pin(reset(stage))
        }),
        row("A2.frames", "pings, settings, priorities, window updates, empty data without end", |stage| {
            Box::pin(frames(stage))
        }),
        row("A2.window", "answers that the agent does not take, while it asks for more", |stage| {
            Box::pin(window(stage))
        }),
    ]
}

type Case = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

const VARIANTS: &[Variant] = HTTP2;

fn request() -> Request {
    Request::messages().field("x-api-key", PLACEHOLDER).field("x-attack", "1")
}

async fn streams(stage: Stage) {
    const STREAMS: usize = 3_000;
    let neighbour = Neighbour::start(&stage).await;
    let mut http = stage.http2().await.expect("a connection");
    let mut last = 0;
    for _ in 0..STREAMS {
        // Without an end: each waits for its body.
        last = http.open(&request().to_http2(), false).await;
    }
    let end = http.answer_within(Duration::from_secs(5), last).await;
    neighbour.end(&stage).await;
    assert!(!matches!(end, Ok(ref answer) if answer.status < 400), "{end:?}");
    let served = others(&stage).len();
    assert!(served < STREAMS, "all {served} streams went upstream");
}

async fn reset(stage: Stage) {
    const ROUNDS: usize = 100;
    // A request that is reset after it went on is reset upstream too, whose server may end the connection for that.
    let neighbour = Neighbour::start_beside_what_upstreams_refuse(&stage).await;
    let mut http = stage.http2().await.expect("a connection");
    for _ in 0..ROUNDS {
        let mut frames = Vec::new();
        for _ in 0..50 {
            let number = http.new_stream();
            frames.push(Frame::new(HEADERS, END_HEADERS | END_STREAM, number, encode(&request().to_http2())));
            frames.push(Frame::new(RST_STREAM, 0, number, 8u32.to_be_bytes()));
        }
        http.send(&frames).await;
    }
    let (ended, code) = http.ended(Duration::from_secs(10)).await;
    neighbour.end(&stage).await;
    assert!(ended, "the connection goes on after {} resets, GOAWAY {code:?}", ROUNDS * 50);
}

async fn frames(stage: Stage) {
    let kinds = [
        Frame::new(PING, 0, 0, [0; 8]),
        Frame::new(SETTINGS, 0, 0, [0, 4, 0, 0, 0xff, 0xff]),
        Frame::new(PRIORITY, 0, 1, [0, 0, 0, 0, 16]),
        Frame::new(WINDOW_UPDATE, 0, 0, 1u32.to_be_bytes()),
        Frame::new(DATA, 0, 1, []),
    ];
    let neighbour = Neighbour::start(&stage).await;
    for frame in kinds {
        let mut http = stage.http2().await.expect("a connection");
        // The stream that some of them speak of.
        http.open(&request().to_http2(), false).await;
        for _ in 0..100 {
            http.send(&vec![frame.clone(); 200]).await;
        }
        drop(http);
    }
    neighbour.end(&stage).await;
}

async fn window(stage: Stage) {
    const SIZE: usize = 4 << 20;
    stage.world.anthropic.provider.behave(|behaviour| behaviour.text_bytes = Some(SIZE));
    let before = super::memory(&stage);
    let mut held = Vec::new();
    for _ in 0..4 {
        let stream = stage.agent().open().await.expect("a connection");
        let mut http = stage.http2_over(stream).await;
        for _ in 0..8 {
            // Nothing is read any more: neither the window of the connection nor TCP's moves.
            http.request(&request()).await;
        }
        held.push(http);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = others(&stage).len();
    assert!(asked > 0, "no answer is under way: the row tests nothing");
    stage.world.anthropic.provider.behave(|behaviour| behaviour.text_bytes = None);
    let neighbour = Neighbour::start(&stage).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    neighbour.end(&stage).await;
    let grown = super::memory(&stage).saturating_sub(before);
    assert!(grown < asked * SIZE / 2, "Envoy holds {grown} bytes for {asked} answers of {SIZE}");
    drop(held);
}
