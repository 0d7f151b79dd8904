//! `spec.scrub`: a provider that gives the key back in the body of an answer, in whatever form and however it is cut, and
//! cookies that it sets.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use harness::client::{Http, Http2, Request};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::{Echo, Provider, Scripted};
use harness::scenario::{KEY, adjusted_example};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

const SCRUB: &str = "scrub: [Bodies, SetCookie]";

/// Time for a piece to cross a busy machine.
const SOON: Duration = Duration::from_secs(10);

async fn scrubbing() -> (Provider, Gateway) {
    adjusted_example(|manifests| manifests.gateway_spec(SCRUB)).await
}

async fn in_front_of(provider: &Scripted) -> Gateway {
    let manifests = Manifests::worked_example().alias_at(&[HOST], provider.port(), provider.ca());
    Gateway::builder(manifests.gateway_spec(SCRUB)).key(KEY).start().await
}

/// The forms in which a body has the key.
fn forms() -> Vec<String> {
    let percent: String = KEY.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let json: String = KEY.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let base64 = ["", "u", "us"].map(|before| BASE64_STANDARD.encode(format!("{before}{KEY}")));
    [KEY.to_owned(), percent, json].into_iter().chain(base64).collect()
}

#[tokio::test]
async fn a_key_in_a_body_does_not_come_through_and_its_length_stays() {
    let (provider, gateway) = scrubbing().await;
    provider.behave(|behaviour| {
        (behaviour.confess, behaviour.echo) = (true, Echo::ALL.to_vec());
    });
    for (way, agent) in gateway.every_way() {
        let answer = agent.send(&Request::messages().header("accept-encoding", "gzip, br")).await.unwrap();
        let received = provider.only_request();
        assert_eq!(received.values("accept-encoding"), ["identity"], "{way}");
        assert!(received.mentions(KEY), "{way}: the provider never had it");
        assert_eq!(answer.status, 200, "{way}");
        assert!(String::from_utf8_lossy(&answer.body).contains("[redacted]"), "{way}: {answer:?}");
        for form in forms() {
            assert!(!answer.mentions(&form), "{way}: {form} in {answer:?}");
        }
        let length = answer.body.len().to_string();
        if let Some(said) = answer.values("content-length").first() {
            assert_eq!(*said, length, "{way}");
        }
    }
    // An answer without it is as it was.
    provider.behave(|behaviour| behaviour.confess = false);
    let answer = gateway.agent(Http::Two, HOST).send(&Request::messages()).await.unwrap();
    assert!(answer.json()["usage"].is_object(), "{answer:?}");
    assert!(!String::from_utf8_lossy(&answer.body).contains("redacted"), "{answer:?}");
}

#[tokio::test]
async fn cookies_that_the_provider_sets_do_not_come_through() {
    let (provider, gateway) = scrubbing().await;
    let cookie = |value: &str| ("set-cookie".to_owned(), value.to_owned());
    provider.behave(|behaviour| {
        behaviour.headers = vec![cookie("a=1"), cookie("b=2"), ("x-kept".into(), "1".into())]
    });
    for (way, agent) in gateway.every_way() {
        let answer = agent.send(&Request::messages()).await.unwrap();
        assert_eq!((answer.values("set-cookie"), answer.values("x-kept")), (vec![], vec!["1"]), "{way}");
    }
}

/// What is compressed cannot be searched. It was asked not to be.
#[tokio::test]
async fn an_answer_that_is_encoded_all_the_same_is_withheld() {
    let (provider, gateway) = scrubbing().await;
    let mut asked = 0;
    for encodings in [&["br"][..], &["identity, gzip"], &["identity", "gzip"], &[" IDENTITY", "x-own"]] {
        provider.behave(|behaviour| {
            let line = |value: &&str| ("content-encoding".to_owned(), (*value).to_owned());
            behaviour.headers = encodings.iter().map(line).collect();
        });
        for (way, agent) in gateway.every_way() {
            let answer = agent.send(&Request::messages()).await.unwrap();
            let context = format!("{way}, {encodings:?}: {answer:?}");
            assert_eq!((answer.status, answer.reason()), (503, "upstream_refused"), "{context}");
            assert!(!answer.mentions("usage"), "{context}");
            asked += 1;
        }
    }
    provider.behave(|behaviour| behaviour.headers = vec![("content-encoding".into(), "Identity".into())]);
    assert_eq!(gateway.agent(Http::Two, HOST).send(&Request::messages()).await.unwrap().status, 200);
    let withheld = || {
        let lines = gateway.events("access");
        lines.iter().filter(|line| line["entry"]["record"]["reason"] == "answer_encoded").count()
    };
    let started = Instant::now();
    while withheld() < asked {
        assert!(started.elapsed() < SOON, "{:#?}", gateway.events("access"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Each event of a stream comes as soon as it is there.
#[tokio::test]
async fn a_stream_does_not_wait() {
    let (provider, gateway) = scrubbing().await;
    provider.behave(|behaviour| behaviour.hold_second_event = true);
    let mut connection = gateway.agent(Http::Two, HOST).open_http2().await.unwrap();
    let (_, mut stream) = connection.open(&Request::streamed_messages()).await.unwrap();
    let first =
        tokio::time::timeout(SOON, Http2::part(&mut stream)).await.expect("event 1").unwrap().unwrap();
    assert!(first.starts_with(b"event: message_start"), "{first:?}");
    provider.release();
    while Http2::part(&mut stream).await.unwrap().is_some() {}
}

/// Answers with the key, written again and again, cut in another place each time.
async fn cut_everywhere(mut stream: TlsStream<TcpStream>) {
    let _ = stream.read(&mut [0; 16384]).await;
    let body = forms().iter().map(|form| format!("<{form}>")).collect::<String>();
    let total = body.len() * KEY.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {total}\r\nconnection: close\r\n\r\n"
    );
    let _ = stream.write_all(head.as_bytes()).await;
    for size in 1..=KEY.len() {
        for piece in body.as_bytes().chunks(size) {
            let _ = stream.write_all(piece).await;
            let _ = stream.flush().await;
            // Most of them come alone so.
            tokio::task::yield_now().await;
        }
    }
    let _ = stream.read(&mut [0; 16384]).await;
}

#[tokio::test]
async fn a_key_that_is_cut_into_pieces_does_not_come_through() {
    let provider = Scripted::start(&[HOST], &["http/1.1"], cut_everywhere).await.unwrap();
    let gateway = in_front_of(&provider).await;
    for http in [Http::One, Http::Two] {
        let answer = gateway.agent(http, HOST).send(&Request::messages()).await.unwrap();
        assert_eq!(answer.status, 200, "{http:?}");
        let text = String::from_utf8_lossy(&answer.body);
        let masks = text.matches("<[redacted]***").count();
        // Where its first characters are those of a group of three.
        assert_eq!(masks, 4 * KEY.len(), "{http:?}: {text}");
        for form in forms() {
            assert!(!answer.mentions(&form), "{http:?}: {form}");
        }
    }
}

/// A body of which what waits comes long before its end, which brings nothing more.
async fn late_end(mut stream: TlsStream<TcpStream>) {
    let _ = stream.read(&mut [0; 16384]).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    for part in [head, "5\r\nall s\r\n", "2\r\nk-\r\n", "0\r\n\r\n"] {
        let _ = stream.write_all(part.as_bytes()).await;
        let _ = stream.flush().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn what_waits_at_the_end_comes_with_the_end() {
    let provider = Scripted::start(&[HOST], &["http/1.1"], late_end).await.unwrap();
    let gateway = in_front_of(&provider).await;
    for (way, agent) in gateway.every_way() {
        let answer = agent.send(&Request::messages()).await.unwrap();
        assert_eq!((answer.status, String::from_utf8_lossy(&answer.body)), (200, "all sk-".into()), "{way}");
    }
}

/// Takes an upgrade, then gives the key away in two parts.
async fn upgrade(mut stream: TlsStream<TcpStream>) {
    let _ = stream.read(&mut [0; 16384]).await;
    let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let _ = stream.write_all(head.as_bytes()).await;
    for part in [&KEY[..9], &KEY[9..], "\n"] {
        let _ = stream.write_all(part.as_bytes()).await;
        let _ = stream.flush().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let _ = stream.read(&mut [0; 16384]).await;
}

#[tokio::test]
async fn what_comes_over_a_web_socket_is_searched_too() {
    let provider = Scripted::start(&[HOST], &["http/1.1"], upgrade).await.unwrap();
    let gateway = in_front_of(&provider).await;
    let mut agent = gateway.agent(Http::One, HOST).open_http1().await.unwrap();
    let request = "GET /v1/messages HTTP/1.1\r\nhost: api.anthropic.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        sec-websocket-extensions: permessage-deflate\r\n\r\n";
    agent.write(request.as_bytes()).await.unwrap();
    assert_eq!(agent.head().await.unwrap().status, 101);
    let mut stream = agent.into_inner();
    let mut got = Vec::new();
    while !got.ends_with(b"\n") {
        let read =
            tokio::time::timeout(SOON, stream.read_buf(&mut got)).await.expect("what was sent").unwrap();
        assert_ne!(read, 0, "{:?}", String::from_utf8_lossy(&got));
    }
    let stars = "*".repeat(KEY.len() - "[redacted]".len());
    assert_eq!(String::from_utf8_lossy(&got), format!("[redacted]{stars}\n"));
}

/// Answers with four mebibytes of what each of its pieces may begin the key with.
async fn beginnings(mut stream: TlsStream<TcpStream>) {
    let _ = stream.read(&mut [0; 16384]).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4194304\r\n\r\n";
    let _ = stream.write_all(head.as_bytes()).await;
    let first = KEY.as_bytes()[0];
    let _ = stream.write_all(&vec![first; 4 << 20]).await;
    let _ = stream.flush().await;
    let _ = stream.read(&mut [0; 16384]).await;
}

/// Memory is bounded by what a connection may hold back: the answer fails, and nothing else does.
#[tokio::test]
async fn an_answer_that_could_begin_the_key_everywhere_ends_where_too_much_waits() {
    let provider = Scripted::start(&[HOST], &["http/1.1"], beginnings).await.unwrap();
    let gateway = in_front_of(&provider).await;
    for http in [Http::One, Http::Two] {
        let answer = gateway.agent(http, HOST).send(&Request::messages()).await;
        assert!(answer.as_ref().map_or(true, |answer| answer.status == 500), "{http:?}: {answer:?}");
    }
    assert_eq!(gateway.envoys().len(), 1);
}

/// A body that ends within what may be the key, and then has trailers.
async fn trailers(stream: TlsStream<TcpStream>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut body = respond.send_response(head, false).unwrap();
        let end = format!("{} and {}", KEY, &KEY[..12]);
        body.send_data(end.into(), false).unwrap();
        body.send_trailers([("grpc-status".parse().unwrap(), "0".parse().unwrap())].into_iter().collect())
            .unwrap();
    }
}

#[tokio::test]
async fn a_body_that_waits_comes_whole_before_its_trailers() {
    let provider = Scripted::start(&[HOST], &["h2"], trailers).await.unwrap();
    let gateway = in_front_of(&provider).await;
    let agent = gateway.agent(Http::Two, HOST);
    let (sender, connection) = h2::client::handshake(agent.open().await.unwrap()).await.unwrap();
    tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let request = http::Request::post(format!("https://{HOST}/v1/messages")).body(()).unwrap();
    let mut answer = sender.send_request(request, true).unwrap().0.await.unwrap().into_body();
    let mut body = Vec::new();
    while let Some(piece) = answer.data().await {
        body.extend_from_slice(&piece.unwrap());
    }
    assert_eq!(answer.trailers().await.unwrap().expect("trailers")["grpc-status"], "0");
    let stars = "*".repeat(KEY.len() - "[redacted]".len());
    assert_eq!(String::from_utf8(body).unwrap(), format!("[redacted]{stars} and [redacted]**"));
}
