//! H7: paths that two readers may read in two ways.

use super::{Fate, OWN, check};
use crate::row::{EVERY, HTTP1, HTTP2, Row};
use crate::stage::Stage;
use crate::subject::Kind;
use crate::wire::Request;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("H7.spelling", "a path that is not in canonical form: refused", EVERY, spelling),
        Row::new("H7.bytes", "a path with bytes that no path has: refused", EVERY, bytes),
        Row::new("H7.near", "a path that is nearly one with a credential: passes without any", EVERY, near),
        Row::new("H7.absolute", "an absolute target: its own path counts", HTTP1, absolute),
        Row::new("H7.rootless", "a target that is no path: refused", EVERY, rootless),
        Row::new("H7.twice", "two paths in HTTP/2: refused", HTTP2, twice),
    ]
}

async fn refused(stage: &Stage, path: &[u8]) {
    let case = String::from_utf8_lossy(path).into_owned();
    let reply = stage.ask(&Request::messages().field("x-api-key", OWN).path(path)).await;
    check(stage, &case, &reply, Fate::Refused(&[0, 400])).await;
}

/// In these the way to an endpoint, or from it to another place, depends on who reads them.
const TWO_READINGS: [&str; 24] = [
    "//v1/messages",
    "/v1//messages",
    "/v1/./messages",
    "/v1/../v1/messages",
    "/v1/messages/..",
    "/v1/messages/../files",
    "/v1/files/../messages",
    "/v1/%2e%2e/v1/messages",
    "/v1/.%2E/v1/messages",
    "/v1/messages/%2e%2e/files",
    "/v1%2fmessages",
    "/v1/messages%2F..%2Ffiles",
    "/v1/messages%5c..%5cfiles",
    "/v1\\messages",
    "/v1/messages;x",
    "/v1/messages;x=/../files",
    "/v1/messages%3bx",
    "/v1/%6dessages",
    "/v1/messages%00",
    "/v1/messages%0d%0ax-api-key:%20a",
    "/v1/messages%",
    "/v1/messages%zz",
    "/v1/messages%252e",
    "/v1/messages#/../files",
];

async fn spelling(stage: Stage) {
    for path in TWO_READINGS {
        refused(&stage, path.as_bytes()).await;
    }
}

async fn bytes(stage: Stage) {
    for path in [
        &b"/v1/messages\0"[..],
        b"/v1/messages\x01",
        b"/v1/messages\x7f",
        b"/v1/m\xc0\xafessages",
        b"/v1\xc0\xafmessages",
        b"/v1/\xff",
        "/v1/messages\u{2215}x".as_bytes(),
        b"/v1/messages\t/x",
    ] {
        refused(&stage, path).await;
    }
}

/// Passes without a credential where the gateway lets other endpoints pass.
async fn passes(stage: &Stage, sent: &str, received: &str) {
    let reply = stage.ask(&Request::messages().field("x-api-key", OWN).path(sent)).await;
    if stage.subject.kind == Kind::Keyward {
        assert_eq!(reply.status(), 200, "{sent}: {reply:?}");
        let request = stage.world.anthropic.only_request();
        assert_eq!(request.path, received, "{sent}");
        assert!(request.values("x-api-key").is_empty(), "{sent} went with a credential: {request:?}");
        assert!(!request.mentions(OWN), "{sent}");
    } else {
        assert!(!stage.world.anthropic.saw(OWN), "{sent}: the agent's own credential went upstream");
        stage.world.anthropic.forget();
    }
}

async fn near(stage: Stage) {
    for path in [
        "/V1/messages",
        "/v1/Messages",
        "/v1/messages/",
        "/v1/message",
        "/v1/messages2",
        "/v1/messages.json",
        "/v1/messages:x",
        "/v1/messages/x",
        "/v2/messages",
        "/",
        "/v1/files?/v1/messages",
        "/v1/messages%C2%A0",
    ] {
        passes(&stage, path, path).await;
    }
}

async fn absolute(stage: Stage) {
    let at = |path: &str| format!("https://api.anthropic.com{path}");
    let good = Request::messages().field("x-api-key", OWN).path(at("/v1/messages"));
    check(&stage, "the endpoint", &stage.ask(&good).await, Fate::Served).await;
    passes(&stage, &at("/v1/files"), "/v1/files").await;
    passes(&stage, &at("/v1/files?/v1/messages"), "/v1/files?/v1/messages").await;
    for path in ["/v1/messages/../files", "//v1/messages", "/v1/%6dessages"] {
        refused(&stage, at(path).as_bytes()).await;
    }
}

async fn rootless(stage: Stage) {
    for path in ["*", "v1/messages", "?/v1/messages", "./v1/messages", "#/v1/messages", "\\v1\\messages"] {
        refused(&stage, path.as_bytes()).await;
    }
    if stage.http() == harness::client::Http::Two {
        refused(&stage, b"").await;
    }
}

async fn twice(stage: Stage) {
    for (first, second) in [("/v1/messages", "/v1/files"), ("/v1/files", "/v1/messages")] {
        let Ok(mut http) = stage.http2().await else { panic!("no connection") };
        let mut fields = Request::messages().path(first).to_http2();
        fields.insert(4, (b":path".to_vec(), second.into()));
        let stream = http.open(&fields, true).await;
        let case = format!("{first}, then {second}");
        check(&stage, &case, &http.answer(stream).await.into(), Fate::Refused(&[0, 400])).await;
    }
}
