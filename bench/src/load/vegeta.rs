//! One attack of `vegeta` through a contender's proxy port: requests at a fixed rate, whether answers come or not.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use harness::artefacts;
use harness::client::Http;
use serde_json::Value;
use tokio::process::Command;

use super::{BODY, HEADERS, PATH};
use crate::contender::{Contender, HOST};

/// How many requests there were in one attack, and their latencies in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attack {
    pub(crate) requests: u32,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Sends `rate` requests a second for this long. Panics when one is not answered with 200.
pub(crate) async fn attack(contender: &Contender, http: Http, rate: u32, duration: Duration) -> Attack {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let (ca, body) = (file("ca.pem", &contender.ca), file("body.json", BODY));
    let targets = file("targets", &target(&body));
    let results = folder.path().join("results");
    let mut command = vegeta("attack");
    command
        .arg("-rate")
        .arg(format!("{rate}/1s"))
        .arg("-duration")
        .arg(format!("{}ms", duration.as_millis()));
    command.arg(format!("-http2={}", http == Http::Two)).args(["-timeout", "10s", "-connections", "8"]);
    command.arg("-root-certs").arg(ca).arg("-targets").arg(targets).arg("-output").arg(&results);
    command.env("HTTPS_PROXY", format!("http://{}", contender.proxy));
    output(command).await;
    let mut command = vegeta("report");
    command.args(["-type", "json"]).arg(&results);
    parse(&output(command).await)
}

fn vegeta(what: &str) -> Command {
    let mut command = Command::new(artefacts::tool("bin/vegeta"));
    command.arg(what).stdin(Stdio::null()).kill_on_drop(true).env_clear();
    command
}

async fn output(mut command: Command) -> Vec<u8> {
    let output = command.output().await.expect("vegeta starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A target in vegeta's format: request line, headers, the body's file.
fn target(body: &Path) -> String {
    let headers: String = HEADERS.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    format!("POST https://{HOST}{PATH}\n{headers}@{}\n", body.display())
}

fn parse(report: &[u8]) -> Attack {
    let report: Value = serde_json::from_slice(report).expect("a report in JSON");
    let codes = report["status_codes"].as_object().expect("status codes");
    assert!(codes.len() == 1 && codes.contains_key("200"), "{codes:?} {}", report["errors"]);
    let milliseconds = |name: &str| report["latencies"][name].as_f64().expect("nanoseconds") / 1e6;
    let requests = report["requests"].as_u64().and_then(|count| u32::try_from(count).ok()).expect("a count");
    Attack { requests, p50: milliseconds("50th"), p99: milliseconds("99th") }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_report_gives_milliseconds() {
        let report = br#"{"requests":7,"latencies":{"50th":1500000,"99th":4000000},"status_codes":{"200":7},"errors":[]}"#;
        let attack = parse(report);
        assert_eq!((attack.p50.to_string(), attack.p99.to_string()), ("1.5".into(), "4".into()));
        assert_eq!(attack.requests, 7);
    }

    #[test]
    #[should_panic(expected = "503")]
    fn an_attack_with_a_refusal_is_no_measurement() {
        let report =
            br#"{"latencies":{"50th":1,"99th":4},"status_codes":{"200":7,"503":1},"errors":["503 Service Unavailable"]}"#;
        let _ = parse(report);
    }
}
