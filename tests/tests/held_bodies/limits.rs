//! What is refused before anything goes upstream: bodies that are announced as too large, that stop or trickle, and
//! streams that cannot be waited for.

use std::time::{Duration, Instant};

use harness::client::upload::{Length, Upload, http2_head};
use harness::client::{Agent, Http, Request, Response};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{sleep, timeout};

use super::{Watch, World, arrived, held, hosts, refused};

/// Sends a head, and a byte of the body after each pause, until an answer comes.
async fn trickle(agent: &Agent, head: &Request, pause: Duration) -> Response {
    match agent.http {
        Http::One => {
            let stream = agent.open().await.expect("a connection");
            let (read, mut write) = tokio::io::split(stream);
            write.write_all(&head.to_http1()).await.expect("an open connection");
            write.flush().await.expect("an open connection");
            let dripping = tokio::spawn(async move {
                loop {
                    sleep(pause).await;
                    if write.write_all(b" ").await.is_err() || write.flush().await.is_err() {
                        sleep(Duration::from_secs(60)).await;
                    }
                }
            });
            let mut http = harness::client::Http1::new(tokio::io::join(read, tokio::io::sink()));
            let head = http.head().await.expect("an answer");
            let answer = http.rest(head, "POST").await.expect("a whole answer");
            dripping.abort();
            answer
        }
        Http::Two => {
            let stream = agent.open().await.expect("a connection");
            let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
            let driver = tokio::spawn(connection);
            let mut sender = sender.ready().await.expect("an open connection");
            let (answer, mut body) =
                sender.send_request(http2_head(head), false).expect("an open connection");
            let dripping = tokio::spawn(async move {
                loop {
                    sleep(pause).await;
                    let _ = body.send_data(" ".into(), false);
                }
            });
            let (head, mut body) = answer.await.expect("an answer").into_parts();
            let mut whole = Vec::new();
            while let Ok(Some(part)) = harness::client::Http2::part(&mut body).await {
                whole.extend_from_slice(&part);
            }
            dripping.abort();
            driver.abort();
            let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            Response { status: head.status.as_u16(), headers, body: whole.into() }
        }
    }
}

/// A pause after which nothing follows.
const NEVER: Duration = Duration::from_secs(600);

#[tokio::test]
async fn a_body_that_is_announced_as_too_large_is_refused_before_it_comes() {
    let world = World::start(&["maxSignedBodyBytes: 64Ki"]).await;
    let mut watch = Watch::start(&world);
    for host in hosts() {
        for (way, agent) in world.ways(&host) {
            // The last two are more than the module, of 32 bits, can count.
            for length in ["65537", "4294967297", "99999999999"] {
                let head = Request { body: Vec::new(), ..held(&host, 0) }.header("content-length", length);
                let case = format!("{host}, {way}, {length}");
                let answer =
                    timeout(Duration::from_secs(10), trickle(&agent, &head, NEVER)).await.expect(&case);
                refused(&answer, 413, "too_large", &case);
                watch.nothing(&world, &case);
            }
        }
    }
    world.gateway.wait_for_line(&["body_too_large"]).await;
}

#[tokio::test]
async fn grpc_is_refused_where_its_body_would_have_to_be_waited_for() {
    let world = World::start(&[]).await;
    let mut watch = Watch::start(&world);
    for host in hosts() {
        for (way, agent) in world.ways(&host) {
            for content_type in ["application/grpc", "application/grpc+proto", "application/grpc-web"] {
                let head = Request::new("POST", &host, "/v1/held")
                    .headers(&[("content-type", content_type), ("te", "trailers")]);
                let head = if agent.http == Http::One { head.header("content-length", "100") } else { head };
                let case = format!("{host}, {way}, {content_type}");
                let answer =
                    timeout(Duration::from_secs(10), trickle(&agent, &head, NEVER)).await.expect(&case);
                let (status, reason) =
                    if host.starts_with("models") { (403, "denied_by_policy") } else { (400, "unsignable") };
                // To gRPC a refusal is an answer of status 200 with the reason of the refusal in its headers.
                assert!(
                    [200, status].contains(&answer.status) && answer.reason() == reason,
                    "{case}: {answer:?}"
                );
                watch.nothing(&world, &case);
            }
        }
    }
}

#[tokio::test]
async fn a_held_body_may_come_slowly_but_neither_stop_nor_take_forever() {
    let world = World::start(&["requestTimeout: 1s"]).await;
    let mut watch = Watch::start(&world);
    let host = &hosts()[0];
    for (way, agent) in world.ways(host) {
        let request = held(host, 4 << 10);
        let head = Request { body: Vec::new(), ..request.clone() }.header("content-length", "4096");
        for (pause, least) in [(NEVER, 1_000), (Duration::from_millis(300), 4_000)] {
            let started = Instant::now();
            let case = format!("{way}, {pause:?}");
            let answer = timeout(Duration::from_secs(20), trickle(&agent, &head, pause)).await.expect(&case);
            refused(&answer, 408, "upstream_refused", &case);
            assert!(
                started.elapsed() >= Duration::from_millis(least - 100),
                "{case}: {:?}",
                started.elapsed()
            );
            watch.nothing(&world, &case);
        }
    }
    for (way, agent) in world.ways(host).into_iter().filter(|(_, agent)| agent.http == Http::One) {
        let upload = Upload::new(held(host, 4 << 10), Length::Announced);
        let mut http = agent.open_http1().await.expect(way);
        http.write(&upload.head()).await.expect(way);
        for piece in upload.request.body.chunks(1 << 10) {
            sleep(Duration::from_millis(600)).await;
            http.write(piece).await.expect(way);
        }
        assert_eq!(http.head().await.expect(way).status, 200, "{way}");
        arrived(&world, &upload.request, way);
    }
}
