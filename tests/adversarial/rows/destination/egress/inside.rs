//! D14: what a tunnel may carry that a rule lets pass.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use harness::client::{Agent, Http, Way, connect};
use harness::gateway::HOST;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{ALLOWED, BELOW, FRESH, PASSED, PLAIN, Tunnel, echo, exchange, row, tunnel};
use crate::row::{ONCE, Row};
use crate::stage::Stage;
use crate::wire::Request;
use crate::wire::hello::{Outcome, hello, offer};
use crate::world::{Echo, OTHER, ip};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row(
            "D14.allowed",
            "a second SNI inside a tunnel that a rule lets pass: closed before a byte",
            ONCE,
            second_sni,
        ),
        row(
            "D14.protocols",
            "what is not TLS, speaks first, or offers foreign ALPN, where it may pass and where not",
            ONCE,
            protocols,
        ),
        row(
            "D14.private",
            "an allowed name that leads to a private address: refused all the same",
            ONCE,
            private,
        ),
    ]
}

const MAIL: &str = "220 mail.example ready\r\n";

async fn second_sni(stage: Stage) {
    let echo = echo(&stage, 443, "").await;
    let also = Echo::listen(SocketAddr::new(ip(ALLOWED), 443), "").await;
    for (target, sni) in
        [(PASSED, HOST), (PASSED, OTHER), (PASSED, BELOW), (BELOW, "two.wild.example"), ("11.22.33.80", HOST)]
    {
        let stream = connect(stage.subject.proxy, &format!("{target}:443")).await.expect("a tunnel");
        let what = offer(stream, Some(sni.as_bytes()), &["http/1.1"]).await;
        let intercepted = sni == HOST && what == Outcome::Accepted;
        assert!(matches!(what, Outcome::Refused(_)) || intercepted, "{target} {sni}: {what:?}");
    }
    for pause in [Duration::from_millis(20), Duration::from_millis(1200)] {
        let mut stream = connect(stage.subject.proxy, &format!("{PASSED}:443")).await.expect("a tunnel");
        for part in hello(Some(OTHER.as_bytes()), &["h2"]).chunks(60) {
            tokio::time::sleep(pause).await;
            let _ = stream.write_all(part).await;
        }
        assert_ne!(exchange(&mut stream, b"x").await, Tunnel::Passed);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(echo.received().is_empty() && also.received().is_empty(), "bytes went upstream");
    assert_eq!(
        tunnel(&stage, &format!("{PASSED}:443"), &hello(Some(PASSED.as_bytes()), &["h2"])).await,
        Tunnel::Passed
    );
    stage.nothing_upstream().await;
}

async fn protocols(stage: Stage) {
    let _tls = echo(&stage, 443, "").await;
    let _mail = echo(&stage, 2525, MAIL).await;
    // A server that speaks first, to a client that waits for it.
    let start = Instant::now();
    let mut stream = connect(stage.subject.proxy, &format!("{PASSED}:2525")).await.expect("a tunnel");
    let mut greeting = vec![0; MAIL.len()];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut greeting)).await;
    assert!(matches!(read, Ok(Ok(_))) && greeting == MAIL.as_bytes(), "{read:?} after {:?}", start.elapsed());
    assert_eq!(exchange(&mut stream, PLAIN).await, Tunnel::Passed);
    // Untouched is untouched: no TLS, foreign ALPN, no name.
    for bytes in [PLAIN.to_vec(), hello(Some(PASSED.as_bytes()), &["imap"]), hello(None, &[])] {
        assert_eq!(tunnel(&stage, &format!("{PASSED}:443"), &bytes).await, Tunnel::Passed);
    }
    // Where TLS ends, nothing else gets through.
    for bytes in [PLAIN.to_vec(), hello(Some(OTHER.as_bytes()), &["imap"])] {
        let what = tunnel(&stage, &format!("{OTHER}:443"), &bytes).await;
        assert_eq!(what, Tunnel::Closed, "{}", String::from_utf8_lossy(&bytes));
    }
    stage.nothing_upstream().await;
}

async fn private(stage: Stage) {
    let inner: IpAddr = "10.1.2.3".parse().unwrap();
    stage.world.address(inner);
    let echo = Echo::listen(SocketAddr::new(inner, 443), "").await;
    let [passed, intercepted] = FRESH;
    stage.world.zone.set(passed, &[inner]);
    let what = tunnel(&stage, &format!("{passed}:443"), &hello(Some(passed.as_bytes()), &["h2"])).await;
    assert_eq!(what, Tunnel::Closed);
    stage.world.zone.set(intercepted, &[inner]);
    let way = Way::Proxy(stage.subject.proxy, format!("{intercepted}:443"));
    let agent = Agent::new(way, Http::One, intercepted, &stage.subject.ca);
    let reply = stage.send(&agent, &Request::messages().authority(intercepted)).await;
    stage.refused(&reply, 503, "upstream_refused");
    assert!(echo.received().is_empty(), "bytes went to a private address");
}
