//! What spans show of bodies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::client::{Http, Request};
use harness::collector::{Collector, attribute};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::{Behaviour, Options, Provider};
use harness::scenario::KEY;
use serde_json::{Value, json};

use super::{check, event, telling, told};

/// A request with this body.
fn asking(question: &Value) -> Request {
    Request::new("POST", HOST, "/v1/messages").json(question)
}

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
    let collector = Collector::start().await;
    // In HTTP/1.1, which more headers pass in.
    let behaviour = Behaviour { key: Some(KEY.into()), text_bytes: Some(100_000), ..Behaviour::default() };
    let options = Options { alpn: vec!["http/1.1"], behaviour, ..Options::default() };
    let provider = Provider::start(options).await.unwrap();
    let manifests = telling(Manifests::example(&provider), &collector.endpoint(), ", captureBody: {}");
    let gateway = Gateway::builder(manifests).key(KEY).start().await;
    let agent = gateway.agent(Http::Two, HOST);
    let whole = asking(&json!({"model": "claude-test", "max_tokens": 8,
        "messages": [{"role": "user", "content": "x".repeat(100_000)}]}));
    assert_eq!(agent.send(&whole).await.unwrap().status, 200);
    let spans = collector.wait_for(1).await;
    for name in ["http.request.body", "http.response.body"] {
        assert_eq!(shown(&spans[0], name).len(), 65_536, "{name}");
    }
    let line = "y".repeat(8_000);
    provider.behave(|behaviour| {
        behaviour.headers = (0..7).map(|number| (format!("x-much-{number}"), line.clone())).collect();
    });
    let much = (0..5).fold(whole, |request, number| request.header(&format!("x-much-{number}"), &line));
    assert_eq!(agent.send(&much).await.unwrap().status, 200);
    let spans = collector.wait_for(2).await;
    assert_eq!(spans[1]["events"].as_array().map(Vec::len), Some(2));
    assert_eq!(spans[1]["droppedEventsCount"], 2);
    check(&spans[1], "gen_ai.request.model", "claude-test");
}

/// The forms in which a key is found, as they may stand in JSON.
fn forms() -> Vec<String> {
    let base64 = (0..3).map(|before| STANDARD.encode(format!("{}{KEY}end", "x".repeat(before))));
    let percent = KEY.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let json = KEY.chars().map(|c| format!("\\u{:04X}", u32::from(c))).collect();
    base64.chain([KEY.to_owned(), percent, json]).collect()
}

/// What anybody could make of a text, in the places of those forms.
fn read(text: &str) -> Vec<String> {
    let escapes = text.replace("\\u00", "%");
    let mut decoded = String::new();
    for (index, part) in escapes.split('%').enumerate() {
        match part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| index > 0) {
            Some(byte) => decoded.extend([char::from(byte)].into_iter().chain(part[2..].chars())),
            None => decoded.push_str(part),
        }
    }
    let mut read = vec![decoded];
    for run in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '+' && c != '/') {
        for start in 0..4.min(run.len()) {
            let whole = &run[start..run.len() - (run.len() - start) % 4];
            let bytes = STANDARD.decode(whole).unwrap_or_default();
            read.push(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    read
}

/// A key in a body reaches the provider, and no span.
#[tokio::test]
async fn a_key_in_a_body_is_in_no_span() {
    let (collector, _provider, gateway) = told(", captureBody: {maxBytes: 300}").await;
    let agent = gateway.agent(Http::Two, HOST);
    let mut count = 0;
    for form in forms() {
        // Where the key is cut through, too.
        for before in [0, 190, 200, 220] {
            let content = format!("{}{form}{}", "-".repeat(before), "-".repeat(100));
            let mut request = asking(&json!({}));
            let message = format!("{{\"role\": \"user\", \"content\": \"{content}\"}}");
            request.body = format!("{{\"model\": \"{form}\", \"messages\": [{message}]}}").into_bytes();
            assert_eq!(agent.send(&request).await.unwrap().status, 200);
            count += 1;
        }
    }
    for span in collector.wait_for(count).await {
        let body = String::from_utf8(shown(&span, "http.request.body")).expect("text");
        assert!(body.contains("[redacted]"), "{body}");
        for text in read(&body).into_iter().chain(read(&span.to_string())) {
            for part in KEY.as_bytes().windows(6) {
                let part = std::str::from_utf8(part).expect("text");
                assert!(!text.contains(part), "{part} of {body} in {span:#}");
            }
        }
    }
}
