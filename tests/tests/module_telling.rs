//! When the built module tells its collectors, by a clock that the test moves: what a real collector gets, and what
//! becomes of requests meanwhile, is tested on Envoy (`tests/telemetry`).

use std::time::Duration;

use harness::scenario::KEY;
use harness::sealed::{CONNECTION, KEYRING, worked_example};
use harness::wasm_host::{Code, Headers, HttpCall, Root, Vm};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use policy::metric;
use policy::wire::{Collector, Config, Telemetry};
use prost::Message as _;

/// How often spans are sent while some wait.
const TELL: Duration = Duration::from_millis(500);
/// How often the module wakes up otherwise.
const SWEEP: Duration = Duration::from_secs(30);

fn start() -> Vm {
    Vm::start(Code::built(), &[("KEYWARD_KEYRING", KEYRING)]).unwrap()
}

fn telling(clusters: &[&str]) -> Config {
    let collector = |cluster: &&str| Collector {
        cluster: (*cluster).to_owned(),
        authority: "collector.example".into(),
        path: "/v1/traces".into(),
        headers: Vec::new(),
    };
    let collectors = clusters.iter().map(collector).collect();
    Config { telemetry: Some(Telemetry { collectors, capture: None }), ..worked_example(KEY) }
}

fn configure(vm: &mut Vm, config: &Config) -> Root {
    vm.configure(&serde_json::to_vec(config).unwrap()).unwrap().expect("a configuration that is taken")
}

/// A request and its answer, whole.
fn request(vm: &mut Vm, root: Root) {
    let stream = vm.stream(root, &[CONNECTION]).unwrap();
    let head = [
        (":authority", "api.anthropic.com"),
        (":scheme", "https"),
        (":method", "GET"),
        (":path", "/v1/messages"),
    ];
    vm.request_headers(stream, Headers::new(&head), true).unwrap();
    vm.response_headers(stream, Headers::new(&[(":status", "200")]), true).unwrap();
    vm.finish(stream).unwrap();
}

fn tick(vm: &mut Vm, root: Root) -> Vec<HttpCall> {
    vm.tick(root).unwrap();
    vm.take_http_calls()
}

fn taken(vm: &mut Vm, root: Root, call: &HttpCall) {
    vm.answer(root, call.number, Headers::new(&[(":status", "200")]), &[]).unwrap();
}

/// Names of the clusters that were called, each with how many spans it was sent.
fn spans(calls: &[HttpCall]) -> Vec<(&str, usize)> {
    let count = |call: &HttpCall| {
        let request = ExportTraceServiceRequest::decode(call.body.as_slice()).expect("an export");
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        scopes.map(|scope| scope.spans.len()).sum()
    };
    calls.iter().map(|call| (call.cluster.as_str(), count(call))).collect()
}

/// What was counted of spans with this outcome.
fn exported(vm: &Vm, outcome: &str) -> u64 {
    let name = metric::name(metric::EXPORT_SPANS, &[("outcome", outcome)]);
    vm.metrics().iter().find(|(other, _)| *other == name).map_or(0, |(_, sum)| *sum)
}

#[test]
fn it_wakes_up_for_spans_and_not_without() {
    let mut vm = start();
    let root = configure(&mut vm, &telling(&["a"]));
    assert_eq!(vm.take_tick_period(), Some(SWEEP));
    assert_eq!(tick(&mut vm, root), []);
    assert_eq!(vm.take_tick_period(), Some(SWEEP));
    request(&mut vm, root);
    assert_eq!(vm.take_tick_period(), Some(TELL));
    vm.pass(TELL);
    let calls = tick(&mut vm, root);
    assert_eq!(spans(&calls), [("a", 1)]);
    assert_eq!(vm.take_tick_period(), Some(TELL), "it is not taken yet");
    taken(&mut vm, root, &calls[0]);
    vm.pass(TELL);
    assert_eq!(tick(&mut vm, root), []);
    assert_eq!(vm.take_tick_period(), Some(SWEEP));
    assert_eq!(exported(&vm, "sent"), 1);
}

#[test]
fn requests_do_not_put_the_tick_off() {
    let mut vm = start();
    let root = configure(&mut vm, &telling(&["a"]));
    vm.take_tick_period();
    let asked = |vm: &mut Vm| {
        request(vm, root);
        vm.take_tick_period()
    };
    assert_eq!(asked(&mut vm), Some(TELL));
    for _ in 0..4 {
        vm.pass(TELL / 5);
        assert_eq!(asked(&mut vm), None);
    }
    vm.pass(TELL / 5);
    let calls = tick(&mut vm, root);
    assert_eq!(spans(&calls), [("a", 5)]);
    assert_eq!(vm.take_tick_period(), Some(TELL));
    vm.pass(TELL / 5);
    assert_eq!(asked(&mut vm), None, "the next tick is on its way");
    // Where a tick does not come, the next request asks again.
    vm.pass(TELL);
    assert_eq!(asked(&mut vm), Some(TELL));
}

/// A new root context takes over what waits, and what was posted by the old one is not posted again while its answer
/// may come. That the answer never comes is found by the clock.
#[test]
fn a_rotation_neither_sends_nor_loses_what_waits() {
    let mut vm = start();
    let config = telling(&["a"]);
    let old = configure(&mut vm, &config);
    request(&mut vm, old);
    assert_eq!(spans(&tick(&mut vm, old)), [("a", 1)]);
    request(&mut vm, old);
    let new = configure(&mut vm, &config);
    assert_eq!(vm.take_http_calls(), []);
    assert_eq!(vm.take_tick_period(), Some(TELL));
    request(&mut vm, old);
    vm.pass(TELL);
    assert_eq!(tick(&mut vm, new), [], "one batch is on its way");
    vm.pass(Duration::from_secs(5));
    assert_eq!(tick(&mut vm, new), [], "a pause");
    vm.pass(Duration::from_secs(1));
    let calls = tick(&mut vm, new);
    assert_eq!(spans(&calls), [("a", 3)]);
    taken(&mut vm, new, &calls[0]);
    vm.pass(TELL);
    assert_eq!(tick(&mut vm, new), []);
    assert_eq!((exported(&vm, "sent"), vm.take_tick_period()), (3, Some(SWEEP)));
}

#[test]
fn a_collector_that_no_rules_name_any_more_is_forgotten() {
    let mut vm = start();
    let old = configure(&mut vm, &telling(&["a", "b"]));
    request(&mut vm, old);
    let new = configure(&mut vm, &telling(&["b"]));
    // Of a request that began with the old rules.
    request(&mut vm, old);
    let calls = tick(&mut vm, new);
    assert_eq!(spans(&calls), [("b", 2)]);
    taken(&mut vm, new, &calls[0]);
    assert_eq!(vm.take_tick_period(), Some(TELL), "spans wait for a");
    vm.pass(Duration::from_mins(1));
    assert_eq!(tick(&mut vm, new), []);
    assert_eq!(vm.take_tick_period(), Some(SWEEP));
    assert_eq!((exported(&vm, "sent"), exported(&vm, "dropped")), (2, 2));
}

/// The request that makes a batch whole has it sent, once it is over itself.
#[test]
fn a_whole_batch_waits_for_no_tick() {
    let mut vm = start();
    let root = configure(&mut vm, &telling(&["a"]));
    request(&mut vm, root);
    assert_eq!(vm.take_tick_period(), Some(TELL));
    let asked = (2..1000).find(|_| {
        request(&mut vm, root);
        vm.take_tick_period().is_some_and(|period| period < TELL)
    });
    let calls = tick(&mut vm, root);
    assert_eq!(spans(&calls).iter().map(|(_, spans)| *spans).max(), asked.map(|asked| asked - 1));
    // The next one waits for this one.
    assert_eq!(vm.take_tick_period(), Some(TELL));
    (0..1000).for_each(|_| request(&mut vm, root));
    assert_eq!((vm.take_tick_period(), tick(&mut vm, root).len()), (None, 0));
    taken(&mut vm, root, &calls[0]);
    assert_eq!(vm.take_http_calls().len(), 1);
}

/// No more than a batch is sent at a time, and none waits for a clock when there is another one.
#[test]
fn where_more_waits_than_a_batch_the_next_is_sent_as_soon_as_one_is_taken() {
    let mut vm = start();
    let root = configure(&mut vm, &telling(&["a"]));
    let mut asked = 0;
    // Until something is dropped.
    while exported(&vm, "dropped") == 0 {
        (0..100).for_each(|_| request(&mut vm, root));
        asked += 100;
        let calls = tick(&mut vm, root);
        assert!(calls.len() <= 1, "one batch is on its way");
        for call in calls {
            vm.answer(root, call.number, Headers::new(&[(":status", "503")]), &[]).unwrap();
        }
    }
    vm.pass(Duration::from_secs(31));
    let mut calls = tick(&mut vm, root);
    let mut batches = 0;
    while let Some(call) = calls.pop() {
        batches += 1;
        taken(&mut vm, root, &call);
        calls = vm.take_http_calls();
    }
    // Each is less than 128 KiB, of 2 MiB; what is left is little, and waits.
    assert!((15..=16).contains(&batches), "{batches}");
    vm.pass(TELL);
    if let Some(call) = tick(&mut vm, root).pop() {
        taken(&mut vm, root, &call);
    }
    tick(&mut vm, root);
    assert_eq!(exported(&vm, "sent") + exported(&vm, "dropped") + exported(&vm, "refused"), asked);
}

/// The head and the body of an answer.
type Answer<'a> = (&'a [(&'a str, &'a str)], &'a [u8]);

/// An answer of any shape is an answer, and none of them is a trap.
#[test]
fn answers_of_any_shape_are_taken() {
    let mut vm = start();
    let root = configure(&mut vm, &telling(&["a"]));
    let shapes: [Answer<'_>; 6] = [
        (&[], &[]),
        (&[(":status", "")], &[0xff; 64]),
        (&[(":status", "99999999999")], &[]),
        (&[(":status", "503"), ("retry-after", "99999999999999999999")], &[]),
        (&[(":status", "429"), ("retry-after", "\u{fffd}")], &[]),
        (&[(":status", "200")], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
    ];
    for (head, body) in shapes {
        request(&mut vm, root);
        vm.pass(Duration::from_mins(1));
        let calls = tick(&mut vm, root);
        assert_eq!(calls.len(), 1, "{head:?}");
        vm.answer(root, calls[0].number, Headers::new(head), body).unwrap();
    }
    assert!(vm.logs().iter().all(|(level, _)| *level < 3), "{:?}", vm.logs());
}

/// Where nobody answers, what waits is bounded, and all of it is accounted for.
#[test]
fn every_span_is_accounted_for_and_memory_is_bounded() {
    const REQUESTS: u64 = 6_000;
    let mut vm = start();
    let root = configure(&mut vm, &telling(&["a"]));
    let mut asked = 0;
    let mut half = 0;
    for number in 0..REQUESTS {
        request(&mut vm, root);
        if number % 50 == 0 {
            vm.pass(TELL);
            asked += tick(&mut vm, root).len();
        }
        if number == REQUESTS / 2 {
            half = vm.memory_bytes();
        }
    }
    assert!(asked > 0 && half < 24 << 20, "{asked} {half}");
    let waiting = loop {
        vm.pass(Duration::from_secs(31));
        let calls = tick(&mut vm, root);
        match calls.first() {
            Some(call) => taken(&mut vm, root, call),
            None => break vm.take_tick_period(),
        }
    };
    assert_eq!(waiting, Some(SWEEP));
    let counted = ["sent", "dropped", "refused"].map(|outcome| exported(&vm, outcome));
    assert_eq!(counted.iter().sum::<u64>(), REQUESTS, "{counted:?}");
    assert!(vm.memory_bytes() <= half + (2 << 20), "{half} grew to {}", vm.memory_bytes());
}
