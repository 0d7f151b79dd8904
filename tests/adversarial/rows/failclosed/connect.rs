//! F6: CONNECT is judged by host and port only; everything else is judged when the request inside is there.

use harness::gateway::HOST;
use harness::scenario::KEY;
use tokio::net::TcpStream;

use crate::row::{ONCE, PROXY, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::http1::Http1;
use crate::wire::http2::Session;
use crate::wire::{Reply, Request};
use crate::world::OTHER;

const ENDPOINTS: &str = "endpoints: [/v1/messages, /v1/complete]";

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "F6.path",
            "a rule for two paths: CONNECT succeeds, the path is judged inside the tunnel",
            PROXY,
            path,
        )
        .under(Scenario::default().deny_all()),
        Row::new(
            "F6.method",
            "a rule for POST and one path: CONNECT succeeds, the method is judged inside the tunnel",
            PROXY,
            method,
        )
        .under(
            Scenario::default().deny_all().replace(ENDPOINTS, "endpoints: [/v1/messages], methods: [POST]"),
        ),
        Row::new("F6.fields", "CONNECT with credentials and control headers: they go nowhere", PROXY, fields)
            .proved_by_itself(),
        Row::new("F6.forms", "CONNECT in odd forms, or with a body: nothing goes upstream", ONCE, forms)
            .under(Scenario::default().deny_all())
            .only_keyward("needs a proxy that refuses unlisted hosts"),
    ]
}

async fn path(stage: Stage) {
    for path in ["/v1/files", "/", "/v1/messages/count_tokens", "/V1/messages"] {
        let reply = stage.ask(&Request::messages().path(path)).await;
        assert!(!matches!(reply, Reply::Refused(_)), "{path}: CONNECT itself was refused: {reply:?}");
        stage.refused(&reply, 403, "denied_by_policy");
        stage.nothing_upstream().await;
    }
    stage.good().await;
}

async fn method(stage: Stage) {
    for method in ["GET", "DELETE", "HEAD", "PATCH"] {
        let reply = stage.ask(&Request::new(method, "/v1/messages")).await;
        assert!(!matches!(reply, Reply::Refused(_)), "{method}: CONNECT itself was refused: {reply:?}");
        stage.refused_with_any(&reply, &[403, 405]);
        stage.nothing_upstream().await;
    }
    stage.good().await;
}

/// What an agent may hope to be taken for part of the request inside.
const FIELDS: [&str; 10] = [
    "X-Api-Key: sk-agents-own-0123456789",
    "Authorization: Bearer sk-agents-own-0123456789",
    "Proxy-Authorization: Basic c2stYWdlbnRzLW93bi0wMTIzNDU2Nzg5",
    "X-Forwarded-Proto: http",
    "X-Envoy-Original-Dst-Host: 11.22.33.66:443",
    "X-Envoy-Original-Path: /v1/files",
    "X-Http-Method-Override: GET",
    "X-Keyward-Reason: none",
    "Cookie: sk-agents-own-0123456789",
    "Connection: x-api-key",
];

async fn fields(stage: Stage) {
    for field in FIELDS {
        let stream = TcpStream::connect(stage.subject.proxy).await.expect("the proxy port");
        let mut tunnel = Http1::new(stream, stage.seen.clone());
        tunnel
            .write(format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n{field}\r\n\r\n").as_bytes())
            .await;
        let answer = tunnel.answer(false).await.expect(field);
        assert_eq!(answer.status, 200, "{field}: {answer:?}");
        let inside = Stage { variant: stage.variant, ..stage.clone() };
        let handshake = stage.agent().handshake;
        let stream = harness::client::handshake(tunnel.into_inner(), &handshake).await.expect(field);
        let reply: Reply = match inside.http() {
            harness::client::Http::One => {
                inside.http1_over(stream).ask(&Request::messages().to_http1()).await.into()
            }
            harness::client::Http::Two => {
                inside.http2_over(stream).await.ask(&Request::messages()).await.into()
            }
        };
        assert_eq!(reply.status(), 200, "{field}: {reply:?}");
        let received = stage.world.anthropic.only_request();
        assert_eq!(received.values("x-api-key"), [KEY], "{field}");
        assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/v1/messages"), "{field}");
        let hidden = field.split_once(": ").map(|(_, value)| value).unwrap_or_default();
        assert!(hidden == "x-api-key" || hidden == "http" || !received.mentions(hidden), "{field}");
    }
}

async fn forms(stage: Stage) {
    let connect = |target: &str| format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    let refused = [
        connect(OTHER),
        connect(&format!("{OTHER}:443")),
        connect(&format!("{HOST}:80")),
        connect(&format!("{HOST}:22")),
        connect(&format!("{HOST}@{OTHER}:443")),
        connect(&format!("https://{HOST}:443/v1/messages")),
        connect("/v1/messages"),
        connect("*"),
        connect(":443"),
        connect(&format!("{HOST}:443443")),
        connect(&format!("{HOST}:-1")),
        connect(&format!("{HOST}:443:443")),
        format!("connect {HOST}:443 HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: gzip, chunked, x\r\n\r\n"),
    ];
    for bytes in &refused {
        let reply = stage.ask_proxy(bytes.as_bytes()).await;
        assert!(reply.is_refusal(), "{bytes:?}: {reply:?}");
        stage.nothing_upstream().await;
    }
    // What comes before the tunnel is open never counts as a request, however it is framed.
    let inside = format!("POST /v1/messages HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\n{{}}");
    for lines in [
        String::new(),
        format!("Content-Length: {}\r\n", inside.len()),
        "Transfer-Encoding: chunked\r\n".into(),
        "Expect: 100-continue\r\n".into(),
        "Upgrade: h2c\r\nConnection: Upgrade\r\n".into(),
    ] {
        let head = format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n{lines}\r\n{inside}");
        // The answer may be 200, for a tunnel in which no TLS is spoken; or any refusal.
        drop(stage.ask_proxy(head.as_bytes()).await);
        stage.nothing_upstream().await;
    }
    // Envoy takes any version for 1.1, and two spaces for one; the tunnel is the same.
    for line in [format!("CONNECT {HOST}:443 HTTP/9.9"), format!("CONNECT  {HOST}:443 HTTP/1.1")] {
        drop(stage.ask_proxy(format!("{line}\r\nHost: {HOST}\r\n\r\n{inside}").as_bytes()).await);
        stage.nothing_upstream().await;
    }
    http2_forms(&stage).await;
}

/// The same in HTTP/2 in the clear, where the proxy port speaks it.
async fn http2_forms(stage: &Stage) {
    let field = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let connect = |target: &str| vec![field(":method", "CONNECT"), field(":authority", target)];
    let other = format!("{OTHER}:443");
    for fields in [
        connect(&other),
        connect(&format!("{HOST}:80")),
        connect(""),
        [connect(&other), vec![field(":scheme", "https"), field(":path", "/v1/messages")]].concat(),
        [connect(&other), vec![field(":protocol", "websocket")]].concat(),
        Request::messages().scheme("http").to_http2(),
        Request::messages().to_http2(),
    ] {
        let stream = TcpStream::connect(stage.subject.proxy).await.expect("the proxy port");
        let mut http = Session::start(stream, stage.seen.clone()).await;
        let number = http.open(&fields, true).await;
        let reply: Reply = http.answer(number).await.into();
        let sent: Vec<_> = fields.iter().map(|(_, value)| String::from_utf8_lossy(value)).collect();
        assert!(reply.is_refusal(), "{sent:?}: {reply:?}");
        stage.nothing_upstream().await;
    }
}
