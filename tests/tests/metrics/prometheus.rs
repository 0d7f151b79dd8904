//! A real Prometheus with the scrape configuration and the rules of this clone, and `promtool`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::artefacts::{root, tool};
use harness::process::Process;
use serde_json::Value;

use super::scrape::get;

/// A running Prometheus. Dropping it ends it.
pub(crate) struct Prometheus {
    _process: Process,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it on this endpoint of Keyward's, fifteen times as eager as the configuration says.
    pub(crate) async fn start(keyward: SocketAddr) -> Prometheus {
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read_to_string(root().join("monitoring").join(name)).unwrap();
        let configuration = replace(&read("prometheus.yml"), "127.0.0.1:9464", &keyward.to_string(), 3);
        let configuration = replace(&configuration, "_interval: 15s", "_interval: 1s", 2);
        let configuration = replace(&configuration, "_interval: 30s", "_interval: 1s", 1);
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, configuration).unwrap();
        std::fs::write(folder.path().join("alerts.yml"), read("alerts.yml")).unwrap();
        let mut command = Command::new(tool("prometheus/bin/prometheus"));
        command.arg("--config.file").arg(file);
        command.arg("--storage.tsdb.path").arg(folder.path().join("data"));
        command.arg("--web.listen-address=127.0.0.1:0").env("GOMAXPROCS", "1");
        let mut process = Process::spawn(command);
        let address = listening(&mut process).await;
        let prometheus = Prometheus { _process: process, address, _folder: folder };
        let end = Instant::now() + super::PATIENCE;
        while get(address, "/-/ready").await.status != 200 {
            assert!(Instant::now() < end, "Prometheus is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        prometheus
    }

    /// What its API says at a path.
    pub(crate) async fn ask(&self, path: &str) -> Value {
        let answer = get(self.address, path).await;
        let value: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        assert_eq!(value["status"], "success", "{path}: {}", answer.body);
        value["data"].clone()
    }

    /// The series that an expression comes to. Panics where it is none.
    pub(crate) async fn query(&self, expression: &str) -> Vec<Value> {
        let encoded: String = form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let data = self.ask(&format!("/api/v1/query?query={encoded}")).await;
        data["result"].as_array().unwrap_or_else(|| panic!("{expression}: {data}")).clone()
    }

    /// Waits until an expression comes to something.
    pub(crate) async fn until(&self, expression: &str) {
        let end = Instant::now() + super::PATIENCE;
        while self.query(expression).await.is_empty() {
            assert!(Instant::now() < end, "nothing comes of {expression}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The names of all metrics that it has seen.
    pub(crate) async fn names(&self) -> BTreeSet<String> {
        let names = self.ask("/api/v1/label/__name__/values").await;
        names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }
}

/// Runs `promtool` in the folder of the rules; what it says.
pub(crate) fn promtool(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(tool("prometheus/bin/promtool"));
    let output = command.args(arguments).current_dir(root().join("monitoring")).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

#[track_caller]
fn replace(text: &str, old: &str, new: &str, times: usize) -> String {
    assert_eq!(text.matches(old).count(), times, "{old} in the configuration");
    text.replace(old, new)
}

async fn listening(process: &mut Process) -> SocketAddr {
    let end = Instant::now() + super::PATIENCE;
    loop {
        let lines = process.errors();
        let line = lines.iter().find(|line| line.contains("msg=\"Listening on\""));
        if let Some((_, address)) = line.and_then(|line| line.rsplit_once("address=")) {
            return address.trim().parse().expect("an address");
        }
        let over = process.is_over() || Instant::now() > end;
        assert!(!over, "Prometheus does not listen:\n{}", lines.join("\n"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What `promtool check metrics` says of an exposition.
pub(crate) fn promtool_on(exposition: &str) -> Result<(), String> {
    let mut command = Command::new(tool("prometheus/bin/promtool"));
    command.args(["check", "metrics"]).stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(exposition.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() && said.is_empty() { Ok(()) } else { Err(said) }
}
