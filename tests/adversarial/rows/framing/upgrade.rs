//! Upgrades: where HTTP ends on a connection, and whether both sides agree on it.

use std::time::Duration;

use super::{HIDDEN, stays_hidden};
use crate::row::{HTTP1, HTTP2, ONCE, Row};
use crate::stage::Stage;
use crate::wire::Request;
use crate::wire::http2::PREFACE;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "framing.upgrade-refused",
            "a WebSocket that the provider does not open: no raw bytes pass",
            HTTP1,
            refused,
        )
        .proved_by_itself(),
        Row::new("framing.upgrade-unknown", "upgrades to anything else are not upgrades", HTTP1, unknown)
            .proved_by_itself(),
        Row::new(
            "framing.upgrade-with-body",
            "an upgrade with a length and a body behind it",
            HTTP1,
            with_body,
        )
        .proved_by_itself(),
        Row::new("framing.preface", "the HTTP/2 preface where HTTP/1.1 was agreed: refused", HTTP1, preface),
        Row::new("framing.http1-in-h2", "HTTP/1.1 where HTTP/2 was agreed: refused", HTTP2, http1_in_h2)
            .proved_by_itself(),
        Row::new(
            "framing.connect-then-plain",
            "bytes behind CONNECT's head are the tunnel's, not a request",
            ONCE,
            behind,
        )
        .proved_by_itself(),
    ]
}

const SILENCE: Duration = Duration::from_millis(600);

fn upgrade(protocol: &str) -> Request {
    Request::new("GET", "/v1/messages")
        .field("Connection", "Upgrade")
        .field("Upgrade", protocol)
        .field("Sec-WebSocket-Version", "13")
        .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// Sends an upgrade and what would be a request of its own if the upgrade were believed, or not believed, on one side
/// only.
async fn check(stage: &Stage, request: &Request) {
    let mut http = stage.http1().await.expect("a connection");
    http.write(&[&request.to_http1()[..], HIDDEN.as_bytes()].concat()).await;
    let (answers, _) = http.answers(SILENCE).await;
    assert!(
        answers.iter().all(|answer| answer.status != 101),
        "the provider opens no WebSocket: {answers:?}"
    );
    let requests = stage.world.anthropic.take_requests();
    // If the hidden request is one for the gateway, then as any other: judged, and with a place in the answers.
    assert!(requests.len() <= answers.len(), "{} requests for {} answers", requests.len(), answers.len());
    for request in requests.iter().filter(|request| request.path.contains("hidden")) {
        assert!(request.values("upgrade").is_empty() && request.authority == "api.anthropic.com");
    }
}

async fn refused(stage: Stage) {
    check(&stage, &upgrade("websocket")).await;
}

async fn unknown(stage: Stage) {
    for protocol in ["h2c", "TLS/1.0", "connect-udp", "websocket, h2c", "HTTP/2.0", ""] {
        check(&stage, &upgrade(protocol)).await;
    }
}

async fn with_body(stage: Stage) {
    let request = upgrade("websocket").body(HIDDEN);
    let mut http = stage.http1().await.expect("a connection");
    http.write(&request.to_http1()).await;
    let (answers, _) = http.answers(SILENCE).await;
    assert!(answers.iter().all(|answer| answer.status != 101), "{answers:?}");
    let requests = stage.world.anthropic.take_requests();
    assert!(requests.iter().all(|request| request.path == "/v1/messages"), "the body became a request");
}

async fn preface(stage: Stage) {
    let reply = stage.ask_bytes(PREFACE).await;
    super::refused_as_malformed(&stage, &reply, "the preface").await;
}

async fn http1_in_h2(stage: Stage) {
    let agent = stage.agent();
    let stream = agent.open().await.expect("a connection");
    let reply = stage.http1_over(stream).ask(&Request::messages().to_http1()).await;
    assert!(reply.is_err(), "{reply:?}");
    stays_hidden(&stage, "HTTP/1.1");
    stage.nothing_upstream().await;
}

/// What comes with CONNECT in one piece belongs to the tunnel, where it is no TLS.
async fn behind(stage: Stage) {
    let connect = "CONNECT api.anthropic.com:443 HTTP/1.1\r\nHost: api.anthropic.com:443\r\n\r\n";
    let plain = String::from_utf8_lossy(&Request::messages().to_http1()).into_owned();
    let stream = tokio::net::TcpStream::connect(stage.subject.proxy).await.expect("the proxy port");
    let mut http = crate::wire::http1::Http1::new(stream, stage.seen.clone());
    http.write(format!("{connect}{plain}").as_bytes()).await;
    let (rest, _) = http.rest(Duration::from_secs(2)).await;
    let text = String::from_utf8_lossy(&rest).into_owned();
    assert!(text.starts_with("HTTP/1.1 200"), "CONNECT was not answered: {text}");
    assert_eq!(text.matches("HTTP/1.1").count(), 1, "what stood behind CONNECT was answered: {text}");
    stage.nothing_upstream().await;
}
