//! H5: methods that give a request back, open a way that nothing watches, or that nobody knows.

use super::{OWN, only_ours, refused};
use crate::row::{EVERY, HTTP1, HTTP2, Row};
use crate::stage::Stage;
use crate::wire::{Field, Reply, Request};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("H5.trace", "TRACE, which gives back what was sent: refused", EVERY, trace),
        Row::new("H5.connect", "CONNECT inside the intercepted connection: refused", HTTP1, connect),
        Row::new(
            "H5.connect2",
            "CONNECT inside the intercepted connection, HTTP/2: refused",
            HTTP2,
            connect2,
        ),
        Row::new("H5.extended", "extended CONNECT: refused", HTTP2, extended),
        Row::new("H5.unknown", "methods that nobody knows, or in another case: refused", EVERY, unknown),
        Row::new(
            "H5.override",
            "headers that name another method: they do not go upstream",
            EVERY,
            overridden,
        ),
    ]
}

async fn trace(stage: Stage) {
    for method in ["TRACE", "trace", "Trace", "TRACK"] {
        for path in ["/v1/messages", "/v1/files"] {
            let request = Request::new(method, path).field("max-forwards", "0").field("x-api-key", OWN);
            refused(&stage, &format!("{method} {path}"), &stage.ask(&request).await, &[400, 405]).await;
        }
    }
}

async fn connect(stage: Stage) {
    for target in ["api.anthropic.com:443", "other.example:443", "/v1/messages", "127.0.0.1:22"] {
        let bytes =
            format!("CONNECT {target} HTTP/1.1\r\nHost: api.anthropic.com\r\nx-api-key: {OWN}\r\n\r\n");
        let reply = stage.ask_bytes(bytes.as_bytes()).await;
        refused(&stage, target, &reply, &[400, 403, 404, 405, 421]).await;
    }
}

/// Opens a stream with these pseudo-headers, and leaves it open as a tunnel is.
async fn open(stage: &Stage, fields: &[(&str, &str)]) -> Reply {
    let mut http = match stage.http2().await {
        Ok(http) => http,
        Err(reply) => return reply,
    };
    let fields: Vec<Field> = fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let stream = http.open(&fields, false).await;
    http.answer(stream).await.into()
}

async fn connect2(stage: Stage) {
    for authority in ["api.anthropic.com:443", "api.anthropic.com", "other.example:443"] {
        let reply = open(&stage, &[(":method", "CONNECT"), (":authority", authority)]).await;
        refused(&stage, authority, &reply, &[0, 400, 403, 404, 405, 421]).await;
    }
}

async fn extended(stage: Stage) {
    for protocol in ["websocket", "connect-udp", "connect-ip", "bytestream", "", "Websocket"] {
        let fields = [
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", "https"),
            (":path", "/v1/messages"),
            (":authority", "api.anthropic.com"),
            ("sec-websocket-version", "13"),
            ("x-api-key", OWN),
        ];
        let reply = open(&stage, &fields).await;
        refused(&stage, protocol, &reply, &[0, 400, 403, 404, 405]).await;
    }
}

async fn unknown(stage: Stage) {
    for method in
        ["BREW", "get", "Post", "post", "PROPFIND", "PURGE", "M-SEARCH", "LINK", "COPY", "GETX", "X"]
    {
        let request = Request { method: method.into(), ..Request::messages() };
        refused(&stage, method, &stage.ask(&request).await, &[400, 405]).await;
    }
}

async fn overridden(stage: Stage) {
    for name in ["x-http-method-override", "x-http-method", "x-method-override", "X_HTTP_Method_Override"] {
        let reply = stage.ask(&Request::messages().field(name, "TRACE").field("x-api-key", OWN)).await;
        assert_eq!(reply.status(), 200, "{name}: {reply:?}");
        let received = stage.world.anthropic.only_request();
        assert!(!received.mentions("TRACE"), "{name} went upstream: {received:?}");
        only_ours(&received, name);
    }
}
