//! Agents that go away while their body is held: it is forgotten, and so is what it took.

use std::future::poll_fn;
use std::time::Duration;

use harness::client::Agent;
use harness::client::upload::{Length, Upload, http2_head};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Watch, World, arrived, held, hosts};

/// What each sends of its body. The streams of one connection, which one worker has, come to more than that may hold.
const SENT: usize = 400 << 10;
/// Streams of one connection: with many more it would end as a flood of resets.
const STREAMS: usize = 200;
const AT_ONCE: usize = 20;
/// Connections whose streams are reset, and such that are closed with their only request.
const RESET: usize = 5;
const CLOSED: usize = 200;

/// What is sent of a larger body.
fn half(host: &str) -> (harness::client::Request, Vec<u8>) {
    let whole = held(host, SENT + 1_000);
    let body = whole.body[..SENT].to_vec();
    (harness::client::Request { body: Vec::new(), ..whole }, body)
}

async fn close(agent: Agent, host: String) {
    let (head, body) = half(&host);
    let head = head.header("content-length", &(SENT + 1_000).to_string());
    let mut stream = agent.open().await.expect("a connection");
    stream.write_all(&[head.to_http1(), body].concat()).await.expect("an open connection");
    stream.flush().await.expect("an open connection");
}

/// Resets the streams of one connection, and sees that the worker which had them can hold as much as before.
async fn abort_streams(world: &World, host: &str, agent: &Agent) {
    let stream = agent.open().await.expect("a connection");
    let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let driver = tokio::spawn(connection);
    let (head, body) = half(host);
    for _ in 0..STREAMS / AT_ONCE {
        let mut streams = Vec::new();
        for _ in 0..AT_ONCE {
            let mut sender = sender.clone().ready().await.expect("an open connection");
            let (answer, mut stream) =
                sender.send_request(http2_head(&head), false).expect("an open connection");
            send_all(&mut stream, &body).await;
            streams.push((answer, stream));
        }
        // What is not written yet would be forgotten with its stream.
        sleep(Duration::from_millis(50)).await;
        for (_, stream) in &mut streams {
            stream.send_reset(h2::Reason::CANCEL);
        }
    }
    sleep(Duration::from_millis(200)).await;
    let request = held(host, SENT);
    let answer = Upload::new(request.clone(), Length::Announced).over(sender).await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    arrived(world, &request, "the same connection");
    driver.abort();
}

/// Sends as much as the windows allow, until it is all.
async fn send_all(stream: &mut h2::SendStream<bytes::Bytes>, mut body: &[u8]) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room =
            poll_fn(|context| stream.poll_capacity(context)).await.expect("an open stream").expect("room");
        let (now, later) = body.split_at(room.min(body.len()));
        stream.send_data(now.to_vec().into(), false).expect("an open stream");
        body = later;
    }
}

#[tokio::test]
async fn a_thousand_agents_go_away_while_their_bodies_are_held() {
    let world = World::start(&[]).await;
    let host = &hosts()[2];
    for number in 0..RESET {
        abort_streams(&world, host, &world.ways(host)[number % 2 * 2 + 1].1).await;
    }
    let mut watch = Watch::start(&world);
    let mut closed = JoinSet::new();
    for number in 0..CLOSED {
        closed.spawn(close(world.ways(host)[number % 2 * 2].1.clone(), host.clone()));
        if number % AT_ONCE == 0 {
            sleep(Duration::from_millis(50)).await;
        }
    }
    closed.join_all().await;
    let all = RESET * STREAMS + CLOSED;
    let end = Instant::now() + Duration::from_secs(30);
    let records = loop {
        let lines = world.gateway.lines();
        let records: Vec<_> = lines.into_iter().filter(|line| line.contains("request_incomplete")).collect();
        if records.len() == all {
            break records;
        }
        assert!(Instant::now() < end, "{} records of {all}", records.len());
        sleep(Duration::from_millis(50)).await;
    };
    let received: usize = records.iter().map(|line| bytes_received(line)).sum();
    assert!(received > all * SENT / 10 * 9, "only {received} bytes were ever held");
    watch.nothing(&world, "bodies that were never whole");
    let request = held(host, SENT);
    for (way, agent) in world.ways(host).iter().cycle().take(16) {
        let answer = Upload::new(request.clone(), Length::Announced).send(agent).await.expect(way);
        assert_eq!(answer.status, 200, "{way}: {answer:?}");
        arrived(&world, &request, way);
    }
}

/// Of the access log's entry on a line, wherever that stands in it.
fn bytes_received(line: &str) -> usize {
    let (_, rest) = line.split_once("\"bytes_received\":").expect("an entry of the access log");
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}
