//! What a collector is told of requests: a real one, which decodes it.

mod conventions;
mod usage;

use harness::client::{Http, Request};
use harness::collector::{Collector, attribute};
use harness::gateway::HOST;
use harness::scenario::{KEY, PLACEHOLDER, adjusted_example};
use serde_json::{Value, json};

#[track_caller]
fn check(span: &Value, key: &str, expected: impl Into<Value>) {
    assert_eq!(attribute(span, key), Some(expected.into()), "{key} in {span:#}");
}

#[tokio::test]
async fn a_request_is_one_span_with_what_was_decided_and_what_it_cost() {
    let collector = Collector::start().await;
    let otlp = format!("otlp: {{endpoint: '{}'}}", collector.endpoint());
    let (provider, gateway) =
        adjusted_example(|manifests| manifests.replace("otlp: {captureBody: {maxBytes: 65536}}", &otlp))
            .await;
    for http in [Http::One, Http::Two] {
        let request = Request::messages().header("x-api-key", PLACEHOLDER);
        let answer = gateway.agent(http, HOST).send(&request).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(provider.only_request().values("x-api-key"), [KEY]);
    }
    for span in collector.wait_for(2).await {
        check(&span, "http.request.method", "POST");
        check(&span, "server.address", HOST);
        check(&span, "http.response.status_code", 200);
        check(&span, "keyward.decision", "injected");
        check(&span, "keyward.credential", json!(["default/anthropic"]));
        check(&span, "clrk.aiproviderroute.name", "anthropic");
        check(&span, "gen_ai.operation.name", "chat");
        check(&span, "gen_ai.usage.input_tokens", 12);
        check(&span, "gen_ai.usage.output_tokens", 6);
        let text = span.to_string();
        assert!(!text.contains(KEY) && text.contains("[redacted]"), "{span:#}");
    }
}
