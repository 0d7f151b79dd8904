//! The host that runs the module in tests keeps Envoy's rules: one probe module, run in both, must log the same.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::artefacts;
use harness::client::plain;
use harness::process::Process;
use harness::wasm_host::{Action, Code, Headers, Vm};
use serde_json::{Value, json};

fn probe() -> Vec<u8> {
    wat::parse_str(include_str!("../src/probe.wat")).expect("the probe assembles")
}

/// What the probe logs in our host: once for a request that passes, once for one that it answers itself.
fn in_our_host(reply: bool) -> Vec<String> {
    let mut vm = Vm::start(&Code::new(&probe()).unwrap(), &[]).unwrap();
    let root = vm.configure(b"").unwrap().expect("the probe takes any configuration");
    let stream = vm.stream(root, &[]).unwrap();
    let mut lines = vec![(":method", "GET"), (":path", "/"), ("x-there", "1")];
    if reply {
        lines.push(("x-reply", "1"));
    }
    let action = vm.request_headers(stream, Headers::new(&lines), true).unwrap();
    assert_eq!(matches!(action, Action::Reply(_)), reply);
    vm.response_headers(stream, Headers::new(&[(":status", "200")]), false).unwrap();
    vm.finish(stream).unwrap();
    vm.logs().iter().map(|(_, text)| text.clone()).collect()
}

/// A listener with the probe, and a route that answers by itself.
fn configuration(admin: &Path, module: &Path) -> String {
    let typed = |name: &str, kind: &str, mut fields: Value| {
        fields["@type"] = format!("type.googleapis.com/{kind}").into();
        json!({"name": name, "typed_config": fields})
    };
    let vm = json!({"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": module}}});
    let wasm = json!({"config": {"name": "probe", "root_id": "probe", "vm_config": vm}});
    let route = json!({"match": {"prefix": "/"}, "direct_response": {"status": 200}});
    let manager = json!({
        "stat_prefix": "probe",
        "http_filters": [
            typed("probe", "envoy.extensions.filters.http.wasm.v3.Wasm", wasm),
            typed("router", "envoy.extensions.filters.http.router.v3.Router", json!({})),
        ],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    });
    let kind = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    json!({
        "admin": {"address": {"pipe": {"path": admin}}},
        "static_resources": {"listeners": [{
            "name": "probe",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
            "filter_chains": [{"filters": [typed("manager", kind, manager)]}],
        }]},
    })
    .to_string()
}

/// The port that Envoy chose, once it listens.
fn port_of(admin: &Path) -> u16 {
    use std::io::{Read as _, Write as _};
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let mut answer = String::new();
        if let Ok(mut stream) = UnixStream::connect(admin) {
            stream
                .write_all(b"GET /listeners?format=json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                .unwrap();
            stream.read_to_string(&mut answer).unwrap();
        }
        let port = answer.split("\"port_value\":").nth(1).and_then(|rest| {
            let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok().filter(|port| *port != 0)
        });
        match port {
            Some(port) => return port,
            None => assert!(Instant::now() < end, "Envoy does not listen"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the probe logs in Envoy.
async fn in_envoy(reply: bool) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (admin, module) = (folder.path().join("admin.sock"), folder.path().join("probe.wasm"));
    std::fs::write(&module, probe()).unwrap();
    let mut command = Command::new(artefacts::envoy());
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "info", "--config-yaml"]);
    command.arg(configuration(&admin, &module));
    let mut envoy = Process::spawn(command);
    let port = port_of(&admin);
    let extra = if reply { "x-reply: 1\r\n" } else { "" };
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nx-there: 1\r\n{extra}\r\n");
    let answer = plain(([127, 0, 0, 1], port).into(), request.as_bytes()).await.unwrap();
    assert_eq!(answer.status, if reply { 418 } else { 200 });
    let logged = || {
        let lines = envoy.errors();
        let texts = lines
            .iter()
            .filter_map(|line| line.find(": probe ").map(|at| line[at + 2..].trim_end().to_owned()));
        texts.collect::<Vec<_>>()
    };
    let end = Instant::now() + Duration::from_secs(5);
    while !logged().iter().any(|line| line.starts_with("probe X")) && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let logged = logged();
    envoy.stop();
    logged
}

#[tokio::test]
async fn our_host_answers_each_call_in_each_phase_as_envoy_does() {
    for reply in [false, true] {
        let (ours, envoys) = (in_our_host(reply), in_envoy(reply).await);
        assert!(envoys.len() >= 5, "{envoys:?}");
        assert_eq!(ours, envoys, "with a reply of the module's own: {reply}");
    }
}

#[test]
fn after_continue_every_call_on_the_request_fails_and_its_map_reads_as_empty() {
    let lines = in_our_host(false);
    let after =
        lines.iter().find(|line| line.starts_with("probe A ")).expect("the phase of response headers");
    assert!(after.starts_with("probe A 022222 "), "{after}");
}
