//! Frames out of their order: Envoy must give up the stream or the connection, and serve others on.

use std::time::Duration;

use crate::row::{HTTP2, Row};
use crate::stage::Stage;
use crate::wire::Request;
use crate::wire::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, encode,
};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "framing.continuation",
            "a header list in pieces is one list; another frame between: refused",
            HTTP2,
            pieces,
        )
        .proved_by_itself(),
        Row::new(
            "framing.frames",
            "frames on wrong streams, with wrong sizes or in the wrong order: given up",
            HTTP2,
            frames,
        )
        .proved_by_itself(),
        Row::new("framing.reset", "streams that are reset at once: the next request is served", HTTP2, reset)
            .proved_by_itself(),
        Row::new(
            "framing.ended",
            "frames for a stream that has ended: nothing more goes upstream",
            HTTP2,
            ended,
        )
        .proved_by_itself(),
    ]
}

/// How long Envoy may take to give up a connection.
const PATIENCE: Duration = Duration::from_secs(20);

async fn pieces(stage: Stage) {
    let fields = encode(&Request::new("GET", "/v1/messages").field("x-a", "b").to_http2());
    let (first, second) = fields.split_at(20);
    let mut session = stage.http2().await.expect("a connection");
    let stream = session.new_stream();
    let head = Frame::new(HEADERS, END_STREAM, stream, first);
    session.send(&[head.clone(), Frame::new(CONTINUATION, END_HEADERS, stream, second)]).await;
    assert!(session.answer(stream).await.is_ok(), "a header list in two pieces is not read");
    assert_eq!(stage.world.anthropic.only_request().values("x-a"), ["b"]);
    let mut session = stage.http2().await.expect("a connection");
    let stream = session.new_stream();
    let between = Frame::new(PING, 0, 0, [0; 8]);
    session
        .send(&[Frame { stream, ..head }, between, Frame::new(CONTINUATION, END_HEADERS, stream, second)])
        .await;
    let (gone, _) = session.ended(PATIENCE).await;
    assert!(gone, "a frame within a header list was taken");
    stage.nothing_upstream().await;
}

async fn frames(stage: Stage) {
    let head = encode(&Request::new("GET", "/v1/messages").to_http2());
    for (what, frame) in [
        ("HEADERS on stream 0", Frame::new(HEADERS, END_HEADERS | END_STREAM, 0, head.clone())),
        ("HEADERS on an even stream", Frame::new(HEADERS, END_HEADERS | END_STREAM, 2, head.clone())),
        ("DATA on stream 0", Frame::new(DATA, END_STREAM, 0, *b"{}")),
        ("DATA on an idle stream", Frame::new(DATA, END_STREAM, 9, *b"{}")),
        ("SETTINGS on a stream", Frame::new(SETTINGS, 0, 1, [])),
        ("SETTINGS of a wrong size", Frame::new(SETTINGS, 0, 0, [0; 5])),
        ("PING of a wrong size", Frame::new(PING, 0, 0, [0; 7])),
        ("WINDOW_UPDATE of nothing", Frame::new(WINDOW_UPDATE, 0, 0, [0; 4])),
        ("RST_STREAM of an idle stream", Frame::new(RST_STREAM, 0, 11, [0; 4])),
        ("CONTINUATION of nothing", Frame::new(CONTINUATION, END_HEADERS, 1, head.clone())),
        ("GOAWAY on a stream", Frame::new(GOAWAY, 0, 1, [0; 8])),
        ("PUSH_PROMISE", Frame::new(5, END_HEADERS, 1, [&[0, 0, 0, 2][..], &head].concat())),
        ("a header block that is none", Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, [0xff; 40])),
    ] {
        let mut session = stage.http2().await.expect("a connection");
        session.send(&[frame]).await;
        let (gone, code) = session.ended(PATIENCE).await;
        assert!(gone, "{what}: the connection is open");
        assert!(code.is_none_or(|code| code != 0), "{what}: given up without an error");
        stage.nothing_upstream().await;
    }
}

async fn reset(stage: Stage) {
    let mut session = stage.http2().await.expect("a connection");
    for _ in 0..20 {
        let stream = session.open(&Request::messages().to_http2(), false).await;
        session.send(&[Frame::new(RST_STREAM, 0, stream, 8u32.to_be_bytes())]).await;
    }
    session.send(&[Frame::new(PRIORITY, 0, 41, [0, 0, 0, 0, 16])]).await;
    let answer = session.ask(&Request::messages()).await;
    assert_eq!(answer.map(|answer| answer.status), Ok(200));
    // None of the others was whole.
    assert_eq!(stage.world.anthropic.take_requests().len(), 1);
}

async fn ended(stage: Stage) {
    let mut session = stage.http2().await.expect("a connection");
    let stream = session.request(&Request::messages()).await;
    let again = Frame::new(
        HEADERS,
        END_HEADERS | END_STREAM,
        stream,
        encode(&Request::new("GET", "/hidden").to_http2()),
    );
    session.send(&[Frame::new(DATA, END_STREAM, stream, *b"more"), again]).await;
    let _ = session.ended(Duration::from_millis(800)).await;
    super::stays_hidden(&stage, "a second head on a stream");
}
