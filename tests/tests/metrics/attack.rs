//! Whoever reaches the endpoint and means harm: slow, many, large, or not HTTP at all. It stays bounded, answers Prometheus,
//! and nothing else notices.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::client::{Http, Request};
use harness::gateway::HOST;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::scrape::{get, say};
use super::{ENVOY, World};

/// More than the endpoint holds.
const MANY: usize = 300;

/// How many it holds.
const CONNECTIONS: usize = 64;

/// Connections that each say a part of a head, and then nothing.
async fn slow(address: SocketAddr) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..MANY {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nx-slow: ").await.unwrap();
        streams.push(stream);
    }
    streams
}

/// Whether the other side has ended it.
async fn is_over(stream: &mut TcpStream) -> bool {
    let mut byte = [0; 1024];
    tokio::time::timeout(Duration::from_millis(1), stream.read(&mut byte)).await.is_ok()
}

fn assert_no_panic(world: &World) {
    let errors = world.gateway.errors().join("\n");
    assert!(!errors.contains("panicked"), "{errors}");
}

#[tokio::test]
async fn slow_clients_end_by_the_clock_and_do_not_keep_prometheus_out() {
    let world = World::start().await;
    let begun = Instant::now();
    let mut streams = slow(world.address()).await;
    let started = Instant::now();
    for path in ["/metrics", ENVOY] {
        assert_eq!(get(world.address(), path).await.status, 200, "{path}");
    }
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let mut open = 0;
    for stream in &mut streams {
        open += usize::from(!is_over(stream).await);
    }
    assert!(open <= CONNECTIONS, "{open} are held");
    assert!(open > 0 || begun.elapsed() > Duration::from_secs(4), "none is held");
    // A byte a second does not help.
    let mut last = streams.pop().unwrap();
    let begun = Instant::now();
    while !is_over(&mut last).await {
        assert!(begun.elapsed() < Duration::from_secs(12), "a head without end is read for ever");
        let _ = last.write_all(b"a").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for stream in &mut streams {
        assert!(is_over(stream).await);
    }
    assert_no_panic(&world);
}

#[tokio::test]
async fn what_is_no_small_get_is_refused() {
    let world = World::start().await;
    let large = format!("GET /metrics HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "a".repeat(1 << 20));
    let many = format!("GET /metrics HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(500));
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(1 << 20));
    let deep = format!("GET /gateways/{}/metrics HTTP/1.1\r\nhost: a\r\n\r\n", "../".repeat(1000));
    let body = format!(
        "POST /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 9999999999\r\n\r\n{}",
        "a".repeat(1 << 20)
    );
    let chunked =
        "POST /metrics HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n";
    // An answer that is cut off, because more came than was read, is as good.
    #[rustfmt::skip]
    let cases: Vec<(&str, &str, &[u16])> = vec![
        ("a large head", &large, &[431]),
        ("many headers", &many, &[431]),
        ("a long path", &long, &[414, 431]),
        ("a path that climbs", &deep, &[404]),
        ("a body without end", &body, &[405]),
        ("a chunk without end", chunked, &[400, 405]),
        ("POST", "POST /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx", &[405]),
        ("PUT", "PUT /metrics HTTP/1.1\r\nhost: a\r\n\r\n", &[405]),
        ("DELETE", "DELETE /targets HTTP/1.1\r\nhost: a\r\n\r\n", &[405]),
        ("OPTIONS", "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", &[405]),
        ("TRACE", "TRACE /metrics HTTP/1.1\r\nhost: a\r\n\r\n", &[405]),
        ("CONNECT", "CONNECT api.anthropic.com:443 HTTP/1.1\r\nhost: a\r\n\r\n", &[405]),
        ("a proxy's form", "GET http://api.anthropic.com/v1/models HTTP/1.1\r\nhost: api.anthropic.com\r\n\r\n", &[404]),
        ("another version", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[400, 505]),
        ("no HTTP", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}hello\r\n\r\n", &[400]),
        ("NUL", "GET /metrics\0 HTTP/1.1\r\nhost: a\r\n\r\n", &[400]),
        ("the admin interface", "GET /config_dump HTTP/1.1\r\nhost: a\r\n\r\n", &[404]),
        ("the admin interface by a gateway", "GET /gateways/default/echo-bot/config_dump HTTP/1.1\r\nhost: a\r\n\r\n", &[404]),
        ("a query", "GET /gateways/default/echo-bot/metrics?filter=.* HTTP/1.1\r\nhost: a\r\n\r\n", &[200]),
    ];
    for (what, request, statuses) in cases {
        let answer = say(world.address(), request).await;
        let status = answer.as_ref().map(|answer| answer.status);
        assert!(status.is_none_or(|status| statuses.contains(&status)), "{what}: {status:?}");
        let may_be_closed = request.len() > 1000 || ["no HTTP", "another version"].contains(&what);
        assert!(status.is_some() || may_be_closed, "{what}: no answer");
    }
    let head = say(world.address(), "HEAD /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    // One request a connection, also where two come at once.
    let two = "GET /nothing HTTP/1.1\r\nhost: a\r\n\r\n".repeat(2);
    let answer = say(world.address(), &two).await.unwrap();
    assert_eq!((answer.status, answer.body.matches("HTTP/1.1").count()), (404, 0));
    assert_eq!(get(world.address(), "/metrics").await.status, 200);
    assert_no_panic(&world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_reaches_neither_envoy_nor_the_controller_and_ends_no_request_and_no_rotation() {
    let world = World::start().await;
    let pid = world.gateway.processes().iter().find(|(_, command)| command.contains(" dev ")).unwrap().0;
    let before = (asked(&world), resident_kib(pid));
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let address = world.address();
    let floods: Vec<_> = (0..8)
        .map(|n| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let path = if n % 2 == 0 { "/metrics" } else { ENVOY };
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
                    let answer = say(address, &request).await;
                    answered.fetch_add(
                        usize::from(answer.is_some_and(|answer| answer.status == 200)),
                        Ordering::SeqCst,
                    );
                }
            })
        })
        .collect();
    let held = slow(address).await;
    let started = Instant::now();
    let mut rotations = 0;
    while started.elapsed() < Duration::from_secs(4) {
        let answer = world.gateway.agent(Http::Two, HOST).send(&Request::messages()).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        // The same key: it is handed out and acknowledged all the same.
        let set = world.gateway.set_key(harness::scenario::KEY).await;
        assert!(set.status.success(), "{set:?}");
        rotations += 1;
    }
    let elapsed = started.elapsed().as_secs();
    stop.store(true, Ordering::SeqCst);
    for flood in floods {
        flood.await.unwrap();
    }
    drop(held);
    let after = (asked(&world), resident_kib(pid));
    let answered = answered.load(Ordering::SeqCst);
    assert!(answered > 50 && rotations > 2, "{answered} scrapes, {rotations} rotations");
    // Once a second, and what this test itself asks.
    assert!(after.0 - before.0 <= elapsed + 6, "Envoy was asked {} times in {elapsed} s", after.0 - before.0);
    assert!(after.1 < before.1 + 40 * 1024, "{before:?} {after:?}");
    assert_no_panic(&world);
}

/// How often Envoy's admin interface was asked.
fn asked(world: &World) -> u64 {
    world.gateway.stats("^http.admin.downstream_rq_total$")["http.admin.downstream_rq_total"]
}

fn resident_kib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn an_envoy_that_stands_still_costs_its_own_scrape_and_no_other() {
    let world = World::start().await;
    let envoy = rustix::process::Pid::from_raw(world.gateway.envoys()[0]).unwrap();
    assert_eq!(get(world.address(), ENVOY).await.status, 200);
    rustix::process::kill_process(envoy, rustix::process::Signal::STOP).unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let answered = async |path| (get(world.address(), path).await, Instant::now());
    let (stuck, own) = tokio::join!(answered(ENVOY), answered("/metrics"));
    rustix::process::kill_process(envoy, rustix::process::Signal::CONT).unwrap();
    assert_eq!((stuck.0.status, own.0.status), (503, 200), "{}", stuck.0.body);
    assert!(own.1 < stuck.1, "the one waited for the other");
    let end = Instant::now() + super::PATIENCE;
    while get(world.address(), ENVOY).await.status != 200 {
        assert!(Instant::now() < end, "it is not scraped again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
