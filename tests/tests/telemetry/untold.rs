//! Usage that is read where nobody is told of requests: it stands in records and statistics, and nothing more is changed of
//! what is forwarded than that the answer can be read.

use harness::client::{Http, Request};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::Provider;
use harness::scenario::KEY;
use serde_json::Value;

use super::metrics::counted;

async fn started(metered: bool) -> (Provider, Gateway) {
    let provider = Provider::accepting(KEY).await.expect("a provider");
    let gateway = Gateway::builder(Manifests::example(&provider)).key(KEY);
    let gateway = if metered { gateway.metered() } else { gateway };
    (provider, gateway.start().await)
}

/// The record of the only request.
async fn record(gateway: &Gateway) -> Value {
    let line = gateway.wait_for_line(&["\"event\":\"access\"", "\"log\":\"request\""]).await;
    serde_json::from_str::<Value>(&line).expect("JSON")["entry"]["record"].clone()
}

fn request() -> Request {
    Request::messages().header("accept-encoding", "br, gzip")
}

#[tokio::test]
async fn usage_is_read_where_nobody_is_told() {
    let (provider, gateway) = started(true).await;
    assert_eq!(gateway.agent(Http::Two, HOST).send(&request()).await.unwrap().status, 200);
    let received = provider.only_request();
    assert_eq!(received.values("accept-encoding"), ["gzip"]);
    assert!(received.values("traceparent").is_empty(), "{received:?}");
    let record = record(&gateway).await;
    assert_eq!((&record["model"], &record["input_tokens"]), (&"claude-test".into(), &12.into()), "{record}");
    assert_eq!(record["output_tokens"], 6, "{record}");
    counted(&gateway, "keyward_tokens_total{route=\"default/anthropic\",type=\"output\"} 6").await;
}

#[tokio::test]
async fn with_no_usage_nothing_is_read() {
    let (provider, gateway) = started(false).await;
    assert_eq!(gateway.agent(Http::Two, HOST).send(&request()).await.unwrap().status, 200);
    assert_eq!(provider.only_request().values("accept-encoding"), ["br, gzip"]);
    let record = record(&gateway).await;
    assert_eq!(record["decision"], "injected");
    assert!(record.get("input_tokens").is_none() && record.get("model").is_none(), "{record}");
}
