//! Streams: how many at once, and that agents who do not read their answers keep nobody else from theirs.

use harness::client::frames::{self, END_STREAM, Frame, Frames};
use harness::client::{Http, Request};
use harness::gateway::HOST;
use harness::scenario::worked_example;

/// Streams at once on a connection.
const STREAMS: usize = 100;
/// SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113, section 6.5.2).
const MAX_CONCURRENT_STREAMS: u16 = 3;
/// REFUSED_STREAM (RFC 9113, section 7).
const REFUSED_STREAM: [u8; 4] = [0, 0, 0, 7];

/// The head of a request that is answered at once, or not, as the provider behaves.
fn opening(stream: u32) -> Frame {
    let fields = [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/v1/files")];
    Frame::headers(stream, END_STREAM, &fields)
}

fn settings(frame: &Frame) -> Vec<(u16, u32)> {
    let pairs = frame.payload.chunks_exact(6);
    pairs
        .map(|pair| {
            let name = u16::from_be_bytes([pair[0], pair[1]]);
            (name, u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]]))
        })
        .collect()
}

#[tokio::test]
async fn a_connection_carries_a_hundred_streams_at_once_and_refuses_more() {
    let (provider, gateway) = worked_example().await;
    provider.behave(|behaviour| behaviour.delay_ms = 60_000);
    for (way, agent) in gateway.every_way().into_iter().filter(|(_, agent)| agent.http == Http::Two) {
        let mut connection = Frames::open(agent.open().await.unwrap()).await.unwrap();
        let first = connection.next().await.unwrap();
        assert_eq!(first.kind, frames::SETTINGS, "{way}");
        assert!(settings(&first).contains(&(MAX_CONCURRENT_STREAMS, STREAMS as u32)), "{way}: {first:?}");
        let requests: Vec<Frame> = (0..STREAMS as u32 + 1).map(|number| opening(2 * number + 1)).collect();
        connection.send(&requests).await.unwrap();
        let seen =
            connection.until(|frame| frame.kind == frames::RESET || frame.kind == frames::GOAWAY).await;
        let last = seen.last().expect("a refusal");
        assert_eq!((last.kind, last.stream), (frames::RESET, 2 * STREAMS as u32 + 1), "{way}: {last:?}");
        assert_eq!(last.payload, REFUSED_STREAM, "{way}");
    }
}

#[tokio::test]
async fn agents_that_do_not_read_their_answers_keep_nobody_from_theirs() {
    let (provider, gateway) = worked_example().await;
    provider.behave(|behaviour| behaviour.text_bytes = Some(2 << 20));
    // Without these limits 48 streams would hold back more than the 24 MiB that Envoy's connection to the provider
    // has, and everyone on it would wait.
    let mut unread = Vec::new();
    for _ in 0..24 {
        let mut connection = gateway.agent(Http::Two, HOST).open_http2().await.unwrap();
        let answers = [
            connection.open(&Request::messages()).await.unwrap(),
            connection.open(&Request::messages()).await.unwrap(),
        ];
        unread.push((connection, answers));
    }
    for (way, agent) in gateway.every_way() {
        let answer = agent.send(&Request::messages()).await.expect(&way);
        assert_eq!(answer.status, 200, "{way}");
        assert!(answer.body.len() > 2 << 20, "{way}");
    }
    assert!(provider.requests().len() >= 52);
}
