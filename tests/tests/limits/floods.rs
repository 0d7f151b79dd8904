//! Frames that cost the gateway more than their sender.

use std::iter;
use std::time::Duration;

use harness::client::frames::{self, Frame, Frames};
use harness::client::{Failure, Http, Io, Request};
use harness::gateway::{Gateway, HOST};
use harness::scenario::{adjusted_example, worked_example};
use tokio::time::timeout;

use super::connections::counted;

const PRIORITY: u8 = 2;
const WINDOW_UPDATE: u8 = 8;

/// CANCEL (RFC 9113, section 7).
const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// How long a write may wait for a reader. Where a connection ended while the writer waits, nothing wakes it.
const SOON: Duration = Duration::from_secs(10);

/// More PINGs than there is room for answers in any kernel's buffers: 68 MB.
const UNANSWERED: usize = 4_000_000;

/// The head of a request whose body is to follow.
fn opening(stream: u32) -> Frame {
    let fields = [(":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", "/v1/files")];
    Frame::headers(stream, 0, &fields)
}

struct Flood {
    name: &'static str,
    frames: Box<dyn Iterator<Item = Frame>>,
    /// The statistic that counts connections ended for it.
    counter: Option<&'static str>,
}

impl Flood {
    fn new(name: &'static str, frames: impl Iterator<Item = Frame> + 'static) -> Flood {
        Flood { name, frames: Box::new(frames), counter: None }
    }

    fn counted(self, counter: &'static str) -> Flood {
        Flood { counter: Some(counter), ..self }
    }
}

/// Each flood: more of the same frame than its limit allows.
fn floods() -> [Flood; 5] {
    let on_one_stream = |frame, count| iter::once(opening(1)).chain(iter::repeat_n(frame, count));
    let resets = (0..2_000).flat_map(|number| {
        let stream = 2 * number + 1;
        [opening(stream), Frame::new(frames::RESET, 0, stream, CANCEL)]
    });
    let [empty, priority, update, ping] = [
        Frame::new(frames::DATA, 0, 1, []),
        Frame::new(PRIORITY, 0, 1, [0, 0, 0, 0, 1]),
        Frame::new(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1]),
        Frame::new(frames::PING, 0, 0, [0; 8]),
    ];
    [
        Flood::new("empty DATA", on_one_stream(empty, 8)).counted("http2.inbound_empty_frames_flood"),
        Flood::new("PRIORITY", on_one_stream(priority, 2_000)).counted("http2.inbound_priority_frames_flood"),
        Flood::new("WINDOW_UPDATE", on_one_stream(update, 2_000))
            .counted("http2.inbound_window_update_frames_flood"),
        // Counted by Envoy (`http2.outbound_control_flood`) unless a thousand arrive at once: then its codec has a
        // limit of its own, which nothing counts.
        Flood::new("PING", iter::repeat_n(ping, UNANSWERED)),
        Flood::new("resets", resets).counted("http.mitm.downstream_rq_too_many_premature_resets"),
    ]
}

/// Sends frames and reads nothing, so that answers to them have nowhere to go, until nobody takes them.
async fn pour(connection: &mut Frames<impl Io>, frames: impl Iterator<Item = Frame>) {
    let mut frames = frames.peekable();
    while frames.peek().is_some() {
        let part: Vec<Frame> = frames.by_ref().take(5_000).collect();
        if !matches!(timeout(SOON, connection.send(&part)).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn ends(mut connection: Frames<impl Io>) -> bool {
    loop {
        match connection.next().await {
            Ok(_) => {}
            Err(failure) => return matches!(failure, Failure::Closed(_)),
        }
    }
}

/// A counter that may not have counted yet.
fn count(gateway: &Gateway, counter: &str) -> u64 {
    gateway.stats(counter).get(counter).copied().unwrap_or_default()
}

#[tokio::test]
async fn a_flood_ends_its_connection_and_no_other() {
    let (provider, gateway) = worked_example().await;
    let mut bystander = gateway.agent(Http::Two, HOST).open_http2().await.unwrap();
    let mut ended = 0;
    for (way, agent) in gateway.every_way().into_iter().filter(|(_, agent)| agent.http == Http::Two) {
        for Flood { name, frames, counter } in floods() {
            let before = counter.map(|counter| count(&gateway, counter));
            let mut connection = Frames::open(agent.open().await.unwrap()).await.unwrap();
            pour(&mut connection, frames).await;
            assert!(ends(connection).await, "{way}, {name}: the connection stays open");
            ended += 1;
            counted(&gateway, "^http.mitm.downstream_cx_destroy_local$", ended).await;
            let after = counter.map(|counter| count(&gateway, counter));
            assert_eq!(after, before.map(|before| before + 1), "{way}, {name}");
            assert_eq!(bystander.send(&Request::messages()).await.unwrap().status, 200, "{way}, {name}");
        }
    }
    assert!(provider.accepted() < 20, "a flood reached the provider: {} connections", provider.accepted());
}

#[tokio::test]
async fn a_flood_whose_sender_never_closes_is_let_go() {
    let (_provider, gateway) =
        adjusted_example(|manifests| manifests.gateway_spec("requestTimeout: 1s")).await;
    let agent = gateway.transparent_agent(Http::Two, HOST);
    let mut connection = Frames::open(agent.open().await.unwrap()).await.unwrap();
    let port = gateway.ready().transparent.port();
    let active = format!(r"^listener\.127\.0\.0\.1_{port}\.downstream_cx_active$");
    counted(&gateway, &active, 1).await;
    let ping = Frame::new(frames::PING, 0, 0, [0; 8]);
    pour(&mut connection, iter::repeat_n(ping, UNANSWERED)).await;
    counted(&gateway, &active, 0).await;
    drop(connection);
}
