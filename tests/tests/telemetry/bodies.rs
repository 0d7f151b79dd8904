//! What spans show of bodies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::client::{Http, Request};
use harness::collector::attribute;
use harness::gateway::HOST;
use harness::scenario::KEY;
use harness::search::{found, spellings};
use serde_json::{Value, json};

use super::{check, event, told};

/// What an event shows of a body.
fn shown(span: &Value, name: &str) -> Vec<u8> {
    let text = attribute(event(span, name), "clrk.body.b64").expect("a body");
    STANDARD.decode(text.as_str().expect("text")).expect("base64")
}

#[tokio::test]
async fn bodies_are_shown_as_they_were() {
    let (collector, _provider, gateway) = told(", captureBody: {}").await;
    let mut count = 0;
    for http in [Http::One, Http::Two] {
        for request in [Request::messages(), Request::streamed_messages()] {
            let answer = gateway.agent(http, HOST).send(&request).await.unwrap();
            count += 1;
            let spans = collector.wait_for(count).await;
            let span = spans.last().expect("a span");
            for (name, sent) in
                [("http.request.body", &request.body[..]), ("http.response.body", &answer.body)]
            {
                assert_eq!(shown(span, name), sent, "{name}");
                check(event(span, name), "clrk.body.bytes", sent.len());
                check(event(span, name), "clrk.body.truncated", false);
                assert_eq!(attribute(event(span, name), "clrk.body.content_encoding"), None);
            }
        }
    }
}

#[tokio::test]
async fn of_long_bodies_the_first_bytes_are_shown_and_of_streams_the_last() {
    let (collector, provider, gateway) = told(", captureBody: {maxBytes: 100}").await;
    provider.behave(|behaviour| behaviour.text_bytes = Some(100_000));
    let agent = gateway.agent(Http::Two, HOST);
    let answer = agent.send(&Request::messages()).await.unwrap();
    let streamed = agent.send(&Request::streamed_messages()).await.unwrap();
    let spans = collector.wait_for(2).await;
    assert_eq!(shown(&spans[0], "http.response.body"), &answer.body[..100]);
    assert_eq!(shown(&spans[1], "http.response.body"), &streamed.body[streamed.body.len() - 100..]);
    for (span, body) in [(&spans[0], &answer.body), (&spans[1], &streamed.body)] {
        check(event(span, "http.response.body"), "clrk.body.bytes", body.len());
        check(event(span, "http.response.body"), "clrk.body.truncated", true);
        // What is not shown is read all the same.
        assert!(attribute(span, "gen_ai.usage.output_tokens").is_some());
    }
}

#[tokio::test]
async fn only_the_types_that_are_listed_are_shown() {
    let (collector, _provider, gateway) =
        told(", captureBody: {includeContentTypes: [Text/Event-Stream]}").await;
    let agent = gateway.agent(Http::Two, HOST);
    for request in [Request::messages(), Request::streamed_messages()] {
        assert_eq!(agent.send(&request).await.unwrap().status, 200);
    }
    let spans = collector.wait_for(2).await;
    let names = |span: &Value| -> Vec<Value> {
        span["events"].as_array().into_iter().flatten().map(|event| event["name"].clone()).collect()
    };
    assert_eq!(names(&spans[0]), ["http.request.headers", "http.response.headers"]);
    assert_eq!(names(&spans[1]), ["http.request.headers", "http.response.headers", "http.response.body"]);
}

/// Two bodies of the size that is shown fit into a span, and what does not fit is left out, bodies first.
#[tokio::test]
async fn the_largest_bodies_are_shown_and_a_span_that_is_too_large_has_none() {
    let (collector, provider, gateway) = told(", captureBody: {maxBytes: 65536}").await;
    provider.behave(|behaviour| behaviour.text_bytes = Some(100_000));
    let agent = gateway.agent(Http::Two, HOST);
    let question = json!({"model": "claude-test", "max_tokens": 8,
        "messages": [{"role": "user", "content": "x".repeat(100_000)}]});
    let whole = Request::messages().json(&question);
    assert_eq!(agent.send(&whole).await.unwrap().status, 200);
    let spans = collector.wait_for(1).await;
    for name in ["http.request.body", "http.response.body"] {
        assert_eq!(shown(&spans[0], name).len(), 65_536, "{name}");
    }
    // Forty thousand bytes of headers, and as many again in the answer's.
    let line = "y".repeat(8_000);
    provider.behave(|behaviour| {
        behaviour.headers = (0..6).map(|number| (format!("x-much-{number}"), line.clone())).collect();
    });
    let much = (0..6).fold(whole, |request, number| request.header(&format!("x-much-{number}"), &line));
    assert_eq!(agent.send(&much).await.unwrap().status, 200);
    let spans = collector.wait_for(2).await;
    assert_eq!(spans[1]["events"].as_array().map(Vec::len), Some(2));
    assert_eq!(spans[1]["droppedEventsCount"], 2);
    check(&spans[1], "gen_ai.request.model", "claude-test");
}

/// A key in a body reaches the agent (docs/limits.md says so), and no span.
#[tokio::test]
async fn a_key_in_a_body_is_in_no_span() {
    let (collector, _provider, gateway) = told(", captureBody: {maxBytes: 300}").await;
    let agent = gateway.agent(Http::Two, HOST);
    let mut count = 0;
    for spelling in spellings(KEY) {
        // Where the key is cut through, too.
        for before in [0, 150, 200] {
            let content = format!("{}{spelling}{}", "z".repeat(before), "z".repeat(100));
            let question = json!({"model": spelling, "messages": [{"role": "user", "content": content}]});
            assert_eq!(agent.send(&Request::messages().json(&question)).await.unwrap().status, 200);
            count += 1;
        }
    }
    for span in collector.wait_for(count).await {
        let body = shown(&span, "http.request.body");
        let text = span.to_string();
        for bytes in [&body[..], text.as_bytes()] {
            assert_eq!(
                found(bytes, &spellings(KEY)),
                Vec::<String>::new(),
                "{}",
                String::from_utf8_lossy(bytes)
            );
        }
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("[redacted]"), "{text}");
        assert!(!text.contains(&KEY[..10]) && !text.contains(&KEY[KEY.len() - 10..]), "{text}");
    }
}
