//! A3 and A4: answers that are made to break whoever reads them, and collectors that are made to hold whoever tells them.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use harness::collector::{Collector, attribute};
use harness::ports;
use serde_json::json;

use crate::neighbour::Neighbour;
use crate::row::{EVERY, HTTP1, ONCE, Row};
use crate::rows::leaks::{Upstream, scripted_scenario};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::subject::{Subject, keyward};
use crate::wire::Request;
use crate::world::Lines;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "A3.answers",
            "answers of broken JSON, events and messages, and bombs of gzip: they pass as they are, usage is unknown",
            ONCE,
            answers,
        )
        .only_keyward("reads what Keyward tells a collector"),
        Row::new("A4.silent", "a collector that never answers: agents are served", HTTP1, silent)
            .only_keyward("has a collector")
            .proved_by_itself(),
        Row::new("A4.down", "a collector that is down: agents are served", ONCE, down)
            .only_keyward("has a collector")
            .proved_by_itself(),
    ]
}

const OTLP: &str = "otlp: {captureBody: {maxBytes: 65536}}";

fn telling(scenario: Scenario, endpoint: &str) -> Scenario {
    scenario.replace(OTLP, &format!("otlp: {{endpoint: '{endpoint}', captureBody: {{}}}}"))
}

async fn staged(stage: &Stage, scenario: &Scenario) -> Stage {
    let gateway = keyward::builder(scenario).start().await;
    Stage { subject: Arc::new(Subject::keyward(gateway)), ..stage.clone() }
}

fn answer(kind: &str, encoding: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{encoding}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A gigabyte of nothing.
fn bomb() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..1024 {
        encoder.write_all(&zeros).expect("compressed");
    }
    encoder.finish().expect("compressed")
}

async fn answers(stage: Stage) {
    let collector = Collector::start().await;
    let stage = staged(&stage, &telling(scripted_scenario(), &collector.endpoint())).await;
    let upstream = Upstream::start(&stage, Lines::Http1(Vec::new())).await;
    let deep = [vec![b'['; 1 << 20], vec![b']'; 1 << 20]].concat();
    let long = format!("{{\"usage\": {{\"output_tokens\": {}}}}}", "9".repeat(1 << 20));
    let (json, events, messages) =
        ("application/json", "text/event-stream", "application/vnd.amazon.eventstream");
    let (plain, gzip) = ("", "content-encoding: gzip\r\n");
    let cases: Vec<(&str, &str, Vec<u8>, &str)> = vec![
        (json, plain, b"{\"usage\": {\"output_tokens\": 1".to_vec(), "malformed"),
        (json, plain, b"\xff\xfe\0not JSON".to_vec(), "malformed"),
        (json, plain, deep, "malformed"),
        (json, plain, [long.as_bytes(), b"]"].concat(), "malformed"),
        (events, plain, b"data: {\"usage\": {\"output_tokens\"\n\ndata: }\n\n".to_vec(), "malformed"),
        (messages, plain, vec![0xff; 4096], "malformed"),
        (messages, plain, b"\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(), "malformed"),
        (json, gzip, b"this is not what it says".to_vec(), "encoding"),
        (json, gzip, bomb(), "encoding"),
        (json, "content-encoding: br\r\n", b"whatever".to_vec(), "encoding"),
    ];
    for (told, (kind, encoding, body, unknown)) in cases.into_iter().enumerate() {
        upstream.script.say(Lines::Http1(answer(kind, encoding, &body)));
        let (reply, _) = upstream.ask(&stage, Request::messages()).await;
        let answered = reply.answered().unwrap_or_else(|| panic!("{kind} {unknown}: {reply:?}"));
        assert!(answered.status == 200 && answered.body == body, "{kind} {unknown}: the answer was changed");
        let spans = collector.wait_for(told + 1).await;
        let span = spans.last().expect("a span");
        assert_eq!(attribute(span, "keyward.usage.unknown"), Some(json!(unknown)), "{kind}: {span:#}");
        assert_eq!(attribute(span, "gen_ai.usage.output_tokens"), None);
    }
    stage.good().await;
}

/// Many requests, each of which leaves a span, beside a neighbour that notices nothing.
async fn beside(stage: &Stage) {
    let neighbour = Neighbour::start(stage).await;
    for _ in 0..300 {
        assert_eq!(stage.ask(&Request::messages()).await.status(), 200);
    }
    neighbour.end(stage).await;
}

async fn silent(stage: Stage) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
    beside(&staged(&stage, &telling(Scenario::default(), &endpoint)).await).await;
}

async fn down(stage: Stage) {
    let endpoint = format!("http://127.0.0.1:{}", ports::free());
    let stage = staged(&stage, &telling(Scenario::default(), &endpoint)).await;
    for variant in EVERY {
        beside(&Stage { variant: *variant, ..stage.clone() }).await;
    }
}
