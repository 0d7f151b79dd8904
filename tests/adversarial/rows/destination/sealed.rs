//! D10: a sealed value that was moved, cut or changed on its way into Envoy. It does not open; its neighbours serve.

use std::net::SocketAddr;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::client::{Agent, Http, Way};
use harness::gateway::HOST;
use harness::process::Process;
use harness::provider::Authority;
use harness::scenario::KEY;
use harness::sealed::{KEYRING, sealed, worked_example};
use harness::{admin, artefacts};
use policy::wire::{Config, Outcome};

use crate::row::{ONCE, Row};
use crate::stage::Stage;
use crate::wire::Request;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "D10.moved",
            "sealed values of other rules, hosts and gateways, cut, changed, of unknown keys: none opens, others serve",
            ONCE,
            moved,
        )
        .only_keyward("speaks of Keyward's sealed values"),
    ]
}

/// A rule for an endpoint each, every value sealed for its own.
fn example(paths: &[&str], change: fn(&mut Config)) -> Config {
    let mut config = worked_example("");
    config.endpoints = paths.iter().map(|path| vec![(*path).to_owned()]).collect();
    let rule = config.rules.remove(0);
    config.rules = (0..)
        .zip(paths)
        .map(|(index, _)| policy::wire::Rule { endpoints: Some(index), ..rule.clone() })
        .collect();
    change(&mut config);
    sealed(config, KEY)
}

fn value(config: &mut Config, rule: usize) -> &mut String {
    let Outcome::Inject(injections) = &mut config.rules[rule].then else { panic!("no injection") };
    &mut injections[0].sealed
}

/// What becomes of the value of a rule.
type Attack = fn(&mut String);

const PATHS: [&str; 9] = [
    "/v1/messages",
    "/v1/another-rule",
    "/v1/another-host",
    "/v1/another-gateway",
    "/v1/cut",
    "/v1/bit",
    "/v1/unknown-key",
    "/v1/format",
    "/v1/complete",
];

/// The first and the last rule are left alone.
fn attacked() -> Config {
    let mut config = example(&PATHS, |_| {});
    let mut another_host = example(&PATHS, |config| {
        config.rules.iter_mut().for_each(|rule| rule.hosts = vec!["other.example".to_owned()]);
    });
    let mut another_gateway = example(&PATHS, |config| config.gateway = "default/another".to_owned());
    *value(&mut config, 1) = value(&mut config, 0).clone();
    *value(&mut config, 2) = value(&mut another_host, 2).clone();
    *value(&mut config, 3) = value(&mut another_gateway, 3).clone();
    let changes: [(usize, Attack); 4] = [
        (4, |text| text.truncate(text.len() - 1)),
        (5, |text| text.replace_range(10..11, if &text[10..11] == "A" { "B" } else { "A" })),
        (6, |text| *text = text.replacen("kw1.k1.", "kw1.k2.", 1)),
        (7, |text| *text = text.replacen("kw1.", "kw9.", 1)),
    ];
    changes.into_iter().for_each(|(rule, change)| change(value(&mut config, rule)));
    config
}

/// A plain Envoy with this configuration; `folder` holds its files.
async fn envoy(stage: &Stage, folder: &std::path::Path, config: &Config) -> (Process, SocketAddr, String) {
    let agents = Authority::new("the agent's side");
    let (certificate, key) = agents.leaf(&[HOST.to_owned()]);
    std::fs::create_dir(folder.join("certs")).expect("a folder");
    let filter = STANDARD.encode(serde_json::to_vec(config).expect("a configuration is JSON"));
    let template = artefacts::root().join("envoy-config/static/envoy.yaml.in");
    let template = std::fs::read_to_string(template).expect("the static configuration");
    let admin = folder.join("admin.sock");
    let text = template
        .replace("port_value: 8443", "port_value: 0")
        .replace("filename: keyward.wasm", &format!("filename: {}", artefacts::module().display()))
        .replace("@FILTER@", &filter);
    for (name, text) in [
        ("certs/agent.pem", certificate.pem()),
        ("certs/agent.key", key.serialize_pem()),
        ("certs/upstream-ca.pem", stage.world.ca().to_owned()),
        ("envoy.yaml", format!("{text}admin: {{address: {{pipe: {{path: {}}}}}}}\n", admin.display())),
    ] {
        std::fs::write(folder.join(name), text).expect("a file");
    }
    let mut command = Command::new(artefacts::envoy());
    command.args(["-c", "envoy.yaml", "--disable-hot-restart", "--concurrency", "1"]).current_dir(folder);
    let mut process = Process::spawn({
        command.env("KEYWARD_KEYRING", KEYRING);
        command
    });
    let port = admin::port(&admin, &mut process).await;
    (process, SocketAddr::from(([127, 0, 0, 1], port)), agents.pem().to_owned())
}

async fn moved(stage: Stage) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (_envoy, address, ca) = envoy(&stage, folder.path(), &attacked()).await;
    let agent = Agent::new(Way::Direct(address), Http::One, HOST, &ca).sni(Some(HOST));
    for (number, path) in PATHS.into_iter().enumerate() {
        let reply = stage.send(&agent, &Request::messages().path(path)).await;
        if [0, PATHS.len() - 1].contains(&number) {
            assert!(reply.answered().is_some_and(|answer| answer.reason().is_empty()), "{path}: {reply:?}");
            assert_eq!(stage.world.anthropic.only_request().values("x-api-key"), [KEY], "{path}");
            stage.world.anthropic.forget();
        } else {
            stage.refused(&reply, 503, "credential_unavailable");
        }
    }
    stage.nothing_upstream().await;
}
