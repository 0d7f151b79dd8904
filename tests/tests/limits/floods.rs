//! Frames that cost the gateway more than their sender.

use std::time::Duration;

use harness::client::frames::{self, Frame, Frames};
use harness::client::{Failure, Http, Io, Request};
use harness::gateway::{Gateway, HOST};
use harness::scenario::worked_example;
use tokio::time::timeout;

const PRIORITY: u8 = 2;
const WINDOW_UPDATE: u8 = 8;

/// CANCEL (RFC 9113, section 7).
const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// How long a write may wait for a reader.
const SOON: Duration = Duration::from_secs(5);

/// The head of a request whose body is to follow.
fn opening(stream: u32) -> Frame {
    let fields = [(":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", "/v1/files")];
    Frame::headers(stream, 0, &fields)
}

/// Each flood: more of the same frame than its limit allows, and the statistic that counts connections ended for it.
fn floods() -> Vec<(&'static str, Vec<Frame>)> {
    let on_one_stream = |frame: Frame, count| [vec![opening(1)], vec![frame; count]].concat();
    let reset = |number: u32| {
        let stream = 2 * number + 1;
        [opening(stream), Frame::new(frames::RESET, 0, stream, CANCEL)]
    };
    vec![
        ("http2.inbound_empty_frames_flood", on_one_stream(Frame::new(frames::DATA, 0, 1, []), 8)),
        (
            "http2.inbound_priority_frames_flood",
            on_one_stream(Frame::new(PRIORITY, 0, 1, [0, 0, 0, 0, 1]), 2_000),
        ),
        (
            "http2.inbound_window_update_frames_flood",
            on_one_stream(Frame::new(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1]), 2_000),
        ),
        ("http2.outbound_control_flood", vec![Frame::new(frames::PING, 0, 0, [0; 8]); 400_000]),
        ("http.mitm.downstream_rq_too_many_premature_resets", (0..2_000).flat_map(reset).collect()),
    ]
}

/// Sends frames and reads nothing, so that answers to them have nowhere to go, until the connection has ended.
async fn ends(mut connection: Frames<impl Io>, flood: &[Frame]) -> bool {
    for part in flood.chunks(5_000) {
        if !matches!(timeout(SOON, connection.send(part)).await, Ok(Ok(()))) {
            break;
        }
    }
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
    for (way, agent) in gateway.every_way().into_iter().filter(|(_, agent)| agent.http == Http::Two) {
        for (counter, flood) in floods() {
            let before = count(&gateway, counter);
            let connection = Frames::open(agent.open().await.unwrap()).await.unwrap();
            assert!(ends(connection, &flood).await, "{way}, {counter}: the connection stays open");
            assert_eq!(count(&gateway, counter), before + 1, "{way}, {counter}");
            assert_eq!(bystander.send(&Request::messages()).await.unwrap().status, 200, "{way}, {counter}");
        }
    }
    assert!(provider.accepted() < 20, "a flood reached the provider: {} connections", provider.accepted());
}
