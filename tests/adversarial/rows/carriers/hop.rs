//! H3: headers that speak of one connection, pointed at the header of the credential.

use super::{Fate, OWN, check};
use crate::row::{HTTP1, HTTP2, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::subject::keyward::SECOND_KEY;
use crate::wire::Request;
use crate::world::SECOND;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "H3.nominated",
            "Connection nominates the header of the credential: it is there upstream",
            HTTP1,
            nominated,
        ),
        Row::new(
            "H3.upgrade",
            "Connection nominates the header of the credential on a WebSocket handshake: it is there upstream",
            HTTP1,
            upgrade,
        ),
        Row::new(
            "H3.upgrade-bearer",
            "the same where the credential is a bearer token, beside a key of the agent's in a subprotocol",
            HTTP1,
            upgrade_bearer,
        )
        .under(Scenario::default().second_credential())
        .only_keyward("needs a second credential"),
        Row::new(
            "H3.cloaked",
            "Connection nominates a credential of the agent's: it is gone",
            HTTP1,
            cloaked,
        ),
        Row::new(
            "H3.close",
            "Connection says close beside the name: answered, and then closed",
            HTTP1,
            close,
        ),
        Row::new("H3.http2", "hop-by-hop headers in HTTP/2, which has none: refused", HTTP2, http2),
    ]
}

/// A good request with the agent's own credential and these further lines.
fn with(fields: &[(&str, &str)]) -> Request {
    let request = Request::messages().field("x-api-key", OWN);
    fields.iter().fold(request, |request, (name, value)| request.field(name, value))
}

async fn nominated(stage: Stage) {
    for fields in [
        &[("Connection", "x-api-key")][..],
        &[("Connection", "X-API-KEY")],
        &[("Connection", "keep-alive, x-api-key")],
        &[("Connection", ",, x-api-key ,")],
        &[("Connection", "keep-alive"), ("Connection", "x-api-key")],
        &[("Connection", "x_api_key")],
        &[("Connection", "\"x-api-key\"")],
        &[("Connection", "TE, x-api-key"), ("TE", "trailers")],
        &[("Connection", "Keep-Alive, x-api-key"), ("Keep-Alive", "timeout=5, x-api-key")],
        &[("Proxy-Connection", "x-api-key")],
        &[("TE", "x-api-key")],
        &[("Trailer", "x-api-key")],
    ] {
        check(&stage, &format!("{fields:?}"), &stage.ask(&with(fields)).await, Fate::Served).await;
    }
}

async fn upgrade(stage: Stage) {
    // It expects a body on this endpoint; what counts is what it received.
    stage.world.anthropic.provider.behave(|behaviour| behaviour.status = Some(200));
    for connection in
        ["Upgrade, x-api-key", "x-api-key, upgrade", "Upgrade\r\nConnection: x-api-key", "Upgrade"]
    {
        let lines = [
            ("Connection", connection),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("x-api-key", OWN),
        ];
        let request = Request::new("GET", "/v1/messages");
        let request = lines.iter().fold(request, |request, (name, value)| request.field(name, value));
        check(&stage, connection, &stage.ask(&request).await, Fate::Served).await;
    }
}

async fn upgrade_bearer(stage: Stage) {
    let member = format!("openai-insecure-api-key.{OWN}");
    for connection in ["Upgrade, authorization", "authorization, upgrade", "sec-websocket-protocol, Upgrade"]
    {
        let request = Request::new("GET", "/v1/realtime?model=gpt-realtime")
            .authority(SECOND)
            .field("Connection", connection)
            .field("Upgrade", "websocket")
            .field("Sec-WebSocket-Version", "13")
            .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .field("Authorization", format!("Bearer {OWN}"))
            .field("Sec-WebSocket-Protocol", format!("realtime, {member}"))
            .field("sec-websocket-protocol", &member);
        let reply = stage.send(&stage.agent_for(SECOND), &request).await;
        assert_eq!(reply.status(), 200, "{connection}: {reply:?}");
        let received = stage.world.second.only_request();
        assert_eq!(received.version, "HTTP/1.1", "{connection}");
        assert_eq!(received.values("authorization"), [format!("Bearer {SECOND_KEY}")], "{connection}");
        assert!(!received.mentions(OWN), "{connection}: {received:?}");
    }
}

async fn cloaked(stage: Stage) {
    for name in ["authorization", "cookie", "x-goog-api-key"] {
        let request = with(&[("Connection", name), (name, OWN)]);
        check(&stage, name, &stage.ask(&request).await, Fate::Served).await;
    }
}

async fn http2(stage: Stage) {
    for (name, value) in [
        ("connection", "x-api-key"),
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "x-api-key"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
    ] {
        let reply = stage.ask(&with(&[(name, value)])).await;
        check(&stage, &format!("{name}: {value}"), &reply, Fate::Refused(&[0, 400])).await;
    }
}

async fn close(stage: Stage) {
    for connection in ["close", "x-api-key,close", "close, x-api-key"] {
        check(&stage, connection, &stage.ask(&with(&[("Connection", connection)])).await, Fate::Served).await;
    }
}
