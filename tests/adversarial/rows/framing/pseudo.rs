//! The header list of HTTP/2: pseudo-headers that are missing, twice, late or unknown; names and values that would
//! read otherwise in HTTP/1.1 (RFC 9113, sections 8.2 and 8.3).

use super::{HIDDEN, refused_as_malformed};
use crate::row::{HTTP2, Row};
use crate::stage::Stage;
use crate::wire::{Field, Request};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("framing.pseudo-missing", "a pseudo-header is missing: refused", HTTP2, missing)
            .proved_by_itself(),
        Row::new("framing.pseudo-twice", "a pseudo-header comes twice: refused", HTTP2, twice),
        Row::new(
            "framing.pseudo-late",
            "a pseudo-header after a header, or in trailers: refused",
            HTTP2,
            late,
        ),
        Row::new("framing.pseudo-unknown", "unknown and response pseudo-headers: refused", HTTP2, unknown),
        Row::new(
            "framing.pseudo-values",
            "paths, methods and schemes that would split a request line",
            HTTP2,
            values,
        ),
        Row::new(
            "framing.names",
            "upper case, spaces, colons, CR, LF and NUL in names: refused",
            HTTP2,
            names,
        ),
        Row::new("framing.values", "CR, LF and NUL in values: refused", HTTP2, field_values),
        Row::new(
            "framing.connection-headers",
            "headers of a connection in HTTP/2: refused or gone",
            HTTP2,
            connection,
        )
        .proved_by_itself(),
        Row::new("framing.h2-length", "a Content-Length that is not the body's: refused", HTTP2, length),
    ]
}

fn pair(name: &[u8], value: &[u8]) -> Field {
    (name.to_vec(), value.to_vec())
}

/// A good request's header list without a body, to be spoilt.
fn good() -> Vec<Field> {
    Request::new("GET", "/v1/messages").to_http2()
}

/// Sends a header list that ends its stream; it must be refused, and the connection's next stream may be too.
async fn check(stage: &Stage, fields: &[Field]) {
    let mut session = stage.http2().await.expect("a connection");
    let stream = session.open(fields, true).await;
    let reply = session.answer(stream).await.into();
    let shown: Vec<_> = fields.iter().map(|(name, value)| [&name[..], b"=", value].concat()).collect();
    let shown: Vec<_> = shown.iter().map(|field| String::from_utf8_lossy(field)).collect();
    refused_as_malformed(stage, &reply, &format!("{shown:?}")).await;
}

async fn missing(stage: Stage) {
    for name in [":method", ":scheme", ":path"] {
        let fields: Vec<Field> = good().into_iter().filter(|(known, _)| known != name.as_bytes()).collect();
        check(&stage, &fields).await;
    }
}

async fn twice(stage: Stage) {
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", "/v1/messages"),
        (":path", "/v1/files"),
        (":authority", "api.anthropic.com"),
        (":authority", "hostile.example"),
    ] {
        let mut fields = good();
        fields.insert(4, pair(name.as_bytes(), value.as_bytes()));
        check(&stage, &fields).await;
    }
}

async fn late(stage: Stage) {
    for (name, value) in [(":authority", "hostile.example"), (":path", "/v1/files"), (":method", "POST")] {
        let mut fields: Vec<Field> =
            good().into_iter().filter(|(known, _)| known != name.as_bytes()).collect();
        fields.extend([pair(b"x-a", b"b"), pair(name.as_bytes(), value.as_bytes())]);
        check(&stage, &fields).await;
        let reply = stage.ask(&Request::messages().trailer(name, value)).await;
        refused_as_malformed(&stage, &reply, &format!("{name} in trailers")).await;
    }
}

async fn unknown(stage: Stage) {
    for name in [":status", ":host", ":protocol", ":", ":authority ", ":Path", ":scheme\0"] {
        let mut fields = good();
        fields.insert(4, pair(name.as_bytes(), b"200"));
        check(&stage, &fields).await;
    }
}

async fn values(stage: Stage) {
    let smuggled = format!("/v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\n\r\n{HIDDEN}");
    for (name, value) in [
        (":path", smuggled.as_str()),
        (":path", "/v1/messages HTTP/1.1"),
        (":path", "/v1/\0messages"),
        (":path", "v1/messages"),
        (":path", ""),
        (":path", "*"),
        (":method", "GET /v1/files HTTP/1.1\r\nX: y"),
        (":method", "GE T"),
        (":method", ""),
        (":authority", "api.anthropic.com\r\nX-A: b"),
        (":authority", "api.anthropic.com\0"),
    ] {
        let mut fields = good();
        for field in fields.iter_mut().filter(|(known, _)| known == name.as_bytes()) {
            field.1 = value.into();
        }
        check(&stage, &fields).await;
    }
}

async fn names(stage: Stage) {
    for name in [
        &b"X-Upper"[..],
        b"x api",
        b"x-a:",
        b"x-a: b\r\nx-c",
        b"x\r\n",
        b"x\n",
        b"x\0",
        b"",
        b" x",
        b"x ",
        b"x\x7f",
        b"x(y)",
    ] {
        let mut fields = good();
        fields.push(pair(name, b"value"));
        check(&stage, &fields).await;
    }
}

async fn field_values(stage: Stage) {
    let smuggled = format!("b\r\n\r\n{HIDDEN}");
    for value in [smuggled.as_str(), "b\r\nx-c: d", "b\nc", "b\rc", "b\0c"] {
        let mut fields = good();
        fields.push(pair(b"x-a", value.as_bytes()));
        check(&stage, &fields).await;
    }
}

async fn connection(stage: Stage) {
    for (name, value) in [
        ("connection", "keep-alive, x-api-key"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
    ] {
        let mut session = stage.http2().await.expect("a connection");
        let mut fields = good();
        fields.push(pair(name.as_bytes(), value.as_bytes()));
        let stream = session.open(&fields, true).await;
        if let Ok(answer) = session.answer(stream).await {
            assert_ne!(answer.status, 101, "{name}");
        }
        for received in stage.world.anthropic.take_requests() {
            assert!(received.values(name).is_empty(), "{name} went upstream");
        }
    }
}

/// The stream ends with less, or more, than was declared. The head may be on its way; a whole request may not arrive.
async fn length(stage: Stage) {
    for declared in ["0", "1", "100000", "4, 4", "-1", "x"] {
        let request = Request::messages().field("content-length", declared);
        let reply = stage.ask(&request).await;
        assert!(reply.is_refusal(), "{declared}: {reply:?}");
        stage.refused_with_any(&reply, &[0, 400, 503]);
        assert!(stage.world.anthropic.take_requests().is_empty(), "{declared}: a request went upstream");
    }
}
