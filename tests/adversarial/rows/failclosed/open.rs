//! F5: the credential goes while connections are open. What was let through goes on; what comes next is refused.

use std::time::Duration;

use harness::client::Http;
use harness::scenario::KEY;

use super::{own_secret, request, unavailable, withdraw};
use crate::row::{EVERY, Row};
use crate::stage::Stage;
use crate::wire::{Cut, Reply, Request};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "F5.keep-alive",
            "the Secret is deleted: the next request of an open connection is refused",
            EVERY,
            keep_alive,
        )
        .under(own_secret()),
        Row::new(
            "F5.stream",
            "the Secret is deleted while an answer streams: it ends whole, requests beside it are refused",
            EVERY,
            stream,
        )
        .under(own_secret()),
    ]
}

async fn keep_alive(stage: Stage) {
    match stage.http() {
        Http::One => {
            let mut http = stage.http1().await.expect("a connection");
            assert_eq!(http.ask(&request().to_http1()).await.map(|answer| answer.status), Ok(200));
            withdraw(&stage).await;
            let reply = http.ask(&request().to_http1()).await.into();
            stage.refused(&reply, 503, "credential_unavailable");
            // The refusal ended the connection, or the next one is refused on it as well.
            let next: Reply = http.ask(&request().to_http1()).await.into();
            assert!(next.is_refusal(), "{next:?}");
        }
        Http::Two => {
            let mut http = stage.http2().await.expect("a connection");
            assert_eq!(http.ask(&request()).await.map(|answer| answer.status), Ok(200));
            withdraw(&stage).await;
            for _ in 0..2 {
                let reply = http.ask(&request()).await.into();
                stage.refused(&reply, 503, "credential_unavailable");
            }
        }
    }
    stage.nothing_upstream().await;
}

/// How long an answer may stay silent before a row takes it for held.
const HELD: Duration = Duration::from_millis(300);

fn streamed() -> Request {
    request().body(r#"{"model":"claude-test","max_tokens":64,"stream":true,"messages":[]}"#)
}

async fn stream(stage: Stage) {
    stage.world.anthropic.provider.behave(|behaviour| behaviour.hold_second_event = true);
    let body = match stage.http() {
        Http::One => http1_stream(&stage).await,
        Http::Two => http2_stream(&stage).await,
    };
    assert!(body.contains("message_stop"), "the stream that was let through did not end whole: {body}");
    assert!(!body.contains(KEY));
    unavailable(&stage).await;
}

async fn http1_stream(stage: &Stage) -> String {
    let mut http = stage.http1().await.expect("a connection");
    http.write(&streamed().to_http1()).await;
    stage.world.anthropic.provider.wait_for_requests(1).await;
    let (begin, ended) = http.rest(HELD).await;
    assert!(begin.starts_with(b"HTTP/1.1 200") && !ended, "{:?}", String::from_utf8_lossy(&begin));
    withdraw(stage).await;
    unavailable(stage).await;
    stage.world.anthropic.provider.release();
    let (rest, _) = http.rest(HELD * 3).await;
    stage.world.anthropic.forget();
    String::from_utf8_lossy(&[begin, rest].concat()).into_owned()
}

async fn http2_stream(stage: &Stage) -> String {
    let mut http = stage.http2().await.expect("a connection");
    let number = http.request(&streamed()).await;
    stage.world.anthropic.provider.wait_for_requests(1).await;
    assert_eq!(http.answer_within(HELD, number).await.err(), Some(Cut::Silent), "the stream is not held");
    withdraw(stage).await;
    // The next request of the very connection on which the stream is open.
    stage.refused(&http.ask(&request()).await.into(), 503, "credential_unavailable");
    stage.nothing_upstream().await;
    stage.world.anthropic.provider.release();
    let answer = http.answer(number).await.expect("the rest of the stream");
    stage.world.anthropic.forget();
    assert_eq!(answer.status, 200);
    String::from_utf8_lossy(&answer.body).into_owned()
}
