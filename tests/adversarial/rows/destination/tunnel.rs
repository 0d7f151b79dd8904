//! D14: the name of a credentialed host inside a tunnel to somewhere else, where others pass untouched.

use std::net::SocketAddr;
use std::time::Duration;

use harness::client::connect;
use harness::gateway::HOST;
use tokio::net::TcpStream;

use crate::row::{ONCE, PROXY, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::Request;
use crate::wire::hello::{Outcome, offer};
use crate::world::{HOSTILE, OTHER, Plain, ip};

pub(super) fn rows() -> Vec<Row> {
    let passing = || Scenario::default().others_pass();
    vec![
        Row::new(
            "D14.address",
            "CONNECT to an address, SNI of the credentialed host: closed before a byte",
            ONCE,
            address,
        )
        .under(passing()),
        Row::new("D14.name", "CONNECT to another name, SNI of the credentialed host: closed", PROXY, name)
            .under(passing()),
        Row::new(
            "D14.other-sni",
            "CONNECT to one name, SNI of another, neither with a rule: closed",
            ONCE,
            other_sni,
        )
        .under(passing())
        .only_keyward("a proxy that passes tunnels on need not compare"),
        Row::new("D14.late", "the SNI comes late, or in pieces: still closed before a byte", ONCE, late)
            .under(passing())
            .slow(),
        Row::new(
            "D14.control",
            "CONNECT and SNI agree on a host without a rule: bytes pass untouched",
            ONCE,
            control,
        )
        .under(passing())
        .only_keyward("another proxy may intercept everything"),
    ]
}

/// Where raw bytes are recorded: no TLS stands in front of them.
const RAW: u8 = 76;

async fn raw() -> Plain {
    Plain::listen(SocketAddr::new(ip(RAW), 443)).await.expect("a listener")
}

fn received(raw: &Plain) -> Vec<u8> {
    raw.connections().concat()
}

/// Offers an SNI in a tunnel to a target.
async fn offered(stage: &Stage, target: &str, sni: &str) -> Outcome {
    match connect(stage.subject.proxy, target).await {
        Ok(stream) => offer(stream, Some(sni.as_bytes()), &["http/1.1"]).await,
        Err(_) => Outcome::Refused(None),
    }
}

async fn address(stage: Stage) {
    let raw = raw().await;
    for target in [format!("{}:443", ip(RAW)), format!("[::ffff:{}]:443", ip(RAW))] {
        let outcome = offered(&stage, &target, HOST).await;
        assert!(matches!(outcome, Outcome::Refused(_)), "{target}: {outcome:?}");
        assert!(received(&raw).is_empty(), "{target}: bytes went upstream");
    }
    stage.nothing_upstream().await;
}

async fn name(stage: Stage) {
    for target in [OTHER, HOSTILE] {
        let agent = stage.agent_with(&format!("{target}:443"), Some(HOST));
        let reply = stage.send(&agent, &Request::messages()).await;
        stage.refused_with_any(&reply, &[0, 421]);
        stage.nothing_upstream().await;
    }
}

async fn other_sni(stage: Stage) {
    let raw = raw().await;
    stage.world.zone.set("raw.example", &[ip(RAW)]);
    let outcome = offered(&stage, "raw.example:443", OTHER).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    assert!(received(&raw).is_empty(), "bytes went upstream");
}

async fn late(stage: Stage) {
    let raw = raw().await;
    let hello = crate::wire::hello::hello(Some(HOST.as_bytes()), &["http/1.1"]);
    for pause in [Duration::from_millis(20), Duration::from_millis(1200)] {
        let target = format!("{}:443", ip(RAW));
        let Ok(mut stream) = connect(stage.subject.proxy, &target).await else { continue };
        for part in [&hello[..1], &hello[1..60], &hello[60..]] {
            tokio::time::sleep(pause).await;
            // It may be closed by now.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, part).await;
        }
        closed(&mut stream).await;
        assert!(received(&raw).is_empty(), "after {pause:?}: bytes went upstream");
    }
}

async fn closed(stream: &mut TcpStream) {
    let mut byte = [0; 1];
    let read =
        tokio::time::timeout(Duration::from_secs(20), tokio::io::AsyncReadExt::read(stream, &mut byte)).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))), "the tunnel is open: {read:?}");
}

/// The raw listener answers HTTP, so a ClientHello gets nothing; that its bytes arrived is what counts.
async fn control(stage: Stage) {
    let raw = raw().await;
    stage.world.zone.set("raw.example", &[ip(RAW)]);
    let mut stream = connect(stage.subject.proxy, "raw.example:443").await.expect("a tunnel");
    let hello = crate::wire::hello::hello(Some(b"raw.example"), &["http/1.1"]);
    tokio::io::AsyncWriteExt::write_all(&mut stream, &hello).await.expect("written");
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    while received(&raw).len() < hello.len() && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(received(&raw), hello, "the bytes of the tunnel did not pass untouched");
}
