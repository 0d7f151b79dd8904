//! The built module in a host with Envoy's phases: every callback, every failure, every host call counted.

use harness::artefacts;
use harness::scenario::{KEY, PLACEHOLDER};
use harness::sealed::{CONNECTION, FACTS, KEYRING, worked_example};
use harness::wasm_host::{Action, Code, Headers, LocalReply, Root, Stream, Vm};
use policy::metric;
use policy::wire::{AgentSide, CONNECTION_HEADER, Config, ConnectionFacts, Unlisted};
use serde_json::Value;

fn bytes(config: &Config) -> Vec<u8> {
    serde_json::to_vec(config).unwrap()
}

/// A VM with the keyring and this configuration.
fn configured(config: &Config) -> (Vm, Root) {
    let mut vm = Vm::start(Code::built(), &[("KEYWARD_KEYRING", KEYRING)]).unwrap();
    let root = vm.configure(&bytes(config)).unwrap().expect("a configuration that is taken");
    (vm, root)
}

fn head(path: &str, more: &[(&str, &str)]) -> Headers {
    let pseudo =
        [(":authority", "api.anthropic.com"), (":scheme", "https"), (":method", "POST"), (":path", path)];
    Headers::new(&[&pseudo[..], &[("content-type", "application/json")], more].concat())
}

/// Sends one request head through a fresh stream.
fn request(vm: &mut Vm, root: Root, headers: Headers) -> (Stream, Action) {
    let stream = vm.stream(root, &[CONNECTION]).unwrap();
    let action = vm.request_headers(stream, headers, false).unwrap();
    (stream, action)
}

#[track_caller]
fn reply(action: Action) -> LocalReply {
    match action {
        Action::Reply(reply) => reply,
        other => panic!("expected a local reply, not {other:?}"),
    }
}

#[track_caller]
fn assert_refused(action: Action, status: u32, reason: &str) {
    let reply = reply(action);
    assert_eq!((reply.status, reply.headers.values("x-keyward-reason")), (status, vec![reason.to_owned()]));
    let body: Value = serde_json::from_slice(&reply.body).expect("a JSON body");
    assert!(body["error"]["type"].is_string() && body["error"]["message"].is_string(), "{body}");
}

#[test]
fn the_module_is_small_and_needs_little_of_the_system() {
    let size = std::fs::metadata(artefacts::module()).unwrap().len();
    // Signing takes a quarter of it, and what collectors are told a fifth.
    assert!(size <= 1200 * 1024, "{size} bytes");
    // The SDK imports every call of the ABI; the capability class decides which of them the module may make. Of the
    // system it needs its environment, a place to print, a way to abort, and the seed of the hash tables in the library
    // that signs: no clock, files or sockets.
    let imports = Code::built().imports();
    let system: Vec<_> =
        imports.iter().filter_map(|import| import.strip_prefix("wasi_snapshot_preview1.")).collect();
    assert_eq!(system, ["environ_get", "environ_sizes_get", "fd_write", "proc_exit", "random_get"]);
    assert!(
        imports.iter().all(|import| import.starts_with("env.proxy_") || import.starts_with("wasi_")),
        "{imports:?}"
    );
}

#[test]
fn exactly_one_key_leaves_whatever_came() {
    let (mut vm, root) = configured(&worked_example(KEY));
    for more in [
        &[][..],
        &[("x-api-key", PLACEHOLDER)],
        &[("x-api-key", "a"), ("x-api-key", "b"), ("x-api-key", "c")],
        &[("authorization", "Bearer agents-own")],
        &[("cookie", "session=agents-own"), ("x-api-key", "")],
    ] {
        let (stream, action) = request(&mut vm, root, head("/v1/messages", more));
        assert_eq!(action, Action::Continue, "{more:?}");
        assert_eq!(vm.request(stream).values("x-api-key"), [KEY], "{more:?}");
        for name in ["authorization", "cookie"] {
            assert!(vm.request(stream).values(name).is_empty(), "{more:?}: {name}");
        }
    }
}

#[test]
fn a_value_that_is_not_utf8_neither_traps_nor_survives() {
    let (mut vm, root) = configured(&worked_example(KEY));
    let mut headers = head("/v1/messages", &[]);
    headers.0.push((b"x-api-key".to_vec(), vec![0xff, 0xfe, 0x80]));
    headers.0.push((b"x-other".to_vec(), vec![0xc3]));
    let (stream, action) = request(&mut vm, root, headers);
    assert_eq!(action, Action::Continue);
    assert_eq!(vm.request(stream).values("x-api-key"), [KEY]);
    assert!(
        vm.request(stream).0.contains(&(b"x-other".to_vec(), vec![0xc3])),
        "other bytes are not ours to change"
    );
}

#[test]
fn an_unlisted_endpoint_is_stripped_or_refused_as_the_configuration_says() {
    let (mut vm, root) = configured(&worked_example(KEY));
    let (stream, action) = request(&mut vm, root, head("/v1/files", &[("x-api-key", "agents-own")]));
    assert_eq!(action, Action::Continue);
    assert!(vm.request(stream).values("x-api-key").is_empty());
    let (mut vm, root) = configured(&Config { unlisted: Unlisted::Deny, ..worked_example(KEY) });
    let (_, action) = request(&mut vm, root, head("/v1/files", &[]));
    assert_refused(action, 403, "denied_by_policy");
}

#[test]
fn a_connection_that_disagrees_is_misdirected_and_one_that_says_nothing_is_refused() {
    let (mut vm, root) = configured(&worked_example(KEY));
    for connection in
        ["other.example|api.anthropic.com:443", "api.anthropic.com|other.example:443", "-|-", ""]
    {
        let stream = vm.stream(root, &[("filter_state.keyward.connection", connection.as_bytes())]).unwrap();
        let action = vm.request_headers(stream, head("/v1/messages", &[]), true).unwrap();
        assert_eq!(reply(action).status, 421, "{connection:?}");
        assert!(!vm.request(stream).values("x-api-key").contains(&KEY.to_owned()), "{connection:?}");
    }
    let stream = vm.stream(root, &[]).unwrap();
    let action = vm.request_headers(stream, head("/v1/messages", &[]), true).unwrap();
    assert!(reply(action).status >= 400, "no fact about the connection");
}

#[test]
fn without_a_keyring_or_with_another_one_the_rule_denies() {
    let other = "k1://///////////////////////////////////////w8=";
    for environment in [&[][..], &[("KEYWARD_KEYRING", other)], &[("KEYWARD_KEYRING", "nonsense")]] {
        let mut vm = Vm::start(Code::built(), environment).unwrap();
        let root = vm.configure(&bytes(&worked_example(KEY))).unwrap().expect("its neighbours must load");
        let (_, action) = request(&mut vm, root, head("/v1/messages", &[]));
        assert_refused(action, 503, "credential_unavailable");
    }
}

#[test]
fn a_sealed_value_moved_to_a_wider_rule_does_not_open() {
    let mut config = worked_example(KEY);
    config.endpoints[0].push("/v1/zzz".into());
    let (mut vm, root) = configured(&config);
    let (_, action) = request(&mut vm, root, head("/v1/messages", &[]));
    assert_refused(action, 503, "credential_unavailable");
}

#[test]
fn a_refused_configuration_leaves_the_old_one_serving() {
    let (mut vm, root) = configured(&worked_example(KEY));
    let whole = bytes(&worked_example(KEY));
    for bad in [&b"{"[..], b"{}", b"\xff\x00", &whole[..whole.len() - 1], br#"{"version": 2}"#] {
        assert_eq!(vm.configure(bad).unwrap(), None, "{}", String::from_utf8_lossy(bad));
    }
    let (stream, action) = request(&mut vm, root, head("/v1/messages", &[]));
    assert_eq!((action, vm.request(stream).values("x-api-key")), (Action::Continue, vec![KEY.to_owned()]));
    let logged: String = vm.logs().iter().map(|(_, text)| text.as_str()).collect();
    assert!(!logged.contains(KEY) && !logged.contains("kw1."), "{logged}");
}

#[test]
fn without_a_configuration_every_request_is_refused() {
    let mut vm = Vm::start(Code::built(), &[("KEYWARD_KEYRING", KEYRING)]).unwrap();
    let root = vm.configure(b"").unwrap().expect("absence is not an error");
    let (_, action) = request(&mut vm, root, head("/v1/messages", &[]));
    assert_eq!(reply(action).status, 503);
}

#[test]
fn a_request_keeps_the_rules_it_started_with_and_the_next_one_has_the_new_key() {
    let (mut vm, old) = configured(&worked_example(KEY));
    let started = vm.stream(old, &[CONNECTION]).unwrap();
    let new = vm.configure(&bytes(&worked_example("sk-ant-the-next-key"))).unwrap().unwrap();
    vm.request_headers(started, head("/v1/messages", &[]), true).unwrap();
    assert_eq!(vm.request(started).values("x-api-key"), [KEY]);
    let (stream, _) = request(&mut vm, new, head("/v1/messages", &[]));
    assert_eq!(vm.request(stream).values("x-api-key"), ["sk-ant-the-next-key"]);
    vm.response_headers(stream, Headers::new(&[(":status", "200"), ("x-echo", KEY)]), true).unwrap();
    assert!(!vm.response(stream).values("x-echo").contains(&KEY.to_owned()), "a retired key came back");
}

#[test]
fn response_headers_are_scrubbed_and_only_they_change() {
    let (mut vm, root) = configured(&worked_example(KEY));
    let (stream, _) = request(&mut vm, root, head("/v1/messages", &[]));
    let embedded = format!("https://a.example/?k={KEY}&x=1");
    let answer = [
        (":status", "200"),
        ("x-echo", KEY),
        ("location", &embedded),
        ("x-plain", "stays"),
        ("x-plain", "too"),
    ];
    assert_eq!(vm.response_headers(stream, Headers::new(&answer), false).unwrap(), Action::Continue);
    let left = vm.response(stream);
    assert!(!left.0.iter().any(|(_, value)| String::from_utf8_lossy(value).contains(KEY)), "{left:?}");
    assert_eq!(left.values("x-plain"), ["stays", "too"]);
    assert!(left.values("location")[0].starts_with("https://a.example/?k="));
}

#[test]
fn one_record_is_left_for_the_access_log_and_holds_no_key() {
    let (mut vm, root) = configured(&worked_example(KEY));
    let more = [("x-api-key", PLACEHOLDER), ("x-note", KEY)];
    let (stream, _) = request(&mut vm, root, head("/v1/messages?beta=true", &more));
    vm.response_headers(stream, Headers::new(&[(":status", "200"), ("x-echo", KEY)]), false).unwrap();
    vm.finish(stream).unwrap();
    let record = vm.filter_state(stream, "keyward").expect("a record");
    let parsed: Value = serde_json::from_str(&record).expect("one JSON object");
    assert_eq!((&parsed["decision"], &parsed["status"]), (&"injected".into(), &200.into()), "{record}");
    assert!(!record.contains(KEY), "{record}");
    assert!(record.len() <= 4096, "{} bytes", record.len());
}

#[test]
fn a_refusal_leaves_a_record_with_the_exact_cause() {
    let (mut vm, root) = configured(&worked_example(KEY));
    let (stream, action) = request(&mut vm, root, head("/v1//messages", &[]));
    assert_refused(action, 400, "bad_path");
    // Envoy sends a local reply through the filter that made it.
    vm.response_headers(stream, Headers::new(&[(":status", "400")]), true).unwrap();
    vm.finish(stream).unwrap();
    let record: Value = serde_json::from_str(&vm.filter_state(stream, "keyward").unwrap()).unwrap();
    assert_eq!((&record["decision"], &record["status"]), (&"denied".into(), &400.into()));
    assert_eq!(record["reason"], "path_not_canonical");
}

#[test]
fn cleartext_from_another_proxy_needs_a_cluster_that_is_allowed() {
    let mut config = worked_example(KEY);
    config.agent_side = AgentSide::TrustedPlaintext { clusters: vec!["anthropic".into()] };
    let config = harness::sealed::sealed(config, KEY);
    let (mut vm, root) = configured(&config);
    for (cluster, injected) in [("anthropic", true), ("elsewhere", false)] {
        let stream = vm.stream(root, &[("xds.cluster_name", cluster.as_bytes())]).unwrap();
        vm.request_headers(stream, head("/v1/messages", &[]), true).unwrap();
        assert_eq!(vm.request(stream).values("x-api-key") == [KEY], injected, "{cluster}");
    }
}

/// The price of a request in crossings. A change here is a change of cost: say so where it is made.
/// Host calls at the request's head, at the answer's, and at the end.
fn host_calls(facts: ConnectionFacts) -> [usize; 3] {
    let (mut vm, root) = configured(&Config { connection_facts: facts, ..worked_example(KEY) });
    let calls = |vm: &mut Vm| vm.take_calls().values().sum();
    let sent = [("x-api-key", PLACEHOLDER), (CONNECTION_HEADER, FACTS)];
    let request = |vm: &mut Vm| request(vm, root, head("/v1/messages", &sent[..headers_of(facts)])).0;
    // The first one defines what is counted.
    let first = request(&mut vm);
    vm.finish(first).unwrap();
    let _: usize = calls(&mut vm);
    let stream = request(&mut vm);
    let on_request = calls(&mut vm);
    let answer = Headers::new(&[(":status", "200"), ("content-type", "text/event-stream")]);
    vm.response_headers(stream, answer, false).unwrap();
    let on_response = calls(&mut vm);
    vm.finish(stream).unwrap();
    [on_request, on_response, calls(&mut vm)]
}

fn headers_of(facts: ConnectionFacts) -> usize {
    if facts == ConnectionFacts::Header { 2 } else { 1 }
}

#[test]
fn requests_are_counted_by_what_was_decided() {
    let (mut vm, root) = configured(&worked_example(KEY));
    for (path, more) in
        [("/v1/messages", &[][..]), ("/v1/messages", &[("x-api-key", "own")]), ("/v1/files", &[])]
    {
        let (stream, _) = request(&mut vm, root, head(path, more));
        vm.finish(stream).unwrap();
    }
    let counted = |name: &str, labels: &[(&str, &str)]| {
        let name = metric::name(name, labels);
        vm.metrics().iter().find(|(other, _)| *other == name).map(|(_, sum)| *sum)
    };
    let route = ("route", "default/anthropic");
    let injected = [route, ("decision", "injected"), ("reason", "none")];
    assert_eq!(counted(metric::REQUESTS, &injected), Some(2), "{:?}", vm.metrics());
    assert_eq!(counted(metric::SMUGGLE_ATTEMPTS, &[route]), Some(1));
    let total: u64 =
        vm.metrics().iter().filter(|(name, _)| name.starts_with(metric::REQUESTS)).map(|(_, sum)| sum).sum();
    assert_eq!(total, 3);
}

#[test]
fn a_request_costs_a_known_number_of_host_calls() {
    // The header map and the credential; the answer's header map; the record and its count.
    assert_eq!(host_calls(ConnectionFacts::Header), [2, 1, 2]);
    // And what the listener knows about the connection.
    assert_eq!(host_calls(ConnectionFacts::FilterState), [3, 1, 2]);
}

#[test]
fn what_a_header_says_of_the_connection_is_compared_and_not_recorded() {
    let config = Config { connection_facts: ConnectionFacts::Header, ..worked_example(KEY) };
    let (mut vm, root) = configured(&config);
    for (facts, status) in [
        (Some(FACTS), None),
        (Some("other.example|api.anthropic.com:443"), Some(421)),
        (Some("api.anthropic.com|other.example:443"), Some(421)),
        (Some("-|-"), Some(421)),
        (Some("-"), Some(421)),
        (Some(""), Some(421)),
        (None, Some(421)),
    ] {
        let told = facts.map(|facts| (CONNECTION_HEADER, facts));
        let (stream, action) = request(&mut vm, root, head("/v1/messages", told.as_slice()));
        match status {
            None => assert_eq!(action, Action::Continue),
            Some(status) => assert_eq!(reply(action).status, status, "{facts:?}"),
        }
        vm.finish(stream).unwrap();
        let record = vm.filter_state(stream, "keyward").expect("a record");
        assert!(!record.contains(CONNECTION_HEADER), "{record}");
    }
}

#[test]
fn a_header_says_nothing_where_the_filter_state_is_to() {
    let (mut vm, root) = configured(&worked_example(KEY));
    let stream = vm.stream(root, &[]).unwrap();
    let forged = head("/v1/messages", &[(CONNECTION_HEADER, FACTS)]);
    assert!(reply(vm.request_headers(stream, forged, true).unwrap()).status >= 400);
}

#[test]
fn a_thousand_streams_leave_nothing_that_grows_with_them() {
    let (mut vm, root) = configured(&worked_example(KEY));
    let run = |vm: &mut Vm| {
        for _ in 0..1000 {
            let (stream, _) = request(vm, root, head("/v1/messages", &[]));
            vm.response_headers(stream, Headers::new(&[(":status", "200")]), false).unwrap();
            vm.finish(stream).unwrap();
        }
        vm.memory_bytes()
    };
    let (first, second) = (run(&mut vm), run(&mut vm));
    assert_eq!(first, second, "the module's memory grows");
}
