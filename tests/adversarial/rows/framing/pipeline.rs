//! Several requests on one HTTP/1.1 connection, and what stands between them.

use std::time::Duration;

use harness::scenario::KEY;

use super::{HIDDEN, stays_hidden};
use crate::row::{EVERY, HTTP1, Row};
use crate::stage::Stage;
use crate::subject::Kind;
use crate::wire::{Request, contains};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "framing.pipeline",
            "pipelined requests are judged one by one, and answered in order",
            HTTP1,
            pipeline,
        )
        .proved_by_itself(),
        Row::new("framing.body-is-body", "a body that looks like a request is a body", EVERY, body)
            .proved_by_itself(),
        Row::new("framing.get-with-body", "a body after GET and HEAD is not the next request", HTTP1, get)
            .proved_by_itself(),
        Row::new(
            "framing.early-answer",
            "what follows a refused request's head is not the next request",
            HTTP1,
            early,
        )
        .beyond_others("needs a refusal by the head alone"),
        Row::new(
            "framing.spaces",
            "white space in a request line: refused, or one clean request",
            HTTP1,
            spaces,
        )
        .proved_by_itself(),
        Row::new(
            "framing.versions",
            "HTTP/0.9, 1.0, 2.0 and others as a word of the request line",
            HTTP1,
            versions,
        ),
    ]
}

/// How long a connection may stay silent once everything came that will.
const SILENCE: Duration = Duration::from_millis(600);

async fn pipeline(stage: Stage) {
    let good = Request::messages().to_http1();
    let misdirected = Request::messages().authority("other.example").to_http1();
    let mut http = stage.http1().await.expect("a connection");
    http.write(&[good.clone(), good.clone(), misdirected, good].concat()).await;
    let (answers, _) = http.answers(SILENCE).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    let misdirected = |status: u16| status == 421 || stage.subject.kind != Kind::Keyward && status >= 400;
    // After the refusal the connection may end or go on.
    let whole = matches!(statuses[..], [200, 200, third] | [200, 200, third, 200] if misdirected(third));
    assert!(whole, "{statuses:?}");
    let requests = stage.world.anthropic.take_requests();
    assert_eq!(requests.len(), statuses.iter().filter(|status| **status == 200).count());
    for request in requests {
        assert_eq!(request.values("x-api-key"), [KEY]);
    }
    assert!(stage.world.other.take_requests().is_empty());
}

async fn body(stage: Stage) {
    let reply = stage.ask(&Request::messages().body(HIDDEN)).await;
    // To the provider it is a body that is not JSON.
    assert_eq!(reply.status(), 400, "{reply:?}");
    let received = stage.world.anthropic.only_request();
    assert_eq!((received.path.as_str(), received.body.as_slice()), ("/v1/messages", HIDDEN.as_bytes()));
}

async fn get(stage: Stage) {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        let mut http = stage.http1().await.expect("a connection");
        http.write(&Request::new(method, "/v1/files").body(HIDDEN).to_http1()).await;
        let answer = http.answer(method != "HEAD").await;
        let received = stage.world.anthropic.take_requests();
        match answer {
            Ok(answer) if answer.status < 400 => {
                assert_eq!(received.len(), 1, "{method}: {} requests went upstream", received.len());
                assert_eq!(received[0].body, HIDDEN.as_bytes(), "{method}");
            }
            _ => assert!(received.iter().all(|request| request.path == "/v1/files"), "{method}"),
        }
    }
}

/// The gateway answers before it has read the body, which would be good requests if they were any.
async fn early(stage: Stage) {
    let inner = Request::messages().path("/hidden").to_http1();
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: other.example\r\nContent-Length: {}\r\n\r\n",
        inner.len() * 2
    );
    let mut http = stage.http1().await.expect("a connection");
    http.write(&[head.as_bytes(), &inner, &inner].concat()).await;
    let (answers, _) = http.answers(SILENCE).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert!(statuses.first().is_some_and(|status| *status >= 400) && statuses.len() == 1, "{statuses:?}");
    stays_hidden(&stage, "after a refused head");
    stage.nothing_upstream().await;
}

async fn versions(stage: Stage) {
    for line in [
        "POST /v1/messages",
        "POST /v1/messages HTTP/0.9",
        "POST /v1/messages HTTP/1.2",
        "POST /v1/messages HTTP/2.0",
        "POST /v1/messages HTTP/1.1 HTTP/1.1",
        "POST /v1/ messages HTTP/1.1",
        "PO ST /v1/messages HTTP/1.1",
        "post /v1/messages http/1.1",
    ] {
        let request = format!("{line}\r\nHost: api.anthropic.com\r\nContent-Length: 2\r\n\r\n{{}}");
        let reply = stage.ask_bytes(request.as_bytes()).await;
        assert!(reply.is_refusal(), "{line:?}: {reply:?}");
        stage.refused_with_any(&reply, &[0, 400, 403, 405, 426]);
        let bytes = stage.world.anthropic.http1_bytes();
        assert!(!contains(&bytes, b"HTTP/1.1 HTTP"), "{line:?}");
        stage.nothing_upstream().await;
    }
}

/// More white space than must be in a request line (RFC 9112, section 3, lets a reader be lenient).
async fn spaces(stage: Stage) {
    for line in ["POST /v1/messages HTTP/1.1 ", "POST  /v1/messages HTTP/1.1", "POST /v1/messages\tHTTP/1.1"]
    {
        let request = format!("{line}\r\nHost: api.anthropic.com\r\nContent-Length: 2\r\n\r\n{{}}");
        let reply = stage.ask_bytes(request.as_bytes()).await;
        if reply.is_refusal() {
            stage.nothing_upstream().await;
            continue;
        }
        let received = stage.world.anthropic.only_request();
        assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/v1/messages"), "{line:?}");
        assert_eq!(received.values("x-api-key"), [KEY], "{line:?}");
    }
}
