//! The trace that a request belongs to, from the agent to the provider.

use harness::client::{Http, Request};
use harness::gateway::HOST;
use serde_json::Value;

use super::told;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// The ids of a `traceparent` that has no flag but `sampled`.
fn ids(traceparent: &str) -> (String, String) {
    let parts: Vec<_> = traceparent.split('-').collect();
    assert!(parts.len() == 4 && parts[0] == "00" && parts[3] == "01", "{traceparent}");
    (parts[1].to_owned(), parts[2].to_owned())
}

fn text<'a>(span: &'a Value, field: &str) -> &'a str {
    span[field].as_str().unwrap_or_default()
}

#[tokio::test]
async fn the_agents_span_is_the_parent_and_ours_is_that_of_the_provider() {
    let (collector, provider, gateway) = told("").await;
    for http in [Http::One, Http::Two] {
        let request = Request::messages()
            .header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))
            .header("tracestate", "vendor=1,other=2");
        assert_eq!(gateway.agent(http, HOST).send(&request).await.unwrap().status, 200);
        let received = provider.only_request();
        let [traceparent] = received.values("traceparent")[..] else { panic!("{:?}", received.headers) };
        assert_eq!(received.values("tracestate"), ["vendor=1,other=2"]);
        let (trace, ours) = ids(traceparent);
        assert_eq!(trace, TRACE);
        let spans = collector.wait_for(if http == Http::One { 1 } else { 2 }).await;
        let span = spans.iter().find(|span| span["spanId"] == ours.as_str()).expect("the provider's parent");
        assert_eq!((text(span, "traceId"), text(span, "parentSpanId")), (TRACE, PARENT));
        assert_eq!(text(span, "traceState"), "vendor=1,other=2");
    }
}

#[tokio::test]
async fn a_request_without_a_trace_begins_one() {
    let (collector, provider, gateway) = told("").await;
    let agent = gateway.agent(Http::Two, HOST);
    let odd = ["00-nonsense", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"];
    let requests = [Request::messages(), Request::messages().header("traceparent", odd[0])];
    let requests = requests.into_iter().chain([Request::messages().header("traceparent", odd[1])]);
    let mut traces = Vec::new();
    for request in requests {
        assert_eq!(agent.send(&request).await.unwrap().status, 200);
        let received = provider.only_request();
        let [traceparent] = received.values("traceparent")[..] else { panic!("{:?}", received.headers) };
        traces.push(ids(traceparent));
    }
    let spans = collector.wait_for(3).await;
    for (trace, ours) in &traces {
        let span = spans.iter().find(|span| span["spanId"] == ours.as_str()).expect("the provider's parent");
        assert_eq!((text(span, "traceId"), text(span, "parentSpanId")), (trace.as_str(), ""));
    }
    traces.dedup_by_key(|(trace, _)| trace.clone());
    assert_eq!(traces.len(), 3, "each has a trace of its own");
}
