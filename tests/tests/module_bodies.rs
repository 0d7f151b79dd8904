//! The built module with requests that it holds back until their bodies have arrived.

use harness::sealed::{CONNECTION, KEYRING, sealed, worked_example, worked_example_with};
use harness::wasm_host::{Action, Code, Headers, Root, Stream, Vm};
use policy::wire::{Config, ModelSource, Models, Target};
use serde_json::Value;

const KEYS: &str = "AKIDEXAMPLE\nwJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n";

fn configured(config: &Config) -> (Vm, Root) {
    let mut vm = Vm::start(Code::built(), &[("KEYWARD_KEYRING", KEYRING)]).unwrap();
    let root =
        vm.configure(&serde_json::to_vec(config).unwrap()).unwrap().expect("a configuration that is taken");
    (vm, root)
}

fn signing(max_held_body: u32) -> Config {
    let target = Target::AwsV4 { region: Some("us-east-1".into()), service: "bedrock".into() };
    Config { max_held_body, ..worked_example_with(target, KEYS) }
}

fn by_model() -> Config {
    let mut config = worked_example("");
    config.models = vec![Models { source: ModelSource::Body, globs: vec!["claude-*".into()] }];
    config.rules[0].models = Some(0);
    sealed(config, "sk-ant-0123456789")
}

fn head(more: &[(&str, &str)]) -> Headers {
    head_of("/v1/messages", more)
}

fn head_of(path: &str, more: &[(&str, &str)]) -> Headers {
    let pseudo = [
        (":authority", "api.anthropic.com"),
        (":scheme", "https"),
        (":method", "POST"),
        (":path", path),
        ("content-type", "application/json"),
    ];
    Headers::new(&[&pseudo[..], more].concat())
}

fn request(vm: &mut Vm, root: Root, more: &[(&str, &str)]) -> (Stream, Action) {
    let stream = vm.stream(root, &[CONNECTION]).unwrap();
    let action = vm.request_headers(stream, head(more), false).unwrap();
    (stream, action)
}

fn header(vm: &Vm, stream: Stream, name: &str) -> String {
    vm.request(stream).values(name).join("|")
}

/// The signature of a request whose body comes in these pieces.
fn signature(vm: &mut Vm, root: Root, pieces: &[&[u8]], trailers: bool) -> String {
    let (stream, action) = request(vm, root, &[]);
    assert_eq!(action, Action::Pause);
    let last = pieces.len() - 1;
    for (index, piece) in pieces.iter().enumerate() {
        let ends = index == last && !trailers;
        let expected = if ends { Action::Continue } else { Action::Pause };
        assert_eq!(vm.request_body(stream, piece, ends).unwrap(), expected, "piece {index}");
    }
    if trailers {
        assert_eq!(vm.request_trailers(stream).unwrap(), Action::Continue);
    }
    let authorization = header(vm, stream, "authorization");
    vm.finish(stream).unwrap();
    authorization.split("Signature=").nth(1).expect("a signature").to_owned()
}

#[test]
fn a_signature_is_over_the_whole_body_however_it_comes() {
    let (mut vm, root) = configured(&signing(1 << 20));
    let body = vec![b'x'; 200_000];
    let whole = signature(&mut vm, root, &[&body], false);
    let (one, two) = body.split_at(65_537);
    assert_eq!(signature(&mut vm, root, &[one, two], false), whole);
    assert_eq!(signature(&mut vm, root, &[one, two, b""], false), whole);
    assert_eq!(signature(&mut vm, root, &[one, two], true), whole);
    assert_ne!(signature(&mut vm, root, &[one], false), whole);
}

#[test]
fn a_request_without_a_body_is_signed_at_once() {
    let (mut vm, root) = configured(&signing(1 << 20));
    let stream = vm.stream(root, &[CONNECTION]).unwrap();
    assert_eq!(vm.request_headers(stream, head(&[]), true).unwrap(), Action::Continue);
    assert!(
        header(&vm, stream, "authorization").starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20231114/")
    );
    assert_eq!(header(&vm, stream, "x-amz-date"), "20231114T221320Z");
}

#[test]
fn a_body_beyond_the_limit_is_refused_when_it_is_announced_or_when_it_comes() {
    let (mut vm, root) = configured(&signing(1000));
    for length in ["1000", "1001"] {
        let (stream, action) = request(&mut vm, root, &[("content-length", length)]);
        assert_eq!(action == Action::Pause, length == "1000");
        vm.finish(stream).unwrap();
    }
    let (stream, _) = request(&mut vm, root, &[]);
    assert_eq!(vm.request_body(stream, &[b'x'; 1000], false).unwrap(), Action::Pause);
    let Action::Reply(reply) = vm.request_body(stream, b"x", false).unwrap() else { panic!("no reply") };
    assert_eq!((reply.status, reply.headers.values("x-keyward-reason")), (413, vec!["too_large".to_owned()]));
    assert_eq!(header(&vm, stream, "authorization"), "");
}

#[test]
fn what_all_requests_hold_together_is_bounded_and_given_back() {
    const EACH: u32 = 8 << 20;
    let (mut vm, root) = configured(&signing(EACH));
    let piece = vec![b'x'; EACH as usize];
    let hold = |vm: &mut Vm| {
        let (stream, _) = request(vm, root, &[]);
        let action = vm.request_body(stream, &piece, false).unwrap();
        (stream, action)
    };
    let held: Vec<Stream> = (0..8).map(|_| hold(&mut vm)).map(|(stream, _)| stream).collect();
    let (ninth, action) = hold(&mut vm);
    let Action::Reply(reply) = action else { panic!("no reply") };
    assert_eq!(
        (reply.status, reply.headers.values("x-keyward-reason")),
        (503, vec!["overloaded".to_owned()])
    );
    vm.finish(ninth).unwrap();
    // One is finished, and one goes away: each makes room.
    assert_eq!(vm.request_body(held[0], b"", true).unwrap(), Action::Continue);
    assert_eq!(hold(&mut vm).1, Action::Pause);
    vm.finish(held[1]).unwrap();
    assert_eq!(hold(&mut vm).1, Action::Pause);
    assert!(matches!(hold(&mut vm).1, Action::Reply(_)));
}

#[test]
fn a_request_whose_agent_went_away_leaves_a_record_that_says_so() {
    let (mut vm, root) = configured(&signing(1 << 20));
    let (stream, _) = request(&mut vm, root, &[]);
    vm.request_body(stream, b"half", false).unwrap();
    vm.finish(stream).unwrap();
    let record: Value = serde_json::from_str(&vm.filter_state(stream, "keyward").expect("a record")).unwrap();
    assert_eq!((&record["decision"], &record["reason"]), (&"denied".into(), &"request_incomplete".into()));
}

#[test]
fn a_model_is_read_from_the_body_before_anything_is_injected() {
    let (mut vm, root) = configured(&by_model());
    for (body, key, refused) in [
        (&br#"{"model":"claude-x","messages":[]}"#[..], "sk-ant-0123456789", None),
        (br#"{"model":"other"}"#, "", None),
        (br#"{"model":"claude-x","model":"claude-x"}"#, "", Some(403)),
        (b"", "", Some(403)),
    ] {
        let (stream, action) = request(&mut vm, root, &[("x-api-key", "mine")]);
        assert_eq!(action, Action::Pause);
        let (first, second) = body.split_at(body.len() / 2);
        assert_eq!(vm.request_body(stream, first, false).unwrap(), Action::Pause);
        let status = match vm.request_body(stream, second, true).unwrap() {
            Action::Reply(reply) => Some(reply.status),
            Action::Continue => None,
            Action::Pause => panic!("paused at the end"),
        };
        assert_eq!(status, refused);
        if refused.is_none() {
            assert_eq!(header(&vm, stream, "x-api-key"), key);
        }
        vm.finish(stream).unwrap();
    }
}

#[test]
fn nothing_is_held_where_no_verdict_needs_a_body() {
    let (mut vm, root) = configured(&by_model());
    let stream = vm.stream(root, &[CONNECTION]).unwrap();
    assert_eq!(vm.request_headers(stream, head_of("/v1/files", &[]), false).unwrap(), Action::Continue);
    assert_eq!(vm.request_body(stream, &[b'x'; 100], false).unwrap(), Action::Continue);
    assert_eq!(vm.request_body(stream, &[b'x'; 100], true).unwrap(), Action::Continue);
}
