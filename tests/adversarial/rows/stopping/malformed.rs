//! A6: what an agent can send that is malformed, wherever a parser reads it. Nothing panics: nobody is answered 503, and
//! no filter starts anew.

use std::time::Duration;

use harness::admin;
use harness::client::Http;

use crate::neighbour::{Neighbour, others};
use crate::processes::admin_socket;
use crate::row::{EVERY, HTTP2, ONCE, Row};
use crate::stage::Stage;
use crate::subject::Kind;
use crate::wire::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, encode,
};
use crate::wire::{Reply, Request};

use super::slow::noise_of;
use super::{protected, request};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "A6.bytes",
            "odd bytes in method, path, names and values: served or refused, never a filter that fails",
            EVERY,
            bytes,
        )
        .proved_by_itself(),
        Row::new("A6.values", "odd values where the filter reads: lengths, encodings, lists", EVERY, values)
            .proved_by_itself(),
        Row::new(
            "A6.frames",
            "frames that no client sends: ended or ignored, other agents are served",
            HTTP2,
            frames,
        )
        .proved_by_itself(),
        Row::new("A6.sockets", "noise at the controller's own sockets: it goes on", ONCE, sockets)
            .only_keyward("speaks of Keyward's sockets"),
    ]
}

/// How often Envoy started the filter's machine anew: Keyward's own, since its start.
fn restarts(stage: &Stage) -> u64 {
    let Some(gateway) = &stage.subject.gateway else { return 0 };
    let text = admin::ask(&admin_socket(gateway.state()), "/stats").expect("Envoy's statistics");
    let reloads = text.lines().filter(|line| line.contains("vm_reload"));
    let counts: Vec<u64> = reloads.filter_map(|line| line.rsplit(' ').next()?.trim().parse().ok()).collect();
    assert!(!counts.is_empty(), "Envoy does not count restarts of the filter: the row tests nothing");
    counts.iter().sum()
}

/// Sends what may be malformed. It is served or refused for what it is; any other 503 would be a filter that failed.
async fn check(stage: &Stage, request: &Request) {
    let reply = stage.ask(request).await;
    let sent = String::from_utf8_lossy(&request.to_http1()).chars().take(300).collect::<String>();
    assert!(reply.status() == 200 || reply.is_refusal(), "{sent:?}: {reply:?}");
    // What the provider itself does not take is its own affair.
    let upstream = reply.answered().is_some_and(|answer| answer.reason() == "upstream_refused");
    let others = stage.subject.kind != Kind::Keyward;
    assert!(others || reply.status() < 500 || reply.status() == 501 || upstream, "{sent:?}: {reply:?}");
}

/// Every byte that some parser treats in its own way.
const ODD: [u8; 26] = [
    0, 1, 9, 0x0b, 0x1b, 0x1f, b' ', b'"', b'#', b'%', b'(', b',', b';', b'=', b'?', b'@', b'\\', b'^', b'`',
    b'{', 0x7f, 0x80, 0xa0, 0xc0, 0xf4, 0xff,
];

async fn bytes(stage: Stage) {
    let before = restarts(&stage);
    let neighbour = Neighbour::start_beside_what_upstreams_refuse(&stage).await;
    for byte in ODD {
        let odd = [b"a".as_slice(), &[byte], b"b"].concat();
        check(&stage, &request().field([b"x-".as_slice(), &odd].concat(), "v")).await;
        check(&stage, &request().field("x-odd", &odd)).await;
        check(&stage, &request().path([b"/v1/messages?".as_slice(), &odd].concat())).await;
        check(&stage, &Request { method: [b"PO".as_slice(), &[byte], b"ST"].concat(), ..request() }).await;
        check(&stage, &request().authority([b"api.anthropic.com".as_slice(), &[byte]].concat())).await;
    }
    neighbour.end(&stage).await;
    protected_at_endpoint(&stage);
    assert_eq!(restarts(&stage), before, "the filter trapped");
}

/// Requests for `/v1/messages` exactly carried our key; for others nobody's key is worth anything.
fn protected_at_endpoint(stage: &Stage) {
    for received in stage.world.anthropic.provider.requests() {
        let path = received.path.split('?').next().unwrap_or_default();
        if path == "/v1/messages" {
            assert_eq!(
                received.values("x-api-key"),
                [harness::scenario::KEY],
                "{} {}",
                received.method,
                received.path
            );
        } else if stage.subject.kind == Kind::Keyward {
            // Others are told of hosts alone.
            assert!(!received.mentions(harness::scenario::KEY), "{} {}", received.method, received.path);
        }
    }
}

async fn values(stage: Stage) {
    let before = restarts(&stage);
    let neighbour = Neighbour::start_beside_what_upstreams_refuse(&stage).await;
    let names =
        ["x-api-key", "authorization", "content-type", "accept-encoding", "cookie", "host", "te", "x-odd"];
    let long = "v".repeat(16_000);
    let values: [&[u8]; 8] = [b"", b",", b",,,,", b"\"", b"=; =;", b"\xff\xfe", b"Bearer", long.as_bytes()];
    for name in names {
        for value in values {
            check(&stage, &request().field(name, value)).await;
        }
    }
    for path in [
        "",
        "?",
        "*",
        "//",
        "/v1/messages?%",
        "/v1/messages?%zz",
        "/%",
        "/v1/messages?&&==&",
        "http://",
        "/\u{7f}",
    ] {
        check(&stage, &request().path(path)).await;
    }
    for authority in
        ["", ":", "[", "[::1", "a@b@c", ":443", "api.anthropic.com:", "api.anthropic.com:99999", "%"]
    {
        check(&stage, &request().authority(authority)).await;
    }
    check(&stage, &request().no_authority()).await;
    neighbour.end(&stage).await;
    protected_at_endpoint(&stage);
    assert_eq!(restarts(&stage), before, "the filter trapped");
}

async fn frames(stage: Stage) {
    let head = || encode(&request().to_http2());
    let whole =
        || Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, encode(&Request::new("GET", "/").to_http2()));
    let cases: Vec<Vec<Frame>> = vec![
        // On the stream that may have none, or on none where one is needed.
        vec![Frame::new(HEADERS, 5, 0, head())],
        vec![Frame::new(DATA, 0, 0, *b"x")],
        vec![Frame::new(SETTINGS, 0, 3, [])],
        vec![Frame::new(PING, 0, 3, [0; 8])],
        vec![Frame::new(GOAWAY, 0, 3, [0; 8])],
        // On streams that are idle, even, or closed.
        vec![Frame::new(DATA, 1, 1, *b"x")],
        vec![Frame::new(HEADERS, 5, 2, head())],
        vec![Frame::new(RST_STREAM, 0, 9, [0; 4])],
        vec![Frame::new(WINDOW_UPDATE, 0, 9, [0, 0, 0, 1])],
        vec![whole(), whole()],
        vec![Frame::new(HEADERS, 5, 5, head()), Frame::new(HEADERS, 5, 3, head())],
        // Of a wrong size.
        vec![Frame::new(PING, 0, 0, [0; 7])],
        vec![Frame::new(SETTINGS, 0, 0, [0; 5])],
        vec![Frame::new(SETTINGS, 1, 0, [0; 6])],
        vec![Frame::new(RST_STREAM, 0, 1, [0; 3])],
        vec![Frame::new(WINDOW_UPDATE, 0, 0, [0; 3])],
        vec![Frame::new(PRIORITY, 0, 1, [0; 4])],
        vec![Frame::new(DATA, 0, 1, vec![0; 20_000])],
        // With values out of range.
        vec![Frame::new(WINDOW_UPDATE, 0, 0, [0; 4])],
        vec![Frame::new(WINDOW_UPDATE, 0, 0, [0x7f, 0xff, 0xff, 0xff]); 3],
        vec![Frame::new(SETTINGS, 0, 0, [0, 4, 0xff, 0xff, 0xff, 0xff])],
        vec![Frame::new(SETTINGS, 0, 0, [0, 5, 0, 0, 0, 0])],
        vec![Frame::new(SETTINGS, 0, 0, [0, 2, 0, 0, 0, 9])],
        // A head that is interrupted, never begun, padded beyond its end, or no HPACK.
        vec![Frame::new(HEADERS, 0, 1, head()), Frame::new(PING, 0, 0, [0; 8])],
        vec![Frame::new(HEADERS, 0, 1, head()), Frame::new(HEADERS, 4, 3, head())],
        vec![Frame::new(CONTINUATION, 4, 1, head())],
        vec![Frame::new(HEADERS, 0xd, 1, [200, 1])],
        vec![Frame::new(HEADERS, 5, 1, [0xff; 40])],
        vec![Frame::new(HEADERS, 5, 1, [0x3f, 0xff, 0xff, 0xff, 0xff, 0x7f])],
        vec![Frame::new(HEADERS, 5, 1, [])],
        vec![Frame::new(HEADERS, 0x25, 1, [0, 0, 0, 1, 16])],
        // Types and flags that do not exist, and what only a server says.
        vec![Frame::new(0xfe, 0xff, 1, noise_of(1, 100))],
        vec![Frame::new(5, 4, 1, [0, 0, 0, 2])],
    ];
    let neighbour = Neighbour::start(&stage).await;
    for frames in cases {
        let mut http = stage.http2().await.expect("a connection");
        http.send(&frames).await;
        http.ended(Duration::from_millis(100)).await;
    }
    for seed in 0..40 {
        let stream = stage.agent().open().await.expect("a connection");
        let mut http = stage.http1_over(stream);
        http.write(&[PREFACE, &noise_of(seed, 2_000)].concat()).await;
        http.rest(Duration::from_millis(50)).await;
    }
    neighbour.end(&stage).await;
    assert_eq!(stage.http(), Http::Two);
    for received in others(&stage) {
        assert!(received.path == "/" || !received.values("x-api-key").is_empty(), "{received:?}");
    }
}

async fn sockets(stage: Stage) {
    use tokio::io::AsyncWriteExt as _;
    let gateway = stage.gateway();
    let (before, neighbour) = (gateway.processes(), Neighbour::start(&stage).await);
    let files = std::fs::read_dir(gateway.state()).expect("the state directory");
    let sockets: Vec<_> = files
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "sock"))
        .collect();
    assert!(sockets.len() >= 2, "where are the sockets? {sockets:?}");
    let beginnings: [&[u8]; 6] = [
        b"",
        b"{\"namespace\":\"default\",\"name\":\"anthropic-credentials\",\"values\":[[\"api-key\",18446744073709551615]]}\n",
        b"{\"namespace\":1}\n",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
        PREFACE,
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    for socket in &sockets {
        for (seed, begin) in beginnings.iter().enumerate() {
            let mut stream = tokio::net::UnixStream::connect(socket).await.expect("a socket");
            // It may be closed before everything is written.
            let _ = stream.write_all(&[begin, &noise_of(seed, 4_000)[..]].concat()).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let long = vec![b'{'; 3 << 20];
    let mut stream =
        tokio::net::UnixStream::connect(gateway.state().join("control.sock")).await.expect("a socket");
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.write_all(&long)).await;
    neighbour.end(&stage).await;
    assert_eq!(gateway.processes(), before, "a process was restarted");
    protected(&stage);
    let reply: Reply = stage.ask(&request()).await;
    assert_eq!(reply.status(), 200, "{reply:?}");
}
