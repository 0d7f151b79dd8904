//! Collectors that are down, slow, silent or wrong: no request notices.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use harness::client::{Http, Http2, Request};
use harness::collector::Collector;
use harness::gateway::{Gateway, HOST, Manifests};
use harness::ports;
use harness::provider::{Behaviour, Options, Provider};
use harness::scenario::{KEY, adjusted_example};

use super::{OTLP, becomes, telling, told};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks over both protocols; every answer is the provider's.
async fn asks(gateway: &Gateway, provider: &Provider, times: usize) {
    for http in [Http::One, Http::Two] {
        let agent = gateway.agent(http, HOST);
        for _ in 0..times {
            let answer = agent.send(&Request::messages()).await.unwrap();
            assert_eq!(answer.status, 200, "{answer:?}: {}", gateway.errors().join("\n"));
            assert_eq!(provider.only_request().values("x-api-key"), [KEY]);
        }
    }
}

/// A listener that takes connections and never says a word.
fn silent() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    (format!("http://{}", listener.local_addr().expect("its address")), listener)
}

#[tokio::test]
async fn a_collector_that_is_silent_or_wrong_harms_no_request() {
    let (endpoint, listener) = silent();
    let (provider, gateway) = adjusted_example(|manifests| telling(manifests, &endpoint, "")).await;
    asks(&gateway, &provider, 5).await;
    // It was connected to, and requests go on beside what it does not answer.
    listener.set_nonblocking(true).unwrap();
    let started = Instant::now();
    let held: TcpStream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(_) => assert!(started.elapsed() < Duration::from_secs(20), "nobody came"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    asks(&gateway, &provider, 5).await;
    drop((held, listener));
    asks(&gateway, &provider, 5).await;
}

#[tokio::test]
async fn whatever_a_collector_answers_harms_no_request() {
    let names = vec!["127.0.0.1".to_owned()];
    let collector = Provider::start(Options { names, ..Options::default() }).await.unwrap();
    let endpoint = format!("https://{}", collector.address());
    let (provider, gateway) = adjusted_example(|manifests| {
        telling(manifests, &endpoint, "").alias(&["unused.example"], &collector)
    })
    .await;
    let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    for behaviour in [
        Behaviour { body_bytes: Some(1 << 20), ..Behaviour::default() },
        Behaviour { status: Some(400), ..Behaviour::default() },
        Behaviour { status: Some(302), location: Some("https://127.0.0.1/".into()), ..Behaviour::default() },
        Behaviour { status: Some(200), delay_ms: 3_000, ..Behaviour::default() },
        Behaviour { status: Some(500), ..Behaviour::default() },
        Behaviour { status: Some(429), headers: header("retry-after", "-1"), ..Behaviour::default() },
        // The last: it is obeyed for half a minute.
        Behaviour {
            status: Some(503),
            headers: header("retry-after", "99999999999"),
            ..Behaviour::default()
        },
    ] {
        let what = format!("{behaviour:?}");
        collector.behave(|now| *now = behaviour);
        asks(&gateway, &provider, 2).await;
        collector.wait_for_requests(1).await;
        asks(&gateway, &provider, 2).await;
        assert!(!collector.take_requests().is_empty(), "{what}");
    }
}

/// What could not be told is told later, once.
#[tokio::test]
async fn a_collector_that_was_down_gets_what_happened_meanwhile() {
    let port = ports::free();
    let endpoint = format!("http://127.0.0.1:{port}");
    let (provider, gateway) = adjusted_example(|manifests| telling(manifests, &endpoint, "")).await;
    asks(&gateway, &provider, 5).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let collector = Collector::start_at(port).await;
    let spans = collector.wait_for(10).await;
    asks(&gateway, &provider, 1).await;
    let all = collector.wait_for(12).await;
    let ids: BTreeSet<_> = all.iter().map(|span| span["spanId"].to_string()).collect();
    assert_eq!((spans.len(), all.len(), ids.len()), (10, 12, 12));
}

/// A rotation makes new root contexts, which take over what waits.
#[tokio::test]
async fn a_rotation_loses_no_span_and_repeats_none() {
    let (collector, provider, gateway) = told("").await;
    for round in 0..5 {
        let key = format!("{KEY}-{round}");
        assert_eq!(gateway.agent(Http::Two, HOST).send(&Request::messages()).await.unwrap().status, 200);
        provider.behave(|behaviour| behaviour.key = Some(key.clone()));
        assert!(gateway.set_key(&key).await.status.success());
    }
    let spans = collector.wait_for(5).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ids: BTreeSet<_> = collector.spans().iter().map(|span| span["spanId"].to_string()).collect();
    assert_eq!((spans.len(), ids.len()), (5, 5));
}

/// Asks until the provider answered so often; in which traces it did.
async fn traces(connection: &mut Http2, provider: &Provider, times: usize) -> BTreeSet<String> {
    let mut traces = BTreeSet::new();
    while traces.len() < times {
        let answer = connection.send(&Request::messages()).await.unwrap();
        // A VM that is not there yet.
        if answer.status == 503 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let traceparent = provider.only_request().values("traceparent").concat();
        traces.insert(traceparent.split('-').nth(1).expect("a trace").to_owned());
    }
    traces
}

/// What a VM had not sent when it died is missing, nothing before and nothing after. The access log has it all.
#[tokio::test]
async fn a_vm_that_dies_takes_no_more_than_what_waits_along() {
    let collector = Collector::start().await;
    let provider = Provider::accepting(KEY).await.unwrap();
    let trapping = tokio::task::spawn_blocking(harness::artefacts::trapping_module).await.unwrap();
    let manifests = telling(Manifests::example(&provider), &collector.endpoint(), "");
    let gateway = Gateway::builder(manifests).key(KEY).module(trapping).start().await;
    // One connection, so that all are one worker's.
    let mut connection = gateway.agent(Http::Two, HOST).open_http2().await.unwrap();
    let before = traces(&mut connection, &provider, 10).await;
    collector.wait_for(10).await;
    let waiting = traces(&mut connection, &provider, 5).await;
    let trap = Request::messages().header("x-keyward-trap", "1");
    assert_eq!(connection.send(&trap).await.unwrap().status, 503);
    let after = traces(&mut connection, &provider, 10).await;
    let told = || -> Vec<String> {
        let spans = collector.spans();
        spans.iter().map(|span| span["traceId"].as_str().expect("a trace").to_owned()).collect()
    };
    let started = Instant::now();
    while !after.iter().all(|trace| told().contains(trace)) {
        assert!(started.elapsed() < PATIENCE, "{after:?} in {:?}", told());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = told();
    let once: BTreeSet<_> = told.iter().cloned().collect();
    assert_eq!(once.len(), told.len(), "a span came twice");
    let missing: Vec<_> = before.iter().filter(|trace| !once.contains(*trace)).collect();
    assert!(missing.is_empty(), "{missing:?} had been told");
    let logged = || gateway.events("access").iter().filter(|line| line["entry"]["status"] == 200).count();
    while logged() < before.len() + waiting.len() + after.len() {
        assert!(started.elapsed() < PATIENCE, "{} lines", logged());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A collector is added to a gateway that runs, and taken away again.
#[tokio::test]
async fn a_collector_comes_and_goes_with_the_manifest() {
    let collector = Collector::start().await;
    let (provider, gateway) = adjusted_example(|manifests| manifests).await;
    let file = "example.yaml";
    let before = std::fs::read_to_string(gateway.manifests().join(file)).unwrap();
    let with = before.replace(OTLP, &format!("otlp: {{endpoint: '{}'}}", collector.endpoint()));
    for text in [&with, &before, &with] {
        gateway.write_manifest(file, text);
        becomes(&provider, &gateway, text == &with).await;
        // Whatever a VM still has, it sends.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let before = collector.spans().len();
        asks(&gateway, &provider, 1).await;
        if text == &with {
            collector.wait_for(before + 2).await;
        } else {
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(collector.spans().len(), before);
        }
    }
}
