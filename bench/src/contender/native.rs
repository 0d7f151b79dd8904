//! A contender without Keyward: a gateway's own configuration with other filters, in an Envoy of its own.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::provider::Authority;
use harness::{admin, artefacts};
use serde_json::Value;

use super::dump::{Dump, Stand};
use super::{Contender, HOST, Kind, chain};
use crate::child::Child;
use crate::upstream::Upstream;

/// Listens within this time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn start(kind: Kind, dump: &Dump, workers: u32, upstream: &Upstream) -> Contender {
    let folder = tempfile::Builder::new().prefix("kwb").tempdir().expect("a temporary directory");
    let authority = Authority::new("interception without Keyward");
    let socket = folder.path().join("admin.sock");
    let bootstrap = bootstrap(kind, dump, &authority, upstream, folder.path());
    let file = write(folder.path(), "bootstrap.json", &bootstrap.to_string());
    let mut command = Command::new(artefacts::envoy());
    // As Keyward starts its own.
    command.arg("--config-path").arg(file).args(["--log-level", "info", "--log-format", "%l %n %v"]);
    command.args(["--file-flush-interval-msec", "50", "--disable-hot-restart"]);
    command.args(["--concurrency", &workers.to_string()]).env_clear();
    let mut process = Child::spawn(command);
    let port = port(&socket, &mut process).await;
    Contender {
        kind,
        proxy: ([127, 0, 0, 1], port).into(),
        ca: authority.pem().to_owned(),
        envoy: process.id(),
        admin: socket,
        told: None,
        _process: process,
        _folder: folder,
    }
}

fn bootstrap(kind: Kind, dump: &Dump, authority: &Authority, upstream: &Upstream, folder: &Path) -> Value {
    let (certificate, key) = authority.leaf(&[HOST.to_owned(), "*.bench.example".to_owned()]);
    let certificate = write(folder, "leaf.pem", &certificate.pem());
    let key = write(folder, "leaf.key", &key.serialize_pem());
    let trust = write(folder, "upstreams.pem", &upstream.ca);
    let stand = Stand { filters: &chain::filters(kind, folder), leaf: [&certificate, &key], trust: &trust };
    let mut bootstrap = dump.bootstrap(&folder.join("admin.sock"), &stand);
    bootstrap["static_resources"]["secrets"] = chain::secrets();
    bootstrap
}

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file");
    path
}

/// The port of its proxy listener. Panics with what Envoy wrote when it does not listen.
async fn port(socket: &Path, process: &mut Child) -> u16 {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = admin::ask(socket, "/listeners?format=json").unwrap_or_default();
        let named = answer.split("\"port_value\":").nth(1).map(str::trim_start);
        match named.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()) {
            Some(port) if port != 0 => return port,
            _ if process.is_over() || Instant::now() > end => {
                panic!("Envoy does not listen: {}", process.errors())
            }
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
