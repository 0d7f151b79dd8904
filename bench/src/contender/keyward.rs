//! Keyward as a contender: `keyward dev` on the worked example, pointed at the provider of the benchmarks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::artefacts;
use harness::gateway::Manifests;
use harness::google::{Account, Key};
use serde_json::{Value, json};

use super::{
    ACCESS_KEY_ID, Contender, HOST, KEY, Kind, Parts, REGION, SECRET_ACCESS_KEY, SERVICE, Told,
    envoy_with_workers,
};
use crate::child::Child;
use crate::upstream::Upstream;

/// Ready within this time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn start(kind: Kind, parts: &Parts, workers: u32, upstream: &Upstream) -> Contender {
    let folder = tempfile::Builder::new().prefix("kwb").tempdir().expect("a temporary directory");
    let [manifests, state] = ["manifests", "state"].map(|name| folder.path().join(name));
    std::fs::create_dir(&manifests).expect("a folder");
    let told = Told::by(kind).await;
    for (name, text) in self::manifests(kind, upstream, told.as_ref()).files() {
        std::fs::write(manifests.join(name), text).expect("a manifest");
    }
    let module = parts.module.clone().unwrap_or_else(|| artefacts::module().to_owned());
    let mut command = Command::new(program(parts));
    command.arg("dev").arg("--manifests").arg(manifests).arg("--state-dir").arg(&state).args([
        "--json",
        "--no-inspect",
        "--no-usage",
    ]);
    command.args(["--listen", "127.0.0.1:0", "--secret", "anthropic-credentials=KEYWARD_BENCH_KEY"]);
    command.arg("--envoy").arg(envoy_with_workers(folder.path(), workers)).arg("--module").arg(module);
    command.env("KEYWARD_BENCH_KEY", KEY);
    let process = Child::spawn(command);
    let (process, line) = tokio::task::spawn_blocking(move || {
        let line = process.first_line(PATIENCE);
        (process, line)
    })
    .await
    .expect("a gateway that gets ready");
    let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a JSON line: {line}"));
    let gateway = &ready["gateways"][0];
    let text = |name: &str| gateway[name].as_str().unwrap_or_else(|| panic!("no {name} in {line}"));
    Contender {
        kind,
        proxy: text("proxy").trim_start_matches("http://").parse().expect("an address"),
        ca: std::fs::read_to_string(text("ca")).expect("the CA of the gateway"),
        envoy: envoy_of(&state),
        admin: admin_of(&state),
        told,
        _process: process,
        _folder: folder,
    }
}

fn program(parts: &Parts) -> PathBuf {
    let beside = || std::env::current_exe().expect("the path of this program").with_file_name("keyward");
    let program = parts.keyward.clone().unwrap_or_else(beside);
    assert!(program.is_file(), "{} is missing: `make bench` builds it", program.display());
    program
}

/// What the policy of the worked example says of its place, and what stands there for another kind.
const PLACE: &str = "secretRef: {name: anthropic-credentials}\n  secretKey: api-key\n  target: Header\n  headerName: x-api-key\n";

fn place(kind: Kind) -> String {
    let query = "secretRef: {name: anthropic-credentials}\n  secretKey: api-key\n  target: QueryParam\n  queryParamName: key\n";
    let own =
        |auth: &str| format!("secretRef: {{name: own}}\n  target: ProviderAuth\n  providerAuth: {auth}\n");
    match kind {
        Kind::Query => query.to_owned(),
        Kind::Token => own("{type: GCPServiceAccount, gcp: {mode: SelfSignedJwt}}"),
        Kind::Signing => own(&format!("{{type: AWSv4, region: {REGION}, service: {SERVICE}}}")),
        _ => PLACE.to_owned(),
    }
}

/// What the worked example says of telemetry, which is that nobody is told.
const OTLP: &str = "otlp: {captureBody: {maxBytes: 65536}}";

fn otlp(kind: Kind, told: Option<&Told>) -> String {
    let Some(told) = told else { return OTLP.to_owned() };
    let bodies = if kind == Kind::TellingBodies { ", captureBody: {}" } else { "" };
    format!("otlp: {{endpoint: '{}'{bodies}}}", told.endpoint())
}

/// The Secret `own`: the keys of an AWS account, and a service account.
fn own_secret() -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own"}, "stringData": {
        "access_key_id": ACCESS_KEY_ID, "secret_access_key": SECRET_ACCESS_KEY,
        "token": Account::robot(Key::One, "https://oauth2.googleapis.com/token").key_file(),
    }})
}

/// The worked example, at this provider.
fn manifests(kind: Kind, upstream: &Upstream, told: Option<&Told>) -> Manifests {
    let line = format!(
        "upstreamTLS: {{additionalTrustBundleSecretRef: {{name: provider-ca}}, hostAliases: [{{ip: 127.0.0.1, hostnames: \
         [{HOST}], port: {}}}]}}",
        upstream.address.port()
    );
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "provider-ca"},
        "stringData": {"ca.crt": upstream.ca}});
    Manifests::worked_example()
        .gateway_spec(&line)
        .replace(PLACE, &place(kind))
        .replace(OTLP, &otlp(kind, told))
        .file("provider-ca.yaml", &secret.to_string())
        .file("own.yaml", &own_secret().to_string())
}

/// The Envoy that this gateway started. Panics when there is none.
fn envoy_of(state: &Path) -> u32 {
    let needle = state.to_str().expect("a path in UTF-8");
    let processes = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
    let is_envoy = |number: &u32| {
        let command = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let text = String::from_utf8_lossy(&command).into_owned();
        text.split('\0').next().is_some_and(|program| program.ends_with("/envoy")) && text.contains(needle)
    };
    numbers.into_iter().find(is_envoy).expect("an Envoy that was started")
}

fn admin_of(state: &Path) -> PathBuf {
    let entries = std::fs::read_dir(state).expect("a state directory").filter_map(Result::ok);
    let sockets = entries.map(|entry| entry.path().join("admin.sock"));
    sockets.into_iter().find(|socket| socket.exists()).expect("an admin socket")
}
