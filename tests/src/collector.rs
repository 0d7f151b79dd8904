//! A real OpenTelemetry Collector, which decodes what it is sent and writes it into a file.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::artefacts::tool;
use crate::ports;
use crate::process::Process;

/// How long it may take to start, or until it has what was sent.
const PATIENCE: Duration = Duration::from_secs(30);

/// A collector on a port of its own.
pub struct Collector {
    folder: tempfile::TempDir,
    port: u16,
    /// Where it says what it counts, of one that keeps nothing.
    counts: Option<u16>,
    process: Process,
}

impl Collector {
    /// Starts one and waits until it listens. Panics when it does not.
    pub async fn start() -> Collector {
        Collector::start_at(ports::free()).await
    }

    /// The same, on this port.
    pub async fn start_at(port: u16) -> Collector {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("traces.jsonl");
        Collector::run(folder, port, &file, None).await
    }

    /// One on this port that decodes what it is sent, keeps nothing of it, and counts it ([`Collector::received`]).
    pub async fn counting_at(port: u16) -> Collector {
        let folder = tempfile::tempdir().expect("a temporary directory");
        Collector::run(folder, port, Path::new("/dev/null"), Some(ports::free())).await
    }

    async fn run(folder: tempfile::TempDir, port: u16, file: &Path, counts: Option<u16>) -> Collector {
        let metrics = match counts {
            None => json!({"level": "none"}),
            Some(port) => {
                let prometheus = json!({"host": "127.0.0.1", "port": port});
                json!({"level": "basic", "readers": [{"pull": {"exporter": {"prometheus": prometheus}}}]})
            }
        };
        let configuration = json!({
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": format!("127.0.0.1:{port}")}}}},
            "exporters": {"file": {"path": file, "flush_interval": "50ms"}},
            "service": {
                "telemetry": {"metrics": metrics},
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
            },
        });
        // JSON is YAML.
        let path = folder.path().join("collector.yaml");
        std::fs::write(&path, configuration.to_string()).expect("a file");
        // One that only counts is beside what is measured, as it would be on a machine of its own: it takes what is left.
        let mut command = Command::new("nice");
        command.arg("-n").arg(if counts.is_some() { "19" } else { "0" }).arg(tool("bin/collector"));
        command.arg(format!("--config=file:{}", path.display()));
        let mut collector = Collector { folder, port, counts, process: Process::spawn(command) };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let waits = !collector.process.is_over() && started.elapsed() < PATIENCE;
            assert!(waits, "no collector: {}", collector.process.errors().join("\n"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        collector
    }

    /// What `spec.otlp.endpoint` names.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many spans it has taken so far, by its own count. Panics when it is not one that counts.
    #[must_use]
    pub fn received(&self) -> u64 {
        const NAME: &str = "otelcol_receiver_accepted_spans";
        let port = self.counts.expect("a collector that counts");
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("its metrics");
        let request = "GET /metrics HTTP/1.0\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("an open connection");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("its metrics");
        let line = answer.lines().find(|line| line.starts_with(NAME));
        // There is no such line before the first span.
        line.map_or(0, |line| {
            let count = line.rsplit(' ').next().and_then(|count| count.parse().ok());
            count.unwrap_or_else(|| panic!("no count in {line:?}"))
        })
    }

    /// The spans that it has taken, in the order in which they began: every worker sends its own.
    #[must_use]
    pub fn spans(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.file()).unwrap_or_default();
        // A line that is being written has no end yet.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let exports = lines.map(|line| serde_json::from_str::<Value>(line).expect("OTLP in JSON"));
        let mut spans: Vec<_> = exports.flat_map(|export| spans_of(&export)).collect();
        spans
            .sort_by_key(|span| span["startTimeUnixNano"].as_str().and_then(|time| time.parse::<u64>().ok()));
        spans
    }

    /// The same, once there are so many. Panics when they do not come.
    pub async fn wait_for(&self, count: usize) -> Vec<Value> {
        let started = Instant::now();
        loop {
            let spans = self.spans();
            if spans.len() >= count {
                return spans;
            }
            assert!(started.elapsed() < PATIENCE, "{} spans of {count}", spans.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("traces.jsonl")
    }
}

/// The spans of an export, each with the attributes of its resource under `resource`.
fn spans_of(export: &Value) -> Vec<Value> {
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let mut spans = Vec::new();
    for of_resource in list(export, "resourceSpans") {
        for of_scope in list(&of_resource, "scopeSpans") {
            for mut span in list(&of_scope, "spans") {
                span["resource"] = of_resource["resource"].clone();
                spans.push(span);
            }
        }
    }
    spans
}

/// The value of an attribute, of a span or of an event of it: text, or whatever JSON has for it.
#[must_use]
pub fn attribute(of: &Value, key: &str) -> Option<Value> {
    let attributes = of["attributes"].as_array()?;
    let value = &attributes.iter().find(|attribute| attribute["key"] == key)?["value"];
    Some(plain(value))
}

/// OTLP's JSON says a value's type as its only member.
fn plain(value: &Value) -> Value {
    let Some((kind, inside)) = value.as_object().and_then(|object| object.iter().next()) else {
        return Value::Null;
    };
    match (kind.as_str(), inside) {
        ("intValue", Value::String(digits)) => digits.parse::<i64>().map_or(Value::Null, Value::from),
        ("arrayValue", list) => list["values"].as_array().into_iter().flatten().map(plain).collect(),
        (_, inside) => inside.clone(),
    }
}
