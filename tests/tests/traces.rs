//! The host that runs the module in tests keeps Envoy's rules: call for call what the real Envoy did.
//!
//! `tests/traces/*.json` are recordings of one probe module in Envoy 1.40.0: every callback in order with its
//! arguments, and what each host call in it answered. The host of the tests must give the same, and Envoy, too.
//! `UPDATE_TRACES=1 cargo test -p keyward-tests --test traces envoy` records them again; read the difference before
//! committing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::client::plain;
use harness::process::Process;
use harness::wasm_host::{Action, Code, Headers, Vm};
use harness::{admin, artefacts};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

/// How a request goes, by the header that asks the probe for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    /// It is answered behind the probe.
    Passes,
    /// The probe answers it.
    Replied,
    /// The probe lets it wait until the agent goes away.
    Paused,
}

const COURSES: [(Course, &str); 3] =
    [(Course::Passes, "passes"), (Course::Replied, "replied"), (Course::Paused, "paused")];

/// Plugin configuration of the probe.
const CONFIGURATION: &str = "probe me";

impl Course {
    fn header(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Course::Passes => &[],
            Course::Replied => &[("x-reply", "1")],
            Course::Paused => &[("x-pause", "1")],
        }
    }
}

fn probe() -> Vec<u8> {
    wat::parse_str(include_str!("../src/probe.wat")).expect("the probe assembles")
}

/// The calls that the probe makes in every callback, in its order.
fn calls() -> Vec<String> {
    let map = |map: &str| {
        [
            "all of MAP",
            "x-there of MAP",
            "x-none of MAP",
            "add x-probe to MAP",
            "add x-probe to MAP again",
            "all of MAP with two",
            "replace x-probe in MAP",
            "all of MAP with one",
            "remove x-probe from MAP",
            "remove x-none from MAP",
            "all of MAP at the end",
        ]
        .map(|call| call.replace("MAP", map))
    };
    let others = [
        "property none",
        "property v",
        "set property v",
        "property v once set",
        "property filter_state.wasm.v",
        "plugin configuration",
        "time",
    ];
    [map("request"), map("response")].concat().into_iter().chain(others.map(str::to_owned)).collect()
}

/// A line of the probe as a callback: name, arguments, and each call with status and number.
fn callback(line: &str) -> Value {
    let (head, answers) = line.split_once(" ;").expect("a whole line");
    let mut words = head.split(' ').skip(1);
    let name = words.next().expect("a callback");
    let arguments: Vec<u32> = words.map(|word| word.parse().expect("a number")).collect();
    let answers: Vec<_> = answers.split_whitespace().collect();
    assert_eq!(answers.len(), calls().len(), "{line}");
    let calls = calls().into_iter().zip(answers).map(|(call, answer)| format!("{call}: {answer}"));
    json!({"callback": name, "arguments": arguments, "calls": calls.collect::<Vec<_>>()})
}

/// The callbacks of one root context and one stream. Numbers of contexts differ between hosts and become names;
/// Envoy starts and configures several VMs, which must all have seen the same.
fn trace(lines: &[String]) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for line in lines {
        let mut callback = callback(line);
        let of_root = ["vm_start", "configure"].iter().any(|name| callback["callback"] == *name);
        callback["arguments"][0] = if of_root { "root" } else { "stream" }.into();
        if callback["callback"] == "context_create" {
            callback["arguments"][1] = "root".into();
        }
        if !(of_root && all.contains(&callback)) {
            all.push(callback);
        }
    }
    all
}

/// The request's head as Envoy gives it to the probe.
fn request(course: Course) -> Vec<(&'static str, &'static str)> {
    let pseudo = [(":authority", "a"), (":path", "/"), (":method", "GET"), (":scheme", "http")];
    let rest = [("x-there", "1"), ("x-forwarded-proto", "http")];
    [&pseudo[..], &rest, course.header()].concat()
}

/// What the probe sees in our host.
fn in_our_host(course: Course) -> Vec<Value> {
    let mut vm = Vm::start(&Code::new(&probe()).unwrap(), &[]).unwrap();
    let root = vm.configure(CONFIGURATION.as_bytes()).unwrap().expect("the probe takes any configuration");
    let stream = vm.stream(root, &[]).unwrap();
    let action = vm.request_headers(stream, Headers::new(&request(course)), true).unwrap();
    let status = match (course, action) {
        (Course::Passes, Action::Continue) => Some("200"),
        (Course::Replied, Action::Reply(_)) => Some("418"),
        (Course::Paused, Action::Pause) => None,
        (course, action) => panic!("{course:?}: {action:?}"),
    };
    if let Some(status) = status {
        vm.response_headers(stream, Headers::new(&[(":status", status)]), true).unwrap();
    }
    vm.finish(stream).unwrap();
    trace(&vm.logs().iter().map(|(_, text)| text.clone()).collect::<Vec<_>>())
}

/// A listener with the probe, and a route that answers by itself.
fn configuration(admin: &Path, module: &Path) -> String {
    let typed = |name: &str, kind: &str, mut fields: Value| {
        fields["@type"] = format!("type.googleapis.com/{kind}").into();
        json!({"name": name, "typed_config": fields})
    };
    let vm = json!({"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": module}}});
    let given = json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": CONFIGURATION});
    let wasm =
        json!({"config": {"name": "probe", "root_id": "probe", "vm_config": vm, "configuration": given}});
    let route = json!({"match": {"prefix": "/"}, "direct_response": {"status": 200}});
    let manager = json!({
        "stat_prefix": "probe",
        "generate_request_id": false,
        // As in every configuration of ours.
        "server_header_transformation": "PASS_THROUGH",
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

/// The lines of the probe in Envoy's log so far.
fn logged(envoy: &Process) -> Vec<String> {
    let line = |line: &String| Some(line[line.find(": probe ")? + 2..].trim_end().to_owned());
    envoy.errors().iter().filter_map(line).collect()
}

async fn wait_for(envoy: &Process, callback: &str) {
    let start = format!("probe {callback} ");
    let end = Instant::now() + Duration::from_secs(30);
    while !logged(envoy).iter().any(|line| line.starts_with(&start)) {
        assert!(Instant::now() < end, "no {callback}: {:?}", logged(envoy));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the probe sees in Envoy.
async fn in_envoy(course: Course) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let (socket, module) = (folder.path().join("admin.sock"), folder.path().join("probe.wasm"));
    std::fs::write(&module, probe()).unwrap();
    let mut command = Command::new(artefacts::envoy());
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "info", "--config-yaml"]);
    command.arg(configuration(&socket, &module));
    let mut envoy = Process::spawn(command);
    let address = ([127, 0, 0, 1], admin::port(&socket, &mut envoy).await).into();
    let headers = course.header().iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nx-there: 1\r\n{}\r\n", headers.collect::<String>());
    match course {
        Course::Passes => assert_eq!(plain(address, request.as_bytes()).await.unwrap().status, 200),
        Course::Replied => assert_eq!(plain(address, request.as_bytes()).await.unwrap().status, 418),
        Course::Paused => {
            let mut agent = tokio::net::TcpStream::connect(address).await.unwrap();
            agent.write_all(request.as_bytes()).await.unwrap();
            wait_for(&envoy, "request_headers").await;
        }
    }
    wait_for(&envoy, "delete").await;
    let lines = logged(&envoy);
    envoy.stop();
    trace(&lines)
}

fn file(name: &str) -> PathBuf {
    artefacts::root().join("tests/traces").join(format!("{name}.json"))
}

fn recorded(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(file(name)).unwrap_or_else(|_| panic!("record {name} first"));
    serde_json::from_str(&text).expect("JSON")
}

/// Where two traces part, one line for each difference.
fn differences(ours: &[Value], theirs: &[Value]) -> Vec<String> {
    let order = |all: &[Value]| all.iter().map(|one| one["callback"].to_string()).collect::<Vec<_>>();
    if order(ours) != order(theirs) {
        return vec![format!("callbacks {:?}, recorded {:?}", order(ours), order(theirs))];
    }
    let mut found = Vec::new();
    for (one, other) in ours.iter().zip(theirs) {
        let name = &one["callback"];
        if one["arguments"] != other["arguments"] {
            found.push(format!("{name} got {}, recorded {}", one["arguments"], other["arguments"]));
        }
        for number in 0..calls().len() {
            let (answer, recorded) = (&one["calls"][number], &other["calls"][number]);
            if answer != recorded {
                found.push(format!("{name}: {answer}, recorded {recorded}"));
            }
        }
    }
    found
}

#[test]
fn our_host_answers_each_call_as_recorded() {
    for (course, name) in COURSES {
        let found = differences(&in_our_host(course), &recorded(name));
        assert!(found.is_empty(), "{name}:\n{}", found.join("\n"));
    }
}

#[tokio::test]
async fn envoy_answers_each_call_as_recorded() {
    for (course, name) in COURSES {
        let seen = in_envoy(course).await;
        if std::env::var_os("UPDATE_TRACES").is_some() {
            std::fs::create_dir_all(file(name).parent().unwrap()).unwrap();
            std::fs::write(file(name), serde_json::to_string_pretty(&seen).unwrap() + "\n").unwrap();
        }
        let found = differences(&seen, &recorded(name));
        assert!(found.is_empty(), "{name}:\n{}", found.join("\n"));
    }
}

/// What the recording says of this call in this callback: `STATUS:NUMBER`.
#[track_caller]
fn answer(course: &str, callback: &str, call: &str) -> String {
    let all = recorded(course);
    let one = all.iter().find(|one| one["callback"] == callback).expect(callback);
    let answers = one["calls"].as_array().unwrap().iter().filter_map(Value::as_str);
    let mut answers = answers.filter_map(|line| line.strip_prefix(&format!("{call}: ")));
    answers.next().expect(call).to_owned()
}

/// The rules that the filter is written for; a recording that says otherwise asks for another filter.
#[test]
fn the_recordings_say_when_headers_can_be_read_and_changed() {
    const FINE: &str = "0:0";
    const FAILS: &str = "2:0";
    for (course, callback, call, expected) in [
        ("passes", "context_create", "replace x-probe in request", FAILS),
        ("passes", "request_headers", "replace x-probe in request", FINE),
        ("passes", "request_headers", "all of request with one", "0:7"),
        ("passes", "request_headers", "replace x-probe in response", FAILS),
        // After Continue.
        ("passes", "response_headers", "all of request", "0:0"),
        ("passes", "response_headers", "x-there of request", FAILS),
        ("passes", "response_headers", "replace x-probe in request", FAILS),
        ("passes", "response_headers", "replace x-probe in response", FINE),
        ("passes", "log", "all of request", "0:6"),
        ("passes", "log", "replace x-probe in request", FAILS),
        ("passes", "done", "all of request", "0:0"),
        ("passes", "done", "set property v", FINE),
        // After an answer of its own, and where it waits, the module keeps the map.
        ("replied", "request_headers_after_reply", "replace x-probe in request", FINE),
        ("replied", "response_headers", "replace x-probe in request", FINE),
        ("replied", "log", "replace x-probe in request", FINE),
        ("replied", "log", "replace x-probe in response", FAILS),
        ("paused", "log", "replace x-probe in request", FINE),
        ("passes", "configure", "plugin configuration", "0:8"),
        ("passes", "request_headers", "plugin configuration", "1:0"),
    ] {
        assert_eq!(answer(course, callback, call), expected, "{course} {callback} {call}");
    }
}
