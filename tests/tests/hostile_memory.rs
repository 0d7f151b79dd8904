//! An agent cannot fill the gateway's memory: with names, with bytes, with connections that it leaves half open.
//!
//! Envoy keeps some 50 KiB for each name that it has asked for, until its leaf comes or is refused. What bounds that is
//! how fast handshakes for names that no route has may begin; most of ten thousand in a few seconds are closed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::client::{Http, Request, connect};
use harness::gateway::{Gateway, HOST};
use harness::scenario::worked_example;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const MIB: u64 = 1 << 10;

/// Names that the agent makes up, and how many handshakes it has under way.
const NAMES: usize = 10_000;
const AT_ONCE: usize = 200;

/// Handshakes that stop in the middle.
const HALF_OPEN: usize = 1_000;

/// The start of a TLS record with a ClientHello of 512 bytes.
const HALF_A_HELLO: [u8; 9] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc];

/// The leaves that Envoy holds.
fn leaves(gateway: &Gateway) -> usize {
    gateway.admin("/config_dump?resource=dynamic_active_secrets").matches("\"tls_certificate\"").count()
}

#[tokio::test]
async fn ten_thousand_names_take_a_hundred_mib_at_most_and_a_route_host_still_shakes_hands() {
    let (_provider, gateway) = worked_example().await;
    let agent = gateway.transparent_agent(Http::One, HOST);
    assert_eq!(agent.send(&Request::messages()).await.unwrap().status, 200);
    let before = gateway.resident_kib();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut all = JoinSet::new();
    let mut most = before;
    for number in 0..NAMES {
        let place = places.clone().acquire_owned().await.unwrap();
        let agent = agent.clone().sni(Some(&format!("n{number}.example")));
        all.spawn(async move {
            let _ = timeout(Duration::from_millis(300), agent.open()).await;
            drop(place);
        });
        if number % 500 == 0 {
            most = most.max(gateway.resident_kib());
            assert_eq!(agent_of(&gateway).await, 200, "after {number} names");
        }
    }
    all.join_all().await;
    most = most.max(gateway.resident_kib());
    assert!(most - before <= 100 * MIB, "{} MiB more after {NAMES} names", (most - before) / MIB);
    let held = leaves(&gateway);
    assert!((1..=1_000).contains(&held), "{held} leaves");
    let refused = gateway.stats("open-names.rate_limited").values().sum::<u64>();
    assert!(refused > 0, "names were not made up fast enough to be refused");
}

/// The status of a request to the host that a route names.
async fn agent_of(gateway: &Gateway) -> u16 {
    gateway.transparent_agent(Http::One, HOST).send(&Request::messages()).await.expect("an answer").status
}

/// Ten million bytes that are no protocol, the same in every run (xorshift).
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..1_250_000).flat_map(|_| next()).collect()
}

#[tokio::test]
async fn noise_and_half_open_handshakes_disturb_nobody_and_leave_no_memory_behind() {
    let (_provider, gateway) = worked_example().await;
    let ways = gateway.every_way();
    // What a gateway holds that has served: as much after 100 requests as after 1,500.
    for (way, agent) in ways.iter().cycle().take(100) {
        assert_eq!(agent.send(&Request::messages()).await.expect(way).status, 200, "{way}");
    }
    let before = gateway.resident_kib();
    let held_before = allocated_mib(&gateway);
    let ready = gateway.ready().clone();
    let mut half_open = Vec::new();
    for number in 0..HALF_OPEN {
        let mut stream = match number % 4 {
            0 => connect(ready.proxy, &format!("{HOST}:443")).await.unwrap(),
            _ => TcpStream::connect(ready.transparent).await.unwrap(),
        };
        stream.write_all(&HALF_A_HELLO).await.unwrap();
        half_open.push(stream);
    }
    let noise = Arc::new(noise());
    let mut floods = JoinSet::new();
    for port in [ready.proxy, ready.transparent, ready.proxy, ready.transparent] {
        let noise = Arc::clone(&noise);
        floods.spawn(async move {
            // A connection that is closed in the middle has the rest on the next one.
            for part in noise.chunks(64 << 10) {
                let mut stream = TcpStream::connect(port).await.expect("a connection");
                let _ = stream.write_all(part).await;
            }
        });
    }
    for number in 0..100 {
        let (way, agent) = &ways[number % ways.len()];
        let answer = agent.send(&Request::messages()).await.unwrap_or_else(|why| panic!("{way}: {why:?}"));
        assert_eq!(answer.status, 200, "{way}, request {number}");
    }
    floods.join_all().await;
    drop(half_open);
    let end = Instant::now() + Duration::from_secs(60);
    while gateway.resident_kib() > before + 20 * MIB {
        let [resident, allocated] = [gateway.resident_kib() / MIB, allocated_mib(&gateway)];
        assert!(
            Instant::now() < end,
            "{resident} MiB, {allocated} allocated; {} and {held_before} before",
            before / MIB
        );
        sleep(Duration::from_millis(200)).await;
    }
}

/// The heap that Envoy has in use, in MiB.
fn allocated_mib(gateway: &Gateway) -> u64 {
    gateway.stats("server.memory_allocated").values().sum::<u64>() >> 20
}
