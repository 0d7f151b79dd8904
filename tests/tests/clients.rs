//! Unmodified clients of Anthropic through the gateway: curl, the Python SDK in two generations, those for Node and
//! Go, and HTTP clients by themselves.

use harness::provider::Received;
use harness::scenario::{KEY, PLACEHOLDER, worked_example};
use harness::software::{ALL, CURL, HTTP};

fn assert_swapped(received: &Received, name: &str) {
    assert_eq!(received.values("x-api-key"), [KEY], "{name}");
    assert!(received.values("authorization").is_empty(), "{name}");
    assert!(!received.mentions(PLACEHOLDER), "{name}: the placeholder went upstream");
}

#[tokio::test]
async fn each_client_gets_its_answer_with_the_real_key_behind_it() {
    let (provider, gateway) = worked_example().await;
    for software in ALL.iter().chain(HTTP) {
        let output = software.start("plain", gateway.ready()).output().await;
        assert!(output.join("\n").contains("Hello!"), "{}: {output:?}", software.name);
        assert_swapped(&provider.only_request(), software.name);
    }
}

#[tokio::test]
async fn each_client_reports_an_event_before_the_provider_sends_the_next() {
    let (provider, gateway) = worked_example().await;
    provider.behave(|behaviour| behaviour.hold_second_event = true);
    for software in ALL {
        let mut run = software.start("streamed", gateway.ready());
        run.wait_for("event 1 message_start").await;
        assert_eq!(run.lines().len(), 1, "{}: more than the first event came", software.name);
        provider.release();
        let output = run.output().await;
        assert!(
            output.last().is_some_and(|line| line.ends_with("message_stop")),
            "{}: {output:?}",
            software.name
        );
        assert_swapped(&provider.only_request(), software.name);
    }
}

#[tokio::test]
async fn a_refusal_is_shown_by_each_client_and_not_tried_again() {
    let provider = harness::provider::Provider::accepting(KEY).await.unwrap();
    let manifests = harness::gateway::Manifests::example(&provider);
    let gateway = harness::gateway::Gateway::builder(manifests).start().await;
    // Over HTTP/2 Envoy ends a stream that it answered before the body came. curl 7.88 may see the end before the
    // answer, and then says only that the stream ended.
    for software in ALL.iter().filter(|software| software.name != CURL.name) {
        let shown = software.start("plain", gateway.ready()).failure().await;
        assert!(
            shown.contains("503") || shown.contains("credential_unavailable"),
            "{}: {shown}",
            software.name
        );
    }
    assert!(provider.requests().is_empty());
}
