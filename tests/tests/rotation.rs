//! A rotated key: used by every request that starts after `secret set` returned, and nothing else is disturbed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use harness::client::{Agent, Failure, Http, Request, Response};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::{Provider, Received};
use harness::scenario::worked_example;

const ROTATIONS: usize = 200;

/// Requests a second over each of the two connections; 200 together.
const PERIOD: Duration = Duration::from_millis(10);

fn key(generation: usize) -> String {
    format!("sk-ant-generation-{generation:04}-x")
}

fn generation_of(received: &Received) -> usize {
    let values = received.values("x-api-key");
    assert_eq!(values.len(), 1, "{values:?}");
    let number = values[0].strip_prefix("sk-ant-generation-").and_then(|rest| rest.get(..4));
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no key of ours: {values:?}"))
}

/// What one connection saw: for each request its number and the generation that was current when it started.
type Started = BTreeMap<usize, usize>;

/// Sends requests over one connection at a steady rate until told to stop; every answer must be 200.
async fn load(
    agent: Agent,
    first: usize,
    current: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) -> Result<Started, Failure> {
    let mut connection = Connection::open(&agent).await?;
    let mut ticks = tokio::time::interval(PERIOD);
    let mut started = Started::new();
    for number in (first..).step_by(2) {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        ticks.tick().await;
        started.insert(number, current.load(Ordering::SeqCst));
        let answer = connection.send(&Request::messages().header("x-number", &number.to_string())).await?;
        assert_eq!(answer.status, 200, "request {number}: {answer:?}");
    }
    Ok(started)
}

enum Connection {
    One(Box<harness::client::Http1<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>>),
    Two(harness::client::Http2),
}

impl Connection {
    async fn open(agent: &Agent) -> Result<Connection, Failure> {
        match agent.http {
            Http::One => agent.open_http1().await.map(|connection| Connection::One(Box::new(connection))),
            Http::Two => agent.open_http2().await.map(Connection::Two),
        }
    }

    async fn send(&mut self, request: &Request) -> Result<Response, Failure> {
        match self {
            Connection::One(connection) => connection.send(&request.to_http1()).await,
            Connection::Two(connection) => connection.send(request).await,
        }
    }
}

async fn rotating_gateway() -> (Provider, Gateway) {
    let provider = Provider::start(harness::provider::Options::default()).await.unwrap();
    let gateway = Gateway::builder(Manifests::example(&provider)).key(&key(0)).start().await;
    (provider, gateway)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_rotations_under_load_disturb_nothing() {
    let (provider, gateway) = rotating_gateway().await;
    let before = gateway.processes();
    let (current, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let agents = [gateway.agent(Http::One, HOST), gateway.transparent_agent(Http::Two, HOST)];
    let loads: Vec<_> = agents
        .into_iter()
        .enumerate()
        .map(|(first, agent)| tokio::spawn(load(agent, first, Arc::clone(&current), Arc::clone(&stop))))
        .collect();
    for generation in 1..=ROTATIONS {
        let output = gateway.set_key(&key(generation)).await;
        assert!(output.status.success(), "secret set: {}", String::from_utf8_lossy(&output.stderr));
        current.store(generation, Ordering::SeqCst);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.store(true, Ordering::SeqCst);
    let mut started = Started::new();
    for load in loads {
        started.extend(load.await.expect("a load").expect("its connection stays open"));
    }

    assert!(started.len() > ROTATIONS, "only {} requests were made", started.len());
    assert_no_old_key(&provider, &started);
    assert_eq!(gateway.processes(), before, "a process was restarted");
}

fn assert_no_old_key(provider: &Provider, started: &Started) {
    let received = provider.take_requests();
    assert_eq!(received.len(), started.len());
    for request in received {
        let number: usize = request.values("x-number")[0].parse().expect("a number");
        let (used, at_least) = (generation_of(&request), started[&number]);
        assert!(
            used >= at_least,
            "request {number} used key {used} though {at_least} was set before it started"
        );
    }
    assert!(
        provider.connections().iter().all(|connection| !connection.closed),
        "an upstream connection was closed"
    );
}

#[tokio::test]
async fn a_rotated_key_is_used_at_once_on_open_connections_and_the_old_one_stays_scrubbed() {
    let (provider, gateway) = worked_example().await;
    let mut one = gateway.agent(Http::One, HOST).open_http1().await.unwrap();
    let mut two = gateway.transparent_agent(Http::Two, HOST).open_http2().await.unwrap();
    assert_eq!(one.send(&Request::messages().to_http1()).await.unwrap().status, 200);
    assert_eq!(two.send(&Request::messages()).await.unwrap().status, 200);
    provider.take_requests();

    provider.behave(|behaviour| {
        behaviour.key = Some(key(1));
        behaviour.headers = vec![("x-late".into(), harness::scenario::KEY.into())];
    });
    assert!(gateway.set_key(&key(1)).await.status.success());
    for answer in [one.send(&Request::messages().to_http1()).await, two.send(&Request::messages()).await] {
        let answer = answer.expect("the connection stays open");
        assert_eq!(answer.status, 200);
        assert!(!answer.mentions(harness::scenario::KEY), "the old key came back");
    }
    for received in provider.take_requests() {
        assert_eq!(received.values("x-api-key"), [key(1)]);
    }
}

#[tokio::test]
async fn a_value_that_is_no_credential_is_refused_and_the_old_key_serves_on() {
    let (provider, gateway) = worked_example().await;
    for bad in ["", "short", "two\nlines-of-a-key", harness::scenario::PLACEHOLDER] {
        let output = gateway.set_key(bad).await;
        assert!(!output.status.success(), "{bad:?} was taken");
        assert_eq!(
            gateway.agent(Http::Two, HOST).send(&Request::messages()).await.unwrap().status,
            200,
            "{bad:?}"
        );
        assert_eq!(provider.only_request().values("x-api-key"), [harness::scenario::KEY], "{bad:?}");
    }
}
