//! Everything that a system puts out, each output with a text that it must hold: an empty one would prove nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Output as Ended;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::collector::attribute;
use harness::search::files_under;
use serde_json::Value;

use super::requests::{OWN, Served};
use super::secrets::FIRST;
use super::state::holds_key;
use super::system::System;
use super::{PATIENCE, until};

/// An output.
#[derive(Clone)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

impl Output {
    /// Panics where it does not hold `telling`.
    #[track_caller]
    pub(crate) fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>, telling: &str) -> Output {
        let output = Output { name: name.into(), bytes: bytes.into() };
        assert!(output.holds(telling), "{} does not hold {telling:?}", output.name);
        output
    }

    pub(crate) fn holds(&self, text: &str) -> bool {
        self.bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

/// Everything that an operator or anyone else can read of a system, after what was asked of it.
pub(crate) async fn of(system: &System) -> Vec<Output> {
    let (spans, pages) = (spans(system).await, inspector(system).await);
    // Envoy, `keyward` and commands are waited for in turn.
    let others = tokio::task::block_in_place(|| {
        [written(system), admin(system), metrics(system), commands(system), files(system)].concat()
    });
    [spans, pages, others].concat()
}

/// What the collector was told: as it wrote it down, and the bodies in it as they are read.
async fn spans(system: &System) -> Vec<Output> {
    until("a span of every record", || system.collector.spans().len() >= system.records().len()).await;
    let spans = system.collector.spans();
    let text: Vec<_> = spans.iter().map(Value::to_string).collect();
    let mut outputs = vec![Output::new("spans", text.join("\n"), "[redacted]")];
    let events = spans.iter().flat_map(|span| span["events"].as_array().cloned().unwrap_or_default());
    let bodies = events.filter_map(|event| attribute(&event, "clrk.body.b64"));
    let bodies: Vec<_> =
        bodies.map(|body| STANDARD.decode(body.as_str().expect("text")).expect("base64")).collect();
    outputs.push(Output::new("bodies of spans", bodies.join(&b'\n'), "[redacted]"));
    outputs
}

/// What `keyward` writes where it runs, and Envoy through it.
fn written(system: &System) -> Vec<Output> {
    let (lines, log) = (system.gateway.lines(), system.gateway.errors());
    let envoys: Vec<_> = log.iter().filter(|line| line.contains("envoy: ")).cloned().collect();
    vec![
        Output::new("standard output", lines.join("\n"), "[redacted]"),
        Output::new("keyward's log at trace", log.join("\n"), "TRACE"),
        Output::new("Envoy's log at info", envoys.join("\n"), " INFO "),
    ]
}

fn admin(system: &System) -> Vec<Output> {
    [
        ("/stats", "cluster."),
        ("/stats?format=json", "cluster."),
        ("/stats/prometheus", "keyward_requests_total"),
        ("/config_dump?include_eds", "bucket-0"),
        ("/clusters", "::"),
        ("/memory", "allocated"),
        // Nobody may ask for certificates.
        ("/certs", "HTTP/1.1 403"),
        ("/listeners", "::"),
        ("/server_info", "LIVE"),
    ]
    .into_iter()
    .map(|(path, telling)| Output::new(format!("admin {path}"), system.gateway.admin(path), telling))
    .collect()
}

fn metrics(system: &System) -> Vec<Output> {
    let ready = system.gateway.events("ready").remove(0);
    let url = ready["metrics"].as_str().expect("the URL of the metrics");
    let address = url.strip_prefix("http://").and_then(|url| url.strip_suffix("/metrics")).expect("a URL");
    let envoys = format!("/gateways/{}/metrics", system.gateway.ready().key);
    [("/metrics", "keyward_"), ("/targets", "targets"), (&envoys, "keyward_requests_total")]
        .into_iter()
        .map(|(path, telling)| Output::new(format!("metrics {path}"), get(address, path, None), telling))
        .collect()
}

async fn inspector(system: &System) -> Vec<Output> {
    let ready = system.gateway.events("ready").remove(0);
    let url = ready["inspector"].as_str().expect("the URL of the inspector");
    let (address, token) = url.strip_prefix("http://").and_then(|url| url.split_once('/')).expect("a URL");
    let page = |path: &str, end: Option<&str>| {
        get(address, &format!("/{}/{path}", token.trim_end_matches('/')), end)
    };
    let count = system.collector.spans().len();
    until("the inspector has every request", || {
        page(&format!("requests/{count}"), None).starts_with(b"HTTP/1.1 200")
    })
    .await;
    let mut outputs = vec![
        Output::new("inspector's page", page("", None), "<html"),
        Output::new("inspector's state", page("state", None), "objects"),
        // A stream without an end.
        Output::new("inspector's rows", page("events", Some(&format!("\"id\":{count}"))), "rows"),
    ];
    let requests: Vec<_> = (1..=count).map(|id| page(&format!("requests/{id}"), None)).collect();
    outputs.push(Output::new("inspector's requests", requests.concat(), "[redacted]"));
    outputs
}

/// What comes back, to its end or until it holds this text.
fn get(address: &str, path: &str, end: Option<&str>) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("written");
    let (mut answer, mut part) = (Vec::new(), [0; 16 << 10]);
    loop {
        let length = stream.read(&mut part).expect("an answer");
        answer.extend_from_slice(&part[..length]);
        let over = end.is_some_and(|end| String::from_utf8_lossy(&answer).contains(end));
        if length == 0 || over {
            return answer;
        }
    }
}

/// What every command prints that is given the secrets, or asks who has them.
fn commands(system: &System) -> Vec<Output> {
    let case = system.case;
    let state = system.gateway.state().display().to_string();
    let manifests = system.gateway.manifests().display().to_string();
    let flags: Vec<_> =
        case.example().secret_flags().into_iter().flat_map(|flag| ["--secret".to_owned(), flag]).collect();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let Served { host, path, .. } = case.served[0];
    let url = format!("https://{host}{path}{}key={OWN}", if path.contains('?') { '&' } else { '?' });
    let note = format!("x-note: {}", system.noted(&case.served[0], FIRST));
    let own = format!("authorization: Bearer {OWN}");
    let request = ["-H", &note, "-H", &own, "POST", &url];
    let validate = [&["validate"], &flags[..]].concat();
    let explain = [&["explain", "--manifests", &manifests], &flags[..]].concat();
    let name = case.rotated.0;
    [
        (vec!["status", "--state-dir", &state], "GATEWAY"),
        (vec!["status", "--state-dir", &state, "--json"], "gateways"),
        ([&validate[..], &[&manifests]].concat(), "no problem"),
        ([&validate[..], &["--json", &manifests]].concat(), "problems"),
        ([&explain[..], &request[..]].concat(), host),
        ([&explain[..], &["--json"], &request[..]].concat(), "verdict"),
        (vec!["secret", "set", name, "--from-env", "not a key", "--state-dir", &state], "error"),
        (vec!["run", "--print-manifests"], "keyward"),
    ]
    .into_iter()
    .map(|(words, telling)| {
        let ended = system.command(&words, FIRST).output().expect("keyward starts");
        Output::new(format!("keyward {}", words[..2].join(" ")), both(&ended), telling)
    })
    .collect()
}

/// Standard output and standard error.
pub(crate) fn both(ended: &Ended) -> Vec<u8> {
    [&ended.stdout[..], &ended.stderr].concat()
}

/// Files of the state directory but those that hold keys.
fn files(system: &System) -> Vec<Output> {
    let state = system.gateway.state();
    let files = files_under(state).into_iter().filter(|path| path.is_file() && !holds_key(path));
    let content = |path: &Path| std::fs::read(path).expect("a file");
    let outputs: Vec<_> =
        files.map(|path| Output { name: path.display().to_string(), bytes: content(&path) }).collect();
    for name in ["overlay.json", "bootstrap.json", "ca.crt", ".wasm"] {
        assert!(outputs.iter().any(|output| output.name.ends_with(name)), "no {name} among the files");
    }
    outputs
}
