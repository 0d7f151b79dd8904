//! H10: bodies that are held back to read their model, framed in every way, cut short, too large, given up.

use std::time::Duration;

use harness::client::Http;
use tokio::io::AsyncWriteExt as _;

use super::{OWN, only_ours, refused};
use crate::neighbour::{Neighbour, others};
use crate::row::{EVERY, HTTP1, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::http2::{DATA, Frame, RST_STREAM};
use crate::wire::{Reply, Request, contains};

const WHY: &str = "needs rules that only Keyward has";
/// Bytes of a body that may be held: somewhat less than HTTP/2 lets through before settings were exchanged.
const MOST: usize = 48 << 10;
/// What would be a request of its own, if the rest of a refused body were taken for one.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: api.anthropic.com\r\n\r\n";

pub(super) fn rows() -> Vec<Row> {
    let row = |id, what, variants, run: fn(Stage) -> _| {
        Row::new(id, what, variants, run).under(by_model()).only_keyward(WHY)
    };
    vec![
        row("H10.framing", "held bodies in every framing arrive whole, with our key alone", EVERY, |stage| {
            Box::pin(framing(stage)) as Case
        }),
        row("H10.expect", "Expect: 100-continue on a held request: served", EVERY, |stage| {
            Box::pin(expect(stage))
        }),
        row("H10.too-large", "a held body above the limit, announced or not: 413", EVERY, |stage| {
            Box::pin(too_large(stage))
        }),
        row("H10.early", "a request in what is left of a refused body: none comes of it", HTTP1, |stage| {
            Box::pin(early(stage))
        }),
        row("H10.cut", "bodies shorter or longer than announced: refused", EVERY, |stage| {
            Box::pin(cut(stage))
        }),
        row("H10.abort", "agents go away while their bodies are held: nothing goes on", EVERY, |stage| {
            Box::pin(abort(stage))
        }),
    ]
}

type Case = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// The worked example for certain models alone: the control before each row is held too.
fn by_model() -> Scenario {
    let endpoints = "endpoints: [/v1/messages, /v1/complete]";
    Scenario::default()
        .replace(endpoints, &format!("{endpoints}, models: [claude-*]"))
        .line("maxSignedBodyBytes: 48Ki")
}

/// A request with a credential of the agent's, and a body of this size that names a model.
fn held(size: usize) -> Request {
    let body = format!(r#"{{"model":"claude-test","x":"{}"}}"#, "y".repeat(size - 30));
    assert_eq!(body.len(), size);
    Request::messages().field("x-api-key", OWN).body(body)
}

/// The same body in chunks of this size.
fn chunked(request: &Request, size: usize) -> Request {
    let mut body = Vec::new();
    for piece in request.body.chunks(size) {
        body.extend([format!("{:X};x=y\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
    }
    body.extend(b"0\r\n\r\n");
    request.clone().field("transfer-encoding", "chunked").body(body)
}

/// Sends a request in frames of this size, with an empty one in the middle and one at the end.
async fn in_frames(stage: &Stage, request: &Request, size: usize) -> Reply {
    let mut http = match stage.http2().await {
        Ok(http) => http,
        Err(reply) => return reply,
    };
    let stream = http.open(&request.to_http2(), false).await;
    let data = |bytes: &[u8], flags| Frame::new(DATA, flags, stream, bytes);
    let mut frames = Vec::new();
    for (number, piece) in request.body.chunks(size).enumerate() {
        if number == 1 {
            frames.push(data(b"", 0));
        }
        frames.push(data(piece, 0));
    }
    frames.push(data(b"", 1));
    for some in frames.chunks(16) {
        http.send(some).await;
    }
    http.answer(stream).await.into()
}

async fn framing(stage: Stage) {
    for size in [200, 20 << 10, MOST] {
        let request = held(size);
        let trailed = request.clone().trailer("x-checksum", "1").trailer("x-api-key", OWN);
        let mut replies = vec![("announced", stage.ask(&request).await)];
        served(&stage, &request, &replies[0], size).await;
        replies.clear();
        replies.push(("with trailers", stage.ask(&trailed).await));
        served(&stage, &request, &replies[0], size).await;
        for piece in [size, 4_099, 61] {
            let reply = match stage.http() {
                Http::One => stage.ask(&chunked(&request, piece)).await,
                Http::Two => in_frames(&stage, &request, piece.min(16 << 10)).await,
            };
            served(&stage, &request, &("in pieces", reply), size).await;
        }
    }
}

async fn served(stage: &Stage, request: &Request, (how, reply): &(&str, Reply), size: usize) {
    let case = format!("{how}, {size} bytes");
    assert_eq!(reply.status(), 200, "{case}: {reply:?}");
    let received = stage.world.anthropic.only_request();
    only_ours(&received, &case);
    assert!(received.body == request.body, "{case}: {} other bytes arrived", received.body.len());
    assert!(received.trailers.is_empty(), "{case}: {:?}", received.trailers);
    stage.world.anthropic.forget();
}

async fn expect(stage: Stage) {
    for value in ["100-continue", "100-Continue"] {
        let request = held(20 << 10).field("expect", value);
        let reply = stage.ask(&request).await;
        served(&stage, &request, &(value, reply), 20 << 10).await;
    }
    // Nobody who is told to go on is then refused for having gone on, or left without an answer.
    let reply = stage.ask(&held(MOST + 1).field("expect", "100-continue")).await;
    stage.refused(&reply, 413, "too_large");
    stage.nothing_upstream().await;
}

async fn too_large(stage: Stage) {
    for size in [MOST + 1, 60 << 10] {
        let request = held(size);
        let unannounced = match stage.http() {
            Http::One => stage.ask(&chunked(&request, 16_000)).await,
            Http::Two => in_frames(&stage, &request, 16_000).await,
        };
        for reply in [stage.ask(&request).await, unannounced] {
            stage.refused(&reply, 413, "too_large");
            stage.nothing_upstream().await;
        }
    }
    for length in ["49153", "4294967297", "99999999999"] {
        let head = Request { body: Vec::new(), ..held(200) }.field("content-length", length);
        let reply = match stage.http() {
            Http::One => stage.ask(&head).await,
            Http::Two => {
                let mut http = stage.http2().await.expect("a connection");
                let stream = http.open(&head.to_http2(), false).await;
                http.answer(stream).await.into()
            }
        };
        stage.refused(&reply, 413, "too_large");
        stage.nothing_upstream().await;
    }
}

async fn early(stage: Stage) {
    let body = [vec![b'y'; MOST + 1], HIDDEN.repeat(20).into_bytes()].concat();
    for request in [held(200).body(&body), chunked(&held(200).body(&body), MOST + 1)] {
        let mut http = stage.http1().await.expect("a connection");
        http.write(&request.to_http1()).await;
        let (answers, _) = http.answers(Duration::from_secs(2)).await;
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!((answers[0].status, answers[0].reason()), (413, "too_large"));
        assert!(!contains(&stage.world.anthropic.http1_bytes(), b"/hidden"));
        stage.nothing_upstream().await;
    }
}

async fn cut(stage: Stage) {
    let request = held(4 << 10);
    for (announced, ended) in [(4_097, true), (5_000, true), (4_095, false), (1, false)] {
        let case = format!("{announced} bytes announced, {} sent", request.body.len());
        let wrong = request.clone().field("content-length", announced.to_string());
        let reply = match stage.http() {
            Http::One if ended => {
                let mut stream = stage.agent().open().await.expect("a connection");
                stream.write_all(&wrong.to_http1()).await.expect("an open connection");
                stream.shutdown().await.expect("an open connection");
                stage.http1_over(stream).answer(true).await.into()
            }
            // What is beyond the length is another request, and none that can be read.
            Http::One => {
                let reply = stage.ask(&wrong).await;
                let answer = reply.answered().expect("an answer");
                assert_eq!((answer.status, answer.reason()), (403, "denied_by_policy"), "{case}");
                reply
            }
            Http::Two => in_frames(&stage, &wrong, 1_000).await,
        };
        refused(&stage, &case, &reply, &[0, 400, 403]).await;
    }
}

async fn abort(stage: Stage) {
    let neighbour = Neighbour::start(&stage).await;
    let before = incomplete(&stage);
    let request = held(40 << 10).field("content-length", (41 << 10).to_string());
    let mut all = 0;
    for _ in 0..10 {
        match stage.http() {
            Http::One => {
                for _ in 0..4 {
                    let mut stream = stage.agent().open().await.expect("a connection");
                    stream.write_all(&request.to_http1()).await.expect("an open connection");
                    stream.flush().await.expect("an open connection");
                    all += 1;
                }
            }
            Http::Two => {
                let mut http = stage.http2().await.expect("a connection");
                // After an answer the settings are exchanged, and with them how much may be sent at once.
                let answer = http.ask(&Request::messages().field("x-neighbour", "1")).await;
                assert_eq!(answer.map(|answer| answer.status), Ok(200));
                for _ in 0..8 {
                    let stream = http.open(&request.to_http2(), false).await;
                    let pieces = request.body.chunks(16_000).map(|piece| Frame::new(DATA, 0, stream, piece));
                    http.send(&pieces.collect::<Vec<_>>()).await;
                    http.send(&[Frame::new(RST_STREAM, 0, stream, [0, 0, 0, 8])]).await;
                    all += 1;
                }
            }
        }
    }
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    while incomplete(&stage) - before < all {
        let seen = incomplete(&stage) - before;
        assert!(tokio::time::Instant::now() < end, "{seen} of {all} are recorded");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    neighbour.end(&stage).await;
    assert!(others(&stage).is_empty(), "half a body went upstream");
}

/// How many requests were given up by their agents.
fn incomplete(stage: &Stage) -> usize {
    stage.gateway().lines().iter().filter(|line| line.contains("request_incomplete")).count()
}
