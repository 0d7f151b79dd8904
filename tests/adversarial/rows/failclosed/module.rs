//! F2: the module is missing, garbage, or refuses its first configuration: the gateway never runs without it.

use std::time::{Duration, Instant};

use harness::client::{Agent, Http, Way};
use harness::gateway::HOST;

use super::request;
use crate::row::{ONCE, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::subject::keyward;
use crate::wire::Request;

pub(super) fn rows() -> Vec<Row> {
    let speaks = "speaks of Keyward's module";
    vec![
        Row::new(
            "F2.missing",
            "the module is missing or unreadable: nothing starts, and it is named",
            ONCE,
            missing,
        )
        .only_keyward(speaks),
        Row::new("F2.garbage", "the module is garbage: nothing starts, and it is named", ONCE, garbage)
            .only_keyward(speaks),
        Row::new(
            "F2.first",
            "the module loads and refuses or traps on its first configuration: nothing is ever served",
            ONCE,
            first,
        )
        .slow()
        .only_keyward(speaks),
    ]
}

/// Where the proxy and transparent ports would be. Not free ones: the second gateway comes back to the ports of the
/// first, and a free port could be another row's by then. The network is the suite's own, and these lie below what it
/// gives out as free.
const PORTS: [&str; 2] = ["127.0.0.1:3801", "127.0.0.1:3802"];

/// Starts a gateway with this module, and asks for as long as it lives or `patience` lasts; nothing may be served.
/// Returns what it wrote, and its exit code where it ended.
async fn never_serves(stage: &Stage, module: &std::path::Path, patience: Duration) -> (String, Option<i32>) {
    // One that works first: it leaves the CA that agents trust, and proves that these ports would serve.
    let state = tempfile::tempdir().expect("a temporary directory");
    let builder = || {
        let scenario = Scenario::default();
        keyward::builder(&scenario).state(state.path()).proxy_at(PORTS[0]).transparent_at(PORTS[1])
    };
    let working = builder().start().await;
    let agents = agents(&working.ca());
    for agent in &agents {
        assert_eq!(stage.send(agent, &request()).await.status(), 200, "the control");
    }
    drop(working);
    stage.world.anthropic.forget();
    let mut gateway = builder().module(module).spawn().await;
    let (begin, mut code) = (Instant::now(), None);
    while begin.elapsed() < patience && code.is_none() {
        for agent in &agents {
            let reply = stage.send(agent, &Request::messages()).await;
            assert!(reply.is_refusal(), "{}: served: {reply:?}", module.display());
        }
        stage.nothing_upstream().await;
        if gateway.processes().is_empty() {
            code = gateway.ended().await;
        }
    }
    (gateway.errors().join("\n"), code)
}

fn agents(ca: &str) -> Vec<Agent> {
    let address = |port: &str| port.parse().expect("an address");
    let ways = [Way::Proxy(address(PORTS[0]), format!("{HOST}:443")), Way::Direct(address(PORTS[1]))];
    let agents = ways.iter().flat_map(|way| [Http::One, Http::Two].map(|http| (way, http)));
    agents.map(|(way, http)| Agent::new(way.clone(), http, HOST, ca)).collect()
}

/// Ends soon, with code 1, naming the file.
async fn ends_by_itself(stage: &Stage, module: &std::path::Path) {
    let (errors, code) = never_serves(stage, module, Duration::from_secs(20)).await;
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains(&module.display().to_string()), "the module is not named: {errors}");
}

async fn missing(stage: Stage) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    ends_by_itself(&stage, &folder.path().join("absent.wasm")).await;
    ends_by_itself(&stage, folder.path()).await;
}

async fn garbage(stage: Stage) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let whole = std::fs::read(harness::artefacts::module()).expect("the module");
    let garbage: [(&str, Vec<u8>); 5] = [
        ("empty.wasm", Vec::new()),
        ("magic.wasm", b"\0asm\x01\0\0\0".to_vec()),
        ("elf.wasm", std::fs::read("/bin/true").expect("a program")),
        ("cut.wasm", whole[..whole.len() / 2].to_vec()),
        ("zeros.wasm", vec![0; 1 << 20]),
    ];
    for (name, bytes) in garbage {
        let module = folder.path().join(name);
        std::fs::write(&module, bytes).expect("a file");
        ends_by_itself(&stage, &module).await;
    }
}

/// A module that calls itself one of ours; what it does when it is configured is given.
fn pretender(section: &str, configure: &str) -> String {
    format!(
        r#"(module {section}
            (memory (export "memory") 1)
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) (i32.const 1024))
            (func (export "proxy_on_context_create") (param i32 i32))
            (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
            (func (export "proxy_on_configure") (param i32 i32) (result i32) {configure}))"#
    )
}

async fn first(stage: Stage) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let section = r#"(@custom "keyward.config_versions" "[1]")"#;
    let modules = [
        ("refuses.wasm", pretender(section, "(i32.const 0)")),
        ("traps.wasm", pretender(section, "unreachable")),
        ("foreign.wasm", format!("(module {section})")),
    ];
    for (name, text) in modules {
        let module = folder.path().join(name);
        std::fs::write(&module, wat::parse_str(text).expect("a module")).expect("a file");
        let (errors, code) = never_serves(&stage, &module, Duration::from_secs(10)).await;
        assert_ne!(code, Some(0), "{name}: {errors}");
    }
}
