//! Heads of requests and of answers: bytes and lines.

use harness::client::frames::{self, END_STREAM, Frame, Frames};
use harness::client::{Agent, Http, Request};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::Scripted;
use harness::scenario::{KEY, worked_example};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A value that makes a head longer than 60 KiB, and one that a provider takes.
const TOO_LONG: usize = 62 << 10;
const LONG: usize = 12 << 10;
/// More lines than 100, and fewer with those that a message has anyway.
const TOO_MANY: usize = 110;
const MANY: usize = 80;

type Lines = Vec<(String, String)>;

fn lines(count: usize) -> Lines {
    (0..count).map(|number| (format!("x-line-{number}"), "1".to_owned())).collect()
}

fn bulky(bytes: usize) -> Lines {
    vec![("x-bulk".to_owned(), "b".repeat(bytes))]
}

/// Each limit, from both sides.
fn cases() -> [(&'static str, Lines, bool); 4] {
    [
        ("too long", bulky(TOO_LONG), false),
        ("long", bulky(LONG), true),
        ("too many", lines(TOO_MANY), false),
        ("many", lines(MANY), true),
    ]
}

/// The status of the answer to a POST with these lines; `None` where HTTP/2 ended the stream instead.
async fn answer_to(agent: &Agent, extra: &Lines) -> Option<u16> {
    if agent.http == Http::One {
        let mut request = Request::messages();
        request.headers.extend(extra.iter().cloned());
        return Some(agent.send(&request).await.expect("an answer").status);
    }
    let fields = [(":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", "/v1/files")];
    let extra = extra.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let fields: Vec<_> = fields.into_iter().chain(extra).collect();
    let mut connection = Frames::open(agent.open().await.unwrap()).await.unwrap();
    connection.send(&Frame::headers(1, END_STREAM, &fields).in_pieces()).await.unwrap();
    let over = |frame: &Frame| frame.kind == frames::RESET || frame.flags & END_STREAM != 0;
    let seen = connection.until(|frame| frame.stream == 1 && over(frame)).await;
    let last = seen.last().expect("an answer or a reset");
    (last.kind != frames::RESET).then_some(200)
}

#[tokio::test]
async fn a_request_with_too_long_a_head_or_too_many_lines_reaches_nobody() {
    let (provider, gateway) = worked_example().await;
    for (way, agent) in gateway.every_way() {
        for (what, extra, passes) in cases() {
            let expected = match (passes, agent.http) {
                (true, _) => Some(200),
                (false, Http::One) => Some(431),
                (false, Http::Two) => None,
            };
            assert_eq!(answer_to(&agent, &extra).await, expected, "{way}, {what}");
            assert_eq!(provider.take_requests().len(), usize::from(passes), "{way}, {what}");
        }
    }
}

#[tokio::test]
async fn the_proxy_port_has_the_same_limits() {
    let (provider, gateway) = worked_example().await;
    for (what, extra, passes) in cases() {
        for line in [format!("CONNECT {HOST}:443"), format!("GET http://{HOST}/")] {
            let extra: String = extra.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let request = format!("{line} HTTP/1.1\r\nHost: {HOST}:443\r\n{extra}\r\n");
            let mut stream = TcpStream::connect(gateway.ready().proxy).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut status = [0; 12];
            stream.read_exact(&mut status).await.unwrap();
            let expected = match (passes, line.starts_with("CONNECT")) {
                (false, _) => "HTTP/1.1 431",
                (true, true) => "HTTP/1.1 200",
                (true, false) => "HTTP/1.1 403",
            };
            assert_eq!(String::from_utf8_lossy(&status), expected, "{line}, {what}");
        }
    }
    assert_eq!(provider.accepted(), 0);
}

/// Answers each HTTP/1.1 request with the lines that its path asks for.
async fn bulky_in_http1(mut stream: TlsStream<TcpStream>) {
    let mut request = vec![0; 16 << 10];
    while let Ok(length @ 1..) = stream.read(&mut request).await {
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        let wanted = asked(request.split(' ').nth(1).unwrap_or_default());
        let lines: String = wanted.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{lines}\r\n");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The same in HTTP/2.
async fn bulky_in_http2(stream: TlsStream<TcpStream>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let mut answer = http::Response::builder();
        for (name, value) in asked(request.uri().path()) {
            answer = answer.header(name, value);
        }
        let _ = respond.send_response(answer.body(()).unwrap(), true);
    }
}

/// The lines of the case that a path names.
fn asked(path: &str) -> Lines {
    let case = path.rsplit('/').next().unwrap_or_default().replace('-', " ");
    cases().into_iter().find(|(what, ..)| *what == case).map(|(_, lines, _)| lines).unwrap_or_default()
}

#[tokio::test]
async fn an_answer_with_too_long_a_head_or_too_many_lines_is_a_refusal_with_a_reason() {
    for provider in [
        Scripted::start(&[HOST], &["http/1.1"], bulky_in_http1).await.unwrap(),
        Scripted::start(&[HOST], &["h2"], bulky_in_http2).await.unwrap(),
    ] {
        let manifests = Manifests::worked_example().alias_at(&[HOST], provider.port(), provider.ca());
        let gateway = Gateway::builder(manifests).key(KEY).start().await;
        for http in [Http::One, Http::Two] {
            for (what, _, passes) in cases() {
                let path = format!("/v1/files/{}", what.replace(' ', "-"));
                let request = Request::new("GET", HOST, &path);
                let answer = gateway.agent(http, HOST).send(&request).await.expect(what);
                let expected = if passes { (200, "") } else { (503, "upstream_refused") };
                assert_eq!((answer.status, answer.reason()), expected, "{http:?}, {what}");
            }
        }
    }
}
