//! Snapshots: what one request by each example leaves behind, for everyone who sees some of it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::artefacts::root;
use harness::client::{Http, Response};
use harness::collector::attribute;
use harness::provider::Echo;
use regex::Regex;
use serde_json::Value;

use super::requests::Case;
use super::secrets::{FIRST, Secrets};
use super::system::System;
use super::{until, with_every_example};

const UPDATE: &str = "UPDATE_GOLDEN=1 cargo test -p keyward-tests --test redaction snapshots";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn records_spans_and_answers_of_every_example_are_those_of_the_snapshots() {
    let snapshots = with_every_example(snapshot).await;
    let differ: Vec<String> = snapshots.into_iter().filter_map(|(case, text)| compare(case, &text)).collect();
    assert!(differ.is_empty(), "{}\n`{UPDATE}` writes them anew", differ.join("\n"));
}

fn golden(case: &Case) -> PathBuf {
    root().join("tests/tests/redaction/golden").join(format!("{}.txt", case.example))
}

/// What is different from the snapshot of an example.
fn compare(case: &Case, text: &str) -> Option<String> {
    let path = golden(case);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).expect("written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    (kept != text).then(|| format!("{}:\n{}", path.display(), difference(&path, text)))
}

fn difference(path: &std::path::Path, text: &str) -> String {
    let mut command = Command::new("diff");
    command.args(["--unified", "--new-file"]).arg(path).arg("-");
    let mut diff = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("diff");
    diff.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    String::from_utf8_lossy(&diff.wait_with_output().expect("an end").stdout).into_owned()
}

async fn snapshot(case: &'static Case) -> (&'static Case, String) {
    let system = System::start(case).await;
    // Other forms of a signature begin and end differently each time.
    system.provider.behave(|behaviour| behaviour.echo = vec![Echo::Raw, Echo::Json]);
    let mut text = String::new();
    let malformed = (&case.served[0], format!("/{}", case.served[0].path));
    let well_formed = case.served.iter().map(|served| (served, served.path.to_owned()));
    for (index, (served, path)) in well_formed.chain([malformed]).enumerate() {
        let host = served.host;
        let request = case.request(host, &path, &system.noted(served, FIRST), false);
        let answer = system.send(Http::Two, host, &request).await.expect("an answer");
        let spans = system.collector.wait_for(index + 1).await;
        until("a record", || system.records().len() > index).await;
        let record = system.records().swap_remove(index);
        let shown = path.split('?').next().unwrap_or_default();
        text += &format!("== {} https://{host}{shown}\n\n", request.method);
        text += &format!("-- the agent gets\n{}\n", of_answer(&answer));
        text += &format!("-- the record\n{}\n", of_record(&record, ""));
        text += &format!("-- the span\n{}\n", of_span(&spans[index]));
    }
    let mut secrets = Secrets::default();
    secrets.add_given(&case.example().variables(), FIRST);
    secrets.add_tokens(&system.endpoint);
    secrets.add_signed(FIRST, &system.provider.requests());
    secrets.add_own();
    assert_eq!(secrets.search().found(text.as_bytes()), [].into(), "{}", case.example);
    (case, normalised(&text))
}

fn of_answer(answer: &Response) -> String {
    let headers = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
    let body = String::from_utf8_lossy(&answer.body);
    format!("{}\n{}\n{body}\n", answer.status, headers.collect::<String>())
}

/// A field on each line, and a header on each.
fn of_record(record: &Value, indent: &str) -> String {
    let fields = record.as_object().into_iter().flatten();
    let lines = fields.map(|(name, value)| match (value, name.ends_with("_headers")) {
        (Value::Object(_), _) => format!("{indent}{name}\n{}", of_record(value, "  ")),
        (Value::Array(headers), true) => {
            let headers = headers.iter().map(|header| format!("{indent}  {header}\n"));
            format!("{indent}{name}\n{}", headers.collect::<String>())
        }
        _ => format!("{indent}{name} = {value}\n"),
    });
    lines.collect()
}

fn of_span(span: &Value) -> String {
    let mut text = format!("{}\n", span["name"].as_str().unwrap_or_default());
    text += &attributes(span, "");
    for event in span["events"].as_array().into_iter().flatten() {
        text += &format!("event {}\n", event["name"].as_str().unwrap_or_default());
        text += &attributes(event, "  ");
    }
    text
}

fn attributes(of: &Value, indent: &str) -> String {
    let keys = of["attributes"].as_array().into_iter().flatten().filter_map(|it| it["key"].as_str());
    let lines = keys.map(|key| {
        let value = attribute(of, key).unwrap_or_default();
        match value.as_str() {
            Some(text) if key == "clrk.body.b64" => {
                let body = STANDARD.decode(text).expect("base64");
                format!("{indent}{key}, decoded = {}\n", String::from_utf8_lossy(&body))
            }
            _ => format!("{indent}{key} = {value}\n"),
        }
    });
    lines.collect()
}

/// Without what is another time, another place or another number in every run.
fn normalised(text: &str) -> String {
    let rules = [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
        (r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", "TRACEPARENT"),
        (r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", "DATE"),
        (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z", "TIME"),
        (r"\b\d{8}T\d{6}Z\b", "TIME"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"\b20\d{6}/", "DAY/"),
        (r"u002f20\d{6}", "u002fDAY"),
        (r"duration_ms = \d+", "duration_ms = NUMBER"),
    ];
    rules.into_iter().fold(text.to_owned(), |text, (rule, name)| {
        Regex::new(rule).expect("an expression").replace_all(&text, name).into_owned()
    })
}
