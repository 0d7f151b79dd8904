//! What agents and providers write never becomes more than text, and nothing that comes by the socket ends anything.

use std::path::Path;

use harness::client::{Http, Request};
use harness::gateway::HOST;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Otlp;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::browser::Browser;
use super::{Stage, message, rows};

const ATTACK: &str =
    "\"><img src=x onerror=window.attacked=1><script>window.attacked=1</script>\u{202e}{{7*7}}";

fn list(texts: &[&str]) -> Otlp {
    let values = texts.iter().map(|it| AnyValue { value: Some(Otlp::StringValue((*it).to_owned())) });
    Otlp::ArrayValue(ArrayValue { values: values.collect() })
}

fn attribute(key: &str, value: Otlp) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// A span with markup wherever a text can be.
fn attack() -> Span {
    let text = |key: &str| attribute(key, Otlp::StringValue(ATTACK.to_owned()));
    let keys = [
        "http.request.method",
        "server.address",
        "url.path",
        "url.query",
        "keyward.decision",
        "keyward.reason",
        "keyward.gateway",
        "gen_ai.request.model",
        "gen_ai.response.model",
        ATTACK,
    ];
    let mut attributes: Vec<_> = keys.iter().map(|key| text(key)).collect();
    attributes.push(attribute("gen_ai.usage.input_tokens", Otlp::IntValue(i64::MAX)));
    attributes.push(attribute("keyward.request.headers_removed", list(&[ATTACK])));
    attributes.push(attribute("keyward.request.headers_set", list(&[ATTACK, ":path"])));
    let event = |name: &str, attributes| Event { name: name.to_owned(), attributes, ..Event::default() };
    let body = |text: &str| {
        use base64::Engine as _;
        attribute("clrk.body.b64", Otlp::StringValue(base64::prelude::BASE64_STANDARD.encode(text)))
    };
    let kind = |of: &str, kind: &str| attribute(&format!("http.{of}.header.content-type"), list(&[kind]));
    let header = |of: &str| attribute(&format!("http.{of}.header.{ATTACK}"), list(&[ATTACK]));
    let members = json!({ATTACK: [ATTACK, {ATTACK: ATTACK}]}).to_string();
    let events = vec![
        event("http.request.headers", vec![header("request"), kind("request", "application/json")]),
        event("http.response.headers", vec![header("response"), kind("response", "text/event-stream")]),
        event("http.request.body", vec![body(&members)]),
        event("http.response.body", vec![body(&format!("event: {ATTACK}\ndata: {members}\n\n{ATTACK}\n\n"))]),
    ];
    Span { name: ATTACK.to_owned(), attributes, events, ..Span::default() }
}

fn export(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// Posts bytes as an Envoy does; the status.
async fn post(socket: &Path, encoding: &str, body: &[u8]) -> u16 {
    let mut stream = tokio::net::UnixStream::connect(socket).await.expect("the inspector's socket");
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: inspector\r\nconnection: close\r\ncontent-encoding: {encoding}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    // What is too long is refused before it has been read.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn markup_in_every_field_stays_text() {
    let stage = Stage::start().await;
    let mut browser = Browser::open(&stage.url).await;
    // As an agent can write it.
    let body = json!({"model": ATTACK, "messages": [{"role": "user", "content": ATTACK}]});
    let ascii = "\"><img src=x onerror=window.attacked=1>";
    let agent = stage.gateway.agent(Http::One, HOST);
    agent
        .send(
            &message()
                .header("x-note", ascii)
                .path("/v1/messages?q=%3Cimg%20src=x%20onerror=attacked=1%3E")
                .json(&body),
        )
        .await
        .expect("an answer");
    agent
        .send(&Request::new("GET", HOST, "/<img/src=x/onerror=attacked=1>").header("user-agent", ascii))
        .await
        .expect("an answer");
    rows(&mut browser, 2).await;
    // And wherever a span has a text at all.
    let socket = stage.gateway.state().join("inspector.sock");
    assert_eq!(post(&socket, "identity", &export(vec![attack()])).await, 200);
    rows(&mut browser, 3).await;
    for number in 1..=3 {
        // The span that an Envoy did not send is of 1970.
        browser.press(if number == 1 { "Home" } else { "j" }).await;
        browser.press("Enter").await;
        let selected = "document.querySelector('.row[aria-selected=true]')";
        browser.until(&format!("{selected}?.ariaRowIndex === '{}'", number + 1)).await;
        browser
            .until(&format!("document.querySelector('#request').dataset.id === {selected}.dataset.id"))
            .await;
        browser.until("document.querySelector('#request table')").await;
        browser
            .value("document.querySelectorAll('#request details').forEach((it) => { it.open = true; })")
            .await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let foreign =
            "document.querySelectorAll('img, iframe, object, embed, body script, [onerror], a').length";
        assert_eq!(browser.value(foreign).await, 0, "{number}");
    }
    browser.press("Home").await;
    browser.until("document.querySelector('#request').textContent.includes('{{7*7}}')").await;
    let pane = browser.text("document.querySelector('#request').textContent").await;
    assert!(pane.matches("<img src=x onerror=window.attacked=1>").count() > 20, "{pane}");
    for view in ["2", "3", "1"] {
        browser.press(view).await;
    }
    assert_eq!(browser.value("document.querySelectorAll('img, body script').length").await, 0);
    assert_eq!(browser.value("typeof window.attacked").await, "undefined");
    browser.assert_no_violation().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_counted_and_ends_nothing() {
    let stage = Stage::start().await;
    let socket = stage.gateway.state().join("inspector.sock");
    let mut deep = AnyValue { value: Some(Otlp::StringValue("x".to_owned())) };
    for _ in 0..500 {
        deep = AnyValue { value: Some(Otlp::ArrayValue(ArrayValue { values: vec![deep] })) };
    }
    let nested = Span {
        attributes: vec![KeyValue { key: "a".to_owned(), value: Some(deep), ..KeyValue::default() }],
        ..Span::default()
    };
    for (body, expected) in [
        (vec![0xff; 100], 400),
        (vec![0x0a; 100_000], 400),
        (export(vec![nested]), 400),
        (vec![0; 5 << 20], 413),
    ] {
        let status = post(&socket, "identity", &body).await;
        // An answer that comes while the body is still on its way may be lost.
        assert!(status == expected || (status == 0 && expected == 413), "{status}, not {expected}");
    }
    let mut browser = Browser::open(&stage.url).await;
    assert_eq!(stage.send(&message()).await, 200);
    rows(&mut browser, 1).await;
    browser.until("document.querySelector('#counts').textContent.includes('3 unreadable')").await;
}
