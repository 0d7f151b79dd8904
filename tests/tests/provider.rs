//! The provider and the clients against each other, without a gateway: what the other tests rest on.

use std::time::Duration;

use harness::client::{Agent, Failure, Http, Http2, Request, Way};
use harness::provider::{Behaviour, Echo, Identity, Options, Provider};

const KEY: &str = "sk-ant-test-0123456789";

fn agent(provider: &Provider, http: Http) -> Agent {
    Agent::new(Way::Direct(provider.address()), http, "api.anthropic.com", provider.ca())
}

#[tokio::test]
async fn the_right_key_gets_a_message_and_the_wrong_one_401() {
    let provider = Provider::accepting(KEY).await.unwrap();
    for http in [Http::One, Http::Two] {
        let agent = agent(&provider, http);
        let right = agent.send(&Request::messages().header("x-api-key", KEY)).await.unwrap();
        assert_eq!((right.status, &right.json()["type"]), (200, &"message".into()), "{http:?}");
        assert_eq!(right.values("server"), ["provider"]);
        for request in [Request::messages(), Request::messages().header("x-api-key", "other")] {
            let wrong = agent.send(&request).await.unwrap();
            assert_eq!(wrong.status, 401, "{http:?}");
            assert_eq!(wrong.json()["error"]["type"], "authentication_error");
        }
    }
}

#[tokio::test]
async fn two_right_keys_are_one_too_many() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let request = Request::messages().headers(&[("x-api-key", KEY), ("X-Api-Key", KEY)]);
    assert_eq!(agent(&provider, Http::One).send(&request).await.unwrap().status, 401);
}

#[tokio::test]
async fn an_endpoint_without_a_key_answers_200() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let request = Request::messages().path("/v1/messages/count_tokens");
    assert_eq!(agent(&provider, Http::Two).send(&request).await.unwrap().status, 200);
}

#[tokio::test]
async fn http1_requests_are_recorded_as_they_stood_on_the_wire() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let mut connection = agent(&provider, Http::One).open_http1().await.unwrap();
    let first = Request::messages().headers(&[("X-API-Key", KEY), ("x-OTHER", "1"), ("x-api-key", "two")]);
    connection.send(&first.to_http1()).await.unwrap();
    let chunked = "POST /v1/files?a=%2f HTTP/1.1\r\nhOsT: api.anthropic.com\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n0\r\nX-Trailer: t\r\n\r\n";
    connection.send(chunked.as_bytes()).await.unwrap();

    let requests = provider.take_requests();
    let names =
        |index: usize| requests[index].headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    assert_eq!(names(0), ["Host", "content-type", "X-API-Key", "x-OTHER", "x-api-key", "Content-Length"]);
    assert_eq!(requests[0].values("x-api-key"), [KEY, "two"]);
    assert_eq!(names(1), ["hOsT", "Transfer-Encoding"]);
    assert_eq!((requests[1].path.as_str(), requests[1].body.as_slice()), ("/v1/files?a=%2f", &b"abc"[..]));
    assert_eq!(requests[1].trailers, [("x-trailer".to_owned(), "t".to_owned())]);

    let bytes = &provider.connections()[0].bytes;
    assert_eq!(bytes, &[first.to_http1(), chunked.as_bytes().to_vec()].concat());
}

#[tokio::test]
async fn http2_requests_are_recorded_with_authority_and_every_value() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let request =
        Request::messages().headers(&[("x-api-key", "a"), ("x-api-key", "b")]).authority("other.example");
    agent(&provider, Http::Two).send(&request).await.unwrap();
    let received = provider.only_request();
    assert_eq!((received.version.as_str(), received.authority.as_str()), ("HTTP/2.0", "other.example"));
    assert_eq!(received.values("x-api-key"), ["a", "b"]);
    assert_eq!(received.body, request.body);
    let connection = &provider.connections()[0];
    assert_eq!(connection.sni.as_deref(), Some("api.anthropic.com"));
    assert_eq!(connection.alpn.as_deref(), Some("h2"));
    assert!(connection.bytes.starts_with(b"PRI * HTTP/2.0"));
}

#[tokio::test]
async fn the_second_event_waits_for_release_and_the_first_does_not() {
    let provider = Provider::accepting(KEY).await.unwrap();
    provider.behave(|behaviour| behaviour.hold_second_event = true);
    let request = Request::streamed_messages().header("x-api-key", KEY);

    let mut one = agent(&provider, Http::One).open_http1().await.unwrap();
    one.write(&request.to_http1()).await.unwrap();
    let head = one.head().await.unwrap();
    assert!(one.part().await.unwrap().unwrap().starts_with(b"event: message_start"));
    assert!(
        tokio::time::timeout(Duration::from_millis(100), one.part()).await.is_err(),
        "event 2 did not wait"
    );
    provider.release();
    let rest = one.rest(head, "POST").await.unwrap();
    assert!(rest.mentions("event: message_stop"));

    let mut two = agent(&provider, Http::Two).open_http2().await.unwrap();
    let (_, mut stream) = two.open(&request).await.unwrap();
    assert!(Http2::part(&mut stream).await.unwrap().unwrap().starts_with(b"event: message_start"));
    let second = tokio::time::timeout(Duration::from_millis(100), Http2::part(&mut stream)).await;
    assert!(second.is_err(), "event 2 did not wait");
}

#[tokio::test]
async fn silence_comes_where_it_is_asked_for() {
    let provider = Provider::accepting(KEY).await.unwrap();
    provider.behave(|behaviour| behaviour.delay_ms = 300);
    let started = std::time::Instant::now();
    agent(&provider, Http::One).send(&Request::messages().header("x-api-key", KEY)).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(300));
    provider.behave(|behaviour| (behaviour.delay_ms, behaviour.event_gap_ms) = (0, 50));
    let started = std::time::Instant::now();
    agent(&provider, Http::One).send(&Request::streamed_messages().header("x-api-key", KEY)).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(8 * 50));
}

#[tokio::test]
async fn a_credential_is_given_back_only_when_asked() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let request = Request::messages().header("x-api-key", KEY);
    assert!(!agent(&provider, Http::Two).send(&request).await.unwrap().mentions(KEY));
    provider.behave(|behaviour| behaviour.echo = Echo::ALL.to_vec());
    let careless = agent(&provider, Http::Two).send(&request).await.unwrap();
    assert_eq!(careless.values("x-echo-raw"), [KEY]);
    assert!(careless.values("x-echo-embedded")[0].contains(KEY));
}

#[tokio::test]
async fn a_wrong_certificate_is_refused_by_a_client_that_verifies() {
    for identity in [Identity::WrongName, Identity::Expired, Identity::UnknownAuthority] {
        let provider = Provider::start(Options { identity, ..Options::default() }).await.unwrap();
        let failure = agent(&provider, Http::One).send(&Request::messages()).await.unwrap_err();
        assert!(matches!(failure, Failure::Handshake(_)), "{identity:?}: {failure:?}");
        assert!(provider.requests().is_empty());
    }
}

#[tokio::test]
async fn a_provider_can_speak_one_protocol_only() {
    let only = |alpn| Options { alpn: vec![alpn], behaviour: Behaviour::default(), ..Options::default() };
    for (offered, http, refused) in [("h2", Http::Two, Http::One), ("http/1.1", Http::One, Http::Two)] {
        let provider = Provider::start(only(offered)).await.unwrap();
        assert_eq!(agent(&provider, http).send(&Request::messages()).await.unwrap().status, 200);
        assert!(agent(&provider, refused).send(&Request::messages()).await.is_err(), "{offered}");
    }
}

/// A proxy that tunnels every CONNECT to one address and reads nothing.
async fn tunnel_to(provider: std::net::SocketAddr) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut agent, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(agent.read_u8().await.unwrap());
                }
                agent.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut provider = tokio::net::TcpStream::connect(provider).await.unwrap();
                // How a tunnel ends is not what these tests are about.
                let _ = tokio::io::copy_bidirectional(&mut agent, &mut provider).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn client_software_speaks_to_the_provider_and_sends_the_placeholder() {
    let provider = Provider::start(Options::default()).await.unwrap();
    let proxy = tunnel_to(provider.address()).await;
    for software in harness::software::ALL {
        let output = software.start_with("plain", &provider.ca_file(), proxy).output().await;
        assert!(output.join("\n").contains("Hello!"), "{}: {output:?}", software.name);
        assert!(provider.only_request().mentions(harness::scenario::PLACEHOLDER), "{}", software.name);
    }
}

#[tokio::test]
async fn client_software_reports_the_first_event_while_the_second_is_held() {
    let provider = Provider::start(Options::default()).await.unwrap();
    provider.behave(|behaviour| behaviour.hold_second_event = true);
    let proxy = tunnel_to(provider.address()).await;
    for software in harness::software::ALL {
        let mut run = software.start_with("streamed", &provider.ca_file(), proxy);
        run.wait_for("event 1 message_start").await;
        assert_eq!(run.lines().len(), 1, "{}", software.name);
        provider.release();
        assert!(run.output().await.last().unwrap().ends_with("message_stop"), "{}", software.name);
    }
}
