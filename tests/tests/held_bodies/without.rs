//! What is not held: streams on rules that need no body, uploads that S3 takes unsigned. And what comes early:
//! `100 (Continue)`, and an upstream's answer.

use std::time::Duration;

use harness::client::upload::{Length, Upload, http2_head};
use harness::client::{Agent, Http, Http1, Request};
use harness::gateway::{Gateway, Manifests};
use harness::provider::Scripted;
use harness::scenario::KEY;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::{KINDS, SUFFIXES, Watch, World, arrived, contains, held, hosts, models};

const MARK: &str = "the-first-bytes-of-a-stream";

/// A request of which the first bytes are sent.
enum Going {
    One(Box<Http1<tokio_rustls::client::TlsStream<TcpStream>>>),
    Two(
        h2::client::ResponseFuture,
        h2::SendStream<bytes::Bytes>,
        tokio::task::JoinHandle<Result<(), h2::Error>>,
    ),
}

impl Going {
    async fn start(agent: &Agent, head: &Request) -> Going {
        match agent.http {
            Http::One => {
                let mut http = agent.open_http1().await.expect("a connection");
                let chunked = head.clone().header("transfer-encoding", "chunked").to_http1();
                http.write(&chunked).await.expect("an open connection");
                http.write(&chunk(MARK)).await.expect("an open connection");
                Going::One(Box::new(http))
            }
            Http::Two => {
                let stream = agent.open().await.expect("a connection");
                let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
                let driver = tokio::spawn(connection);
                let mut sender = sender.ready().await.expect("an open connection");
                let (answer, mut body) = sender.send_request(http2_head(head), false).expect("a stream");
                body.send_data(MARK.into(), false).expect("an open stream");
                Going::Two(answer, body, driver)
            }
        }
    }

    async fn end(self) -> u16 {
        match self {
            Going::One(mut http) => {
                http.write(&[chunk("the rest"), b"0\r\n\r\n".to_vec()].concat())
                    .await
                    .expect("an open connection");
                http.head().await.expect("an answer").status
            }
            Going::Two(answer, mut body, driver) => {
                body.send_data("the rest".into(), true).expect("an open stream");
                let status = answer.await.expect("an answer").status().as_u16();
                driver.abort();
                status
            }
        }
    }
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// Whether the first bytes arrive while the request goes on.
async fn flows(world: &World, watch: &mut Watch, patience: Duration) -> bool {
    let end = Instant::now() + patience;
    let mut seen = Vec::new();
    while Instant::now() < end {
        seen.extend(watch.fresh(world));
        if contains(&seen, MARK) {
            return true;
        }
        sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn streams_that_need_not_be_held_are_not() {
    let world = World::start(&["maxSignedBodyBytes: 64Ki"]).await;
    let mut watch = Watch::start(&world);
    let unsigned = [("x-amz-content-sha256", "UNSIGNED-PAYLOAD")];
    for suffix in SUFFIXES {
        let (models, s3) = (format!("{}.{suffix}", KINDS[0]), format!("{}.{suffix}", KINDS[2]));
        for (host, path, lines, flowing) in [
            (&models, "/v1/plain", &[][..], true),
            (
                &models,
                "/v1/plain",
                &[("content-type", "application/json"), ("accept", "text/event-stream")],
                true,
            ),
            (&models, "/v1/plain", &[("content-type", "application/grpc"), ("te", "trailers")], true),
            (&s3, "/bucket/key", &unsigned, true),
            (&s3, "/bucket/key", &[("x-amz-content-sha256", "e3b0c44298fc1c149afbf4c8996fb924")], false),
            (&models, "/v1/held", &[("content-type", "application/json")], false),
        ] {
            for (way, agent) in world.ways(host) {
                let head = Request::new("POST", host, path).headers(lines);
                let case = format!("{host}{path}, {lines:?}, {way}");
                let going = Going::start(&agent, &head).await;
                let patience = Duration::from_millis(if flowing { 10_000 } else { 400 });
                assert_eq!(flows(&world, &mut watch, patience).await, flowing, "{case}");
                let status = timeout(Duration::from_secs(30), going.end()).await.expect(&case);
                assert!(status == 200 || path == "/v1/held" && status == 403, "{case}: {status}");
                // So that the next case does not see what this one sent.
                world.provider(host).take_requests();
                drop(watch.fresh(&world));
            }
        }
        // Far more than may be held.
        for (way, agent) in world.ways(&s3) {
            for length in [Length::Announced, Length::Unknown] {
                let request = held(&s3, 1 << 20).headers(&unsigned);
                let answer = Upload::new(request.clone(), length).send(&agent).await.expect(way);
                assert_eq!(answer.status, 200, "{way}, {length:?}: {answer:?}");
                arrived(&world, &request, way);
            }
        }
        drop(watch.fresh(&world));
    }
}

#[tokio::test]
async fn who_expects_to_be_told_to_go_on_is_told_so() {
    let world = World::start(&[]).await;
    for host in hosts() {
        for path in ["/v1/held", "/v1/plain"] {
            for (way, agent) in world.ways(&host) {
                let case = format!("{host}{path}, {way}");
                let request =
                    Request { path: path.into(), ..held(&host, 20 << 10) }.header("expect", "100-continue");
                let upload = Upload::new(request.clone(), Length::Announced);
                let status = match agent.http {
                    Http::One => told_first(&agent, &upload, &case).await,
                    Http::Two => upload.send(&agent).await.expect(&case).status,
                };
                assert_eq!(status, 200, "{case}");
                let provider = world.provider(&host);
                assert!(provider.requests()[0].values("expect").is_empty(), "{case}");
                arrived(&world, &request, &case);
            }
        }
    }
}

/// Sends the body once it is told to go on.
async fn told_first(agent: &Agent, upload: &Upload, case: &str) -> u16 {
    let mut stream = agent.open().await.expect("a connection");
    stream.write_all(&upload.head()).await.expect("an open connection");
    stream.flush().await.expect("an open connection");
    let mut interim = [0; 25];
    let read = timeout(Duration::from_secs(30), stream.read_exact(&mut interim)).await.expect(case);
    read.expect("an interim answer");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n", "{case}");
    let mut http = Http1::new(stream);
    http.write(&upload.request.body).await.expect("an open connection");
    http.head().await.expect("an answer").status
}

/// Answers as soon as a head is there, and takes what comes later.
async fn answer_early(mut stream: TlsStream<TcpStream>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
            return;
        }
    }
    let answer = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 5\r\nconnection: close\r\n\r\nearly";
    if stream.write_all(answer).await.is_ok() && stream.flush().await.is_ok() {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upstream_has_read_the_body_comes_through() {
    let host = hosts()[3].clone();
    let scripted = Scripted::start(&[&host], &["http/1.1"], answer_early).await.unwrap();
    let manifests = Manifests::worked_example().file("models.yaml", &models()).alias_at(
        &[&host],
        scripted.port(),
        scripted.ca(),
    );
    let gateway = Gateway::builder(manifests).key(KEY).start().await;
    for (way, agent) in [
        ("HTTP/1.1", gateway.agent(Http::One, &host)),
        ("HTTP/2", gateway.transparent_agent(Http::Two, &host)),
    ] {
        for path in ["/v1/held", "/v1/plain"] {
            for length in [Length::Announced, Length::Unknown] {
                let request = Request { path: path.into(), ..held(&host, 1 << 20) };
                let answer = Upload::new(request, length).send(&agent).await;
                let answer =
                    answer.unwrap_or_else(|failure| panic!("{way}, {path}, {length:?}: {failure:?}"));
                assert_eq!(
                    (answer.status, &answer.body[..]),
                    (401, &b"early"[..]),
                    "{way}, {path}, {length:?}"
                );
            }
        }
    }
}
