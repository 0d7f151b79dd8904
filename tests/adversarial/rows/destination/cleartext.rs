//! D7: requests in the clear, and requests that claim to be.

use harness::client::Http;
use harness::gateway::HOST;
use harness::scenario::KEY;

use crate::row::{EVERY, HTTP2, ONCE, Row};
use crate::stage::Stage;
use crate::wire::Request;
use crate::world::OTHER;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "D7.plain",
            "plain requests for the credentialed host, in every form: 403 cleartext",
            ONCE,
            plain,
        ),
        Row::new("D7.connect-80", "CONNECT to port 80 of the credentialed host: refused", ONCE, connect),
        Row::new("D7.other", "a plain request for another host: forwarded without a key", ONCE, other)
            .proved_by(crate::subject::Leak::ToAnyone),
        Row::new(
            "D7.scheme",
            "`:scheme: http` inside TLS: upstream is TLS all the same, or nothing",
            HTTP2,
            scheme,
        )
        .proved_by_itself(),
        Row::new(
            "D7.forwarded-proto",
            "headers that claim http: upstream is TLS all the same",
            EVERY,
            forwarded,
        )
        .proved_by_itself(),
        Row::new(
            "D7.upgrade",
            "an upgrade to h2c, inside TLS and outside: nothing goes in the clear",
            EVERY,
            upgrade,
        )
        .proved_by_itself(),
    ]
}

async fn plain(stage: Stage) {
    for (target, host) in [
        ("http://api.anthropic.com/v1/messages", HOST),
        ("http://api.anthropic.com:80/v1/messages", HOST),
        ("http://api.anthropic.com:443/v1/messages", HOST),
        ("http://API.Anthropic.com./v1/messages", HOST),
        ("HTTP://api.anthropic.com/v1/messages", HOST),
        ("https://api.anthropic.com/v1/messages", HOST),
        ("/v1/messages", HOST),
        ("/v1/messages", "API.anthropic.com:80"),
        ("http://api.anthropic.com/v1/messages", OTHER),
    ] {
        let request = Request::messages().path(target).authority(host).to_http1();
        let reply = stage.ask_proxy(&request).await;
        assert!(reply.is_refusal(), "{target}, Host {host}: {reply:?}");
        if target.starts_with("HTTP:") {
            stage.refused_with_any(&reply, &[400, 403]);
        } else {
            stage.refused(&reply, 403, "cleartext");
        }
        stage.nothing_upstream().await;
    }
}

async fn connect(stage: Stage) {
    for target in ["api.anthropic.com:80", "API.anthropic.com:80", "api.anthropic.com.:80"] {
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        let reply = stage.ask_proxy(head.as_bytes()).await;
        assert!(reply.is_refusal(), "{target}: {reply:?}");
        stage.refused(&reply, 403, "denied_by_policy");
        stage.nothing_upstream().await;
    }
}

async fn other(stage: Stage) {
    let request = format!("GET http://{OTHER}/ HTTP/1.1\r\nHost: {OTHER}\r\n\r\n");
    let reply = stage.ask_proxy(request.as_bytes()).await;
    assert_eq!(reply.status(), 200, "{reply:?}");
    assert_eq!(stage.world.cleartext.connections().len(), 1);
    assert!(!stage.world.cleartext.saw(KEY), "the key went in the clear");
}

/// With the key by TLS, or refused; never in the clear.
async fn never_clear(stage: &Stage, request: &Request) {
    let reply = stage.ask(request).await;
    assert!(stage.world.cleartext.connections().is_empty(), "something went in the clear");
    if !reply.is_refusal() {
        assert_eq!(stage.world.anthropic.only_request().values("x-api-key"), [KEY]);
    }
}

async fn scheme(stage: Stage) {
    for scheme in ["http", "HTTP", "ftp", ""] {
        never_clear(&stage, &Request::messages().scheme(scheme)).await;
    }
}

async fn forwarded(stage: Stage) {
    for (name, value) in [
        ("x-forwarded-proto", "http"),
        ("x-forwarded-scheme", "http"),
        ("x-forwarded-port", "80"),
        ("forwarded", "proto=http;host=hostile.example"),
        ("front-end-https", "off"),
    ] {
        never_clear(&stage, &Request::messages().field(name, value)).await;
    }
}

async fn upgrade(stage: Stage) {
    if stage.http() == Http::Two {
        // HTTP/2 has no upgrade; the header is forbidden there (RFC 9113, section 8.2.2).
        return never_clear(&stage, &Request::messages().field("upgrade", "h2c")).await;
    }
    let upgrade = |request: Request| {
        let request = request.field("Connection", "Upgrade, HTTP2-Settings").field("Upgrade", "h2c");
        request.field("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA")
    };
    never_clear(&stage, &upgrade(Request::messages())).await;
    let outside = upgrade(Request::messages().path("http://api.anthropic.com/v1/messages"));
    let reply = stage.ask_proxy(&outside.to_http1()).await;
    stage.refused_with_any(&reply, &[400, 403]);
    assert!(stage.world.cleartext.connections().is_empty(), "something went in the clear");
}
