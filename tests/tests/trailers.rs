//! What comes after a body, and before an answer: request trailers never reach a provider, a key never comes back in
//! response trailers or in interim answers.

use std::sync::{Arc, Mutex};

use harness::client::frames::{self, END_STREAM, Frame, Frames};
use harness::client::{Agent, Http};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::Scripted;
use harness::scenario::{KEY, PLACEHOLDER, worked_example};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A chunked request whose trailers repeat the credential's name and bring names of their own.
const CHUNKED: &str = "POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nTransfer-Encoding: chunked\r\n\
    Trailer: x-api-key, x-sum\r\nx-api-key: clrk-injected-by-proxy\r\n\r\n2\r\n{}\r\n0\r\n\
    x-api-key: sk-ant-of-the-agent\r\nx-sum: 1\r\n\r\n";

/// The head of the same request in HTTP/2.
fn head(path: &str) -> [(&str, &str); 5] {
    [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", HOST),
        (":path", path),
        ("x-api-key", PLACEHOLDER),
    ]
}

/// Sends the request with its trailers, and waits for the end of the answer.
async fn send_with_trailers(agent: &Agent) {
    if agent.http == Http::One {
        let mut connection = agent.open_http1().await.unwrap();
        assert_eq!(connection.send(CHUNKED.as_bytes()).await.unwrap().status, 200);
        return;
    }
    let mut connection = Frames::open(agent.open().await.unwrap()).await.unwrap();
    let trailers = [("x-api-key", "sk-ant-of-the-agent"), ("x-sum", "1")];
    let request = [
        Frame::headers(1, 0, &head("/v1/messages")),
        Frame::new(frames::DATA, 0, 1, *b"{}"),
        Frame::headers(1, END_STREAM, &trailers),
    ];
    connection.send(&request).await.unwrap();
    let seen = connection.until(|frame| frame.stream == 1 && frame.flags & END_STREAM != 0).await;
    assert!(seen.iter().any(|frame| frame.kind == frames::DATA && frame.stream == 1), "no answer: {seen:?}");
}

#[tokio::test]
async fn no_trailer_of_a_request_reaches_the_provider() {
    let (provider, gateway) = worked_example().await;
    for (way, agent) in gateway.every_way() {
        send_with_trailers(&agent).await;
        let received = provider.only_request();
        assert_eq!(received.trailers, [], "{way}");
        assert_eq!(
            (received.values("x-api-key"), received.body.as_slice()),
            (vec![KEY], &b"{}"[..]),
            "{way}"
        );
        assert!(!received.mentions("sk-ant-of-the-agent"), "{way}: {received:?}");
    }
}

/// A gateway whose provider is scripted.
async fn in_front_of(provider: &Scripted) -> Gateway {
    let manifests = Manifests::worked_example().alias_at(&[HOST], provider.port(), provider.ca());
    Gateway::builder(manifests).key(KEY).start().await
}

/// Answers every HTTP/2 request with interim answers and trailers that repeat the key it was sent.
async fn give_away_in_http2(stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let key = request.headers().get("x-api-key").cloned().expect("a key");
        for status in [102, 103] {
            let interim = http::Response::builder().status(status).header("link", key.clone());
            respond.send_informational(interim.body(()).unwrap()).unwrap();
        }
        let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut body = respond.send_response(head, false).unwrap();
        body.send_data("done".into(), false).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("x-echo", key.clone());
        trailers.append("x-echo", "harmless".parse().unwrap());
        body.send_trailers(trailers).unwrap();
    }
}

#[tokio::test]
async fn response_trailers_stay_and_a_key_in_them_does_not() {
    let provider = Scripted::start(&[HOST], &["h2"], give_away_in_http2).await.unwrap();
    let gateway = in_front_of(&provider).await;
    for (way, agent) in gateway.every_way().into_iter().filter(|(_, agent)| agent.http == Http::Two) {
        let (sender, connection) = h2::client::handshake(agent.open().await.unwrap()).await.unwrap();
        let driver = tokio::spawn(connection);
        let mut sender = sender.ready().await.unwrap();
        let request = http::Request::post(format!("https://{HOST}/v1/messages")).body(()).unwrap();
        let (answer, _) = sender.send_request(request, true).unwrap();
        let answer = answer.await.expect(&way);
        assert_eq!(answer.status(), 200, "{way}");
        let mut body = answer.into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "done", "{way}");
        let trailers = body.trailers().await.unwrap().expect("trailers");
        assert_eq!(trailers["grpc-status"], "0", "{way}");
        let echoes: Vec<_> = trailers.get_all("x-echo").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(echoes, ["[redacted]", "harmless"], "{way}");
        driver.abort();
    }
}

/// Answers one HTTP/1.1 request with every interim answer there is, each with the key it was sent, then with trailers.
async fn give_away_in_http1(mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
    let mut request = vec![0; 16 << 10];
    let Ok(length) = stream.read(&mut request).await else { return };
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let key = request.lines().find_map(|line| line.strip_prefix("x-api-key: ")).unwrap_or("no key");
    let interim = |status: &str| format!("HTTP/1.1 {status}\r\nlink: {key}\r\nx-echo: {key}\r\n\r\n");
    let mut answer =
        [interim("100 Continue"), interim("102 Processing"), interim("103 Early Hints")].concat();
    answer.push_str("HTTP/1.1 200 OK\r\nconnection: close\r\n");
    answer.push_str("transfer-encoding: chunked\r\ntrailer: x-echo\r\n\r\n");
    answer.push_str(&format!("4\r\ndone\r\n0\r\nx-echo: {key}\r\n\r\n"));
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.read(&mut [0; 1]).await;
}

#[tokio::test]
async fn no_interim_answer_reaches_the_agent() {
    for (protocol, provider) in [
        ("h2", Scripted::start(&[HOST], &["h2"], give_away_in_http2).await.unwrap()),
        ("http/1.1", Scripted::start(&[HOST], &["http/1.1"], give_away_in_http1).await.unwrap()),
    ] {
        let gateway = in_front_of(&provider).await;
        for (way, agent) in gateway.every_way() {
            let context = format!("{protocol} provider, {way}");
            let seen = Arc::new(Mutex::new(Vec::new()));
            match agent.http {
                Http::One => read_http1(&agent, &seen).await,
                Http::Two => read_http2(&agent, &seen).await,
            }
            let seen = seen.lock().unwrap();
            let text = String::from_utf8_lossy(&seen);
            assert!(text.contains("done"), "{context}: {text}");
            assert!(!text.contains(KEY), "{context}: {text}");
            assert!(!text.contains(" 103 ") && !text.contains(" 102 "), "{context}: {text}");
        }
    }
}

/// Everything that comes back in HTTP/1.1, as it stands on the wire.
async fn read_http1(agent: &Agent, seen: &Mutex<Vec<u8>>) {
    let mut stream = agent.open().await.unwrap();
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\nConnection: close\r\n\
         Content-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("the end of the connection");
    seen.lock().unwrap().extend(bytes);
}

/// The payloads of all frames; header blocks of Envoy are Huffman-coded, so interim ones are counted.
async fn read_http2(agent: &Agent, seen: &Mutex<Vec<u8>>) {
    let mut connection = Frames::open(agent.open().await.unwrap()).await.unwrap();
    connection.send(&[Frame::headers(1, END_STREAM, &head("/v1/messages"))]).await.unwrap();
    let all = connection.until(|frame| frame.stream == 1 && frame.flags & END_STREAM != 0).await;
    let before_body = all
        .iter()
        .take_while(|frame| frame.kind != frames::DATA)
        .filter(|frame| frame.kind == frames::HEADERS);
    assert_eq!(before_body.count(), 1, "an interim answer: {all:?}");
    seen.lock().unwrap().extend(all.into_iter().flat_map(|frame| frame.payload));
}
