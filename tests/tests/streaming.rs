//! Streams arrive event by event, long answers come through, and only silence is bounded.

use std::time::{Duration, Instant};

use harness::client::{Agent, Http, Http2, Request, Response};
use harness::provider::Provider;
use harness::scenario::{adjusted_example, worked_example};

/// Time for an event to cross a busy machine.
const SOON: Duration = Duration::from_secs(5);

/// Opens a stream whose second event waits, checks that the first arrives alone, releases, and reads to the end.
async fn event_by_event(agent: &Agent, provider: &Provider) -> Response {
    match agent.http {
        Http::One => {
            let mut connection = agent.open_http1().await.unwrap();
            connection.write(&Request::streamed_messages().to_http1()).await.unwrap();
            let head = connection.head().await.unwrap();
            let first =
                tokio::time::timeout(SOON, connection.part()).await.expect("event 1").unwrap().unwrap();
            assert!(first.starts_with(b"event: message_start"), "{first:?}");
            provider.release();
            connection.rest(head, "POST").await.unwrap()
        }
        Http::Two => {
            let mut connection = agent.open_http2().await.unwrap();
            let (mut answer, mut stream) = connection.open(&Request::streamed_messages()).await.unwrap();
            let first = tokio::time::timeout(SOON, Http2::part(&mut stream))
                .await
                .expect("event 1")
                .unwrap()
                .unwrap();
            assert!(first.starts_with(b"event: message_start"), "{first:?}");
            provider.release();
            let mut rest = Vec::new();
            while let Some(part) = Http2::part(&mut stream).await.unwrap() {
                rest.extend_from_slice(&part);
            }
            answer.body = rest.into();
            answer
        }
    }
}

#[tokio::test]
async fn an_event_reaches_the_agent_before_the_provider_has_sent_the_next() {
    let (provider, gateway) = worked_example().await;
    provider.behave(|behaviour| behaviour.hold_second_event = true);
    for (way, agent) in gateway.every_way() {
        let answer = event_by_event(&agent, &provider).await;
        assert_eq!(answer.status, 200, "{way}");
        assert!(answer.mentions("event: message_stop"), "{way}: the stream was cut");
    }
}

#[tokio::test]
async fn an_answer_that_takes_a_minute_comes_through() {
    let (provider, gateway) =
        adjusted_example(|manifests| manifests.gateway_spec("requestTimeout: 5s")).await;
    provider.behave(|behaviour| (behaviour.deltas, behaviour.event_gap_ms) = (25, 2000));
    let started = Instant::now();
    let (one, two) = (
        gateway.agent(Http::One, harness::gateway::HOST),
        gateway.transparent_agent(Http::Two, harness::gateway::HOST),
    );
    let request = Request::streamed_messages();
    let (one, two) = tokio::join!(one.send(&request), two.send(&request));
    for answer in [one.unwrap(), two.unwrap()] {
        assert!(answer.mentions("part 24") && answer.mentions("event: message_stop"));
    }
    assert!(started.elapsed() >= Duration::from_secs(60), "the answer took only {:?}", started.elapsed());
}

/// Whether a streamed answer comes whole.
async fn comes_whole(agent: &Agent) -> bool {
    match agent.send(&Request::streamed_messages()).await {
        Ok(answer) => answer.status == 200 && answer.mentions("event: message_stop"),
        Err(_) => false,
    }
}

#[tokio::test]
async fn silence_shorter_than_the_timeout_passes_and_longer_is_cut() {
    let (provider, gateway) =
        adjusted_example(|manifests| manifests.gateway_spec("requestTimeout: 3s")).await;
    let ways = gateway.every_way();
    for (before, between, passes) in [(2400, 0, true), (0, 2400, true), (3900, 0, false), (0, 3900, false)] {
        provider.behave(|behaviour| {
            (behaviour.delay_ms, behaviour.event_gap_ms, behaviour.deltas) = (before, between, 0);
        });
        let whole = |index: usize| comes_whole(&ways[index].1);
        let outcome = tokio::join!(whole(0), whole(1), whole(2), whole(3));
        let expected = (passes, passes, passes, passes);
        assert_eq!(outcome, expected, "{before} ms before the head, {between} ms between events; {ways:?}");
    }
}

#[tokio::test]
async fn a_large_answer_and_a_large_request_come_through_whole() {
    let (provider, gateway) = worked_example().await;
    provider.behave(|behaviour| behaviour.text_bytes = Some(4 << 20));
    for (way, agent) in gateway.every_way() {
        let content = "y".repeat(4 << 20);
        let body = serde_json::json!({"model": "m", "messages": [{"role": "user", "content": content}]});
        let mut request = Request::messages();
        request.body = body.to_string().into_bytes();
        let answer = agent.send(&request).await.expect(&way);
        assert_eq!(answer.json()["content"][0]["text"].as_str().map(str::len), Some(4 << 20), "{way}");
        assert_eq!(provider.only_request().body.len(), request.body.len(), "{way}");
    }
}
