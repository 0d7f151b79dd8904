//! L3: what the gateway writes, and what anyone can ask it, shows no key.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::artefacts;
use harness::collector::{Collector, attribute};
use harness::gateway::{Gateway, HOST};
use harness::provider::Echo;
use harness::scenario::KEY;
use harness::search::{files_under, found, spellings};
use serde_json::Value;
use tokio::time::{Duration, sleep};

use crate::row::{EVERY, ONCE, Row};
use crate::rows::leaks::{Upstream, scripted_scenario};
use crate::stage::Stage;
use crate::subject::{Subject, keyward};
use crate::wire::Request;
use crate::world::{Lines, ip};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "L3.outputs",
            "after hostile requests no key in access log, log at trace, Envoy's log, state directory, stats",
            ONCE,
            outputs,
        )
        .only_keyward("reads what Keyward writes; each key is first found where it belongs"),
        Row::new(
            "L3.otlp",
            "after the same, no key in what a collector is told, bodies included",
            ONCE,
            told,
        )
        .only_keyward("reads what Keyward tells a collector"),
    ]
}

/// A credential of the agent's own, sent where credentials are.
const OWN: &str = "sk-agents-own-account-9876543210";

async fn outputs(stage: Stage) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let log = folder.path().join("envoy.log");
    let builder = keyward::builder(&scripted_scenario()).environment("KEYWARD_LOG", "trace");
    let gateway = builder.envoy(noted(folder.path(), &log)).start().await;
    let stage = Stage { subject: Arc::new(Subject::keyward(gateway)), ..stage };
    for variant in EVERY {
        hostile(&Stage { variant: *variant, ..stage.clone() }).await;
    }
    let gateway = stage.gateway();
    gateway.wait_for_line(&["\"event\":\"access\"", "upstream_refused"]).await;
    sleep(Duration::from_millis(200)).await;

    let needles: Vec<_> = [KEY, OWN].into_iter().flat_map(spellings).collect();
    let errors = gateway.errors().join("\n");
    assert!(errors.contains("TRACE"), "its own log is not at trace:\n{errors}");
    let envoys = std::fs::read(&log).expect("Envoy's log");
    assert!(!found(&envoys, &["info".into()]).is_empty(), "Envoy's log is empty");
    assert!(gateway.lines().iter().any(|line| line.contains("[redacted]")), "no record shows a redaction");
    nothing(&gateway.lines().join("\n").into_bytes(), &needles, "standard output");
    nothing(errors.as_bytes(), &needles, "standard error");
    nothing(&envoys, &needles, "Envoy's log");
    for file in files_under(gateway.state()).iter().filter(|path| path.is_file()) {
        nothing(&std::fs::read(file).expect("a file"), &needles, &file.display().to_string());
    }
    statistics(gateway, &needles);
}

async fn told(stage: Stage) {
    let collector = Collector::start().await;
    let otlp = format!("otlp: {{endpoint: '{}', captureBody: {{}}}}", collector.endpoint());
    let scenario = scripted_scenario().replace("otlp: {captureBody: {maxBytes: 65536}}", &otlp);
    let gateway = keyward::builder(&scenario).start().await;
    let stage = Stage { subject: Arc::new(Subject::keyward(gateway)), ..stage };
    for variant in EVERY {
        let stage = Stage { variant: *variant, ..stage.clone() };
        hostile(&stage).await;
        let body = format!("{{\"model\": \"claude-test\", \"note\": \"{KEY}\"}}");
        let asked = Request::messages().body(body);
        assert_eq!(stage.ask(&asked).await.status(), 200);
        // The last one: everything before it was told when this is.
        stage.ask(&Request::messages().path("/v1/messages?the=last")).await;
    }
    let lasts = |spans: &[Value]| spans.iter().filter(|span| span.to_string().contains("the=last")).count();
    while lasts(&collector.spans()) < EVERY.len() {
        sleep(Duration::from_millis(50)).await;
    }
    let needles: Vec<_> = [KEY, OWN].into_iter().flat_map(spellings).collect();
    let spans = collector.spans();
    let text = spans.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    assert!(text.contains("[redacted]"), "no span shows a redaction");
    nothing(text.as_bytes(), &needles, "a span");
    let bodies = spans.iter().flat_map(|span| span["events"].as_array().cloned().unwrap_or_default());
    let bodies: Vec<_> = bodies.filter_map(|event| attribute(&event, "clrk.body.b64")).collect();
    assert!(!bodies.is_empty(), "no span shows a body");
    for body in bodies {
        nothing(&STANDARD.decode(body.as_str().expect("text")).expect("base64"), &needles, "a body");
    }
}

fn statistics(gateway: &Gateway, needles: &[String]) {
    for path in ["/stats", "/stats?format=json", "/stats/prometheus", "/clusters", "/server_info"] {
        let answer = super::exposed::admin(gateway, "GET", path);
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        nothing(answer.as_bytes(), needles, path);
    }
}

#[track_caller]
fn nothing(bytes: &[u8], needles: &[String], place: &str) {
    let found = found(bytes, needles);
    assert!(found.is_empty(), "{place} shows {} spellings of a key, such as {:?}", found.len(), found[0]);
}

/// A program that is Envoy, with its log in a file.
fn noted(folder: &Path, log: &Path) -> std::path::PathBuf {
    let program = folder.join("envoy");
    let text = format!("#!/bin/sh\nexec {} \"$@\" 2>>{}\n", artefacts::envoy().display(), log.display());
    std::fs::write(&program, text).expect("a script");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).expect("its mode");
    program
}

/// What an agent, and a provider, can do to have a key written somewhere.
async fn hostile(stage: &Stage) {
    let world = &stage.world;
    let own = |request: Request| {
        ["x-api-key", "authorization", "cookie", "x_api_key", "proxy-authorization"]
            .iter()
            .fold(request, |request, carrier| request.field(carrier, OWN))
    };
    world.anthropic.provider.behave(|behaviour| behaviour.echo = Echo::ALL.to_vec());
    let asked = stage.ask(&own(Request::messages())).await;
    assert_eq!(asked.status(), 200, "{asked:?}");
    assert!(world.anthropic.saw(KEY), "the provider never had the key");
    for request in [
        Request::messages().path(format!("/v1/messages?key={OWN}&api_key={OWN}")),
        Request::messages().path(format!("/v1/files?key={OWN}")),
        Request::messages().path("/v1/../v1/messages"),
        Request::messages().authority("other.example"),
        Request::messages().field("x-long", "k".repeat(70 << 10)),
        Request::new("TRACE", "/v1/messages"),
        Request::new("BREW", "/v1/messages"),
        Request::messages().path("/v1/messages\0"),
    ] {
        stage.ask(&own(request)).await;
    }
    let text = format!("HTTP/1.1 401 {KEY}\r\n{KEY}: 1\r\nx-{KEY}: {KEY}\r\ncontent-length: 0\r\n\r\n");
    let upstream = Upstream::start(stage, Lines::Http1(text.into_bytes())).await;
    upstream.ask(stage, Request::messages()).await;
    upstream.script.say(Lines::Http1(format!("{KEY}\r\n\r\n").into_bytes()));
    upstream.ask(stage, own(Request::messages())).await;
    // Nobody listens there.
    world.zone.set(HOST, &[ip(90)]);
    sleep(Duration::from_millis(10)).await;
    stage.ask(&own(Request::messages().field("x-note", "nobody"))).await;
    world.reset();
}
