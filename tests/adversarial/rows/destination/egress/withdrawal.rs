//! D13: a rule that is withdrawn ends what it had let through, and nothing else.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::client::{Http, connect};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::{
    ALLOWED, INTERCEPTED, NETWORKS, PLAIN, Tunnel, deny, echo, exchange, l4, listed, routes, row, tunnel,
};
use crate::row::{ONCE, PROXY, Row};
use crate::stage::Stage;
use crate::wire::http1::Http1;
use crate::wire::{Reply, Request};
use crate::world::{Echo, OTHER, ip};

pub(super) fn rows() -> Vec<Row> {
    let rows = vec![
        row(
            "D13.entry",
            "one name of a list is withdrawn: its tunnel ends within 30 s, its neighbours go on",
            ONCE,
            entry,
        ),
        row(
            "D13.denial",
            "a denial is added: what it speaks of ends within 30 s, its neighbours go on",
            ONCE,
            denial,
        ),
        row(
            "D13.allowed",
            "an intercepted host is withdrawn: 403 on its open connection, which then ends",
            PROXY,
            withdrawn,
        ),
    ];
    // They change the gateway's rules, and change them back.
    rows.into_iter().map(|row| row.under(listed().own("egress")).slow()).collect()
}

/// Writes the rules anew.
fn rewrite(stage: &Stage, text: &str) {
    stage.gateway().write_manifest("egress.yaml", text);
}

/// Open tunnels by target, each of which has passed bytes.
async fn open_tunnels(stage: &Stage, targets: &[&str]) -> Vec<TcpStream> {
    let mut tunnels = Vec::new();
    for target in targets {
        let mut stream = connect(stage.subject.proxy, target).await.expect("a tunnel");
        assert_eq!(exchange(&mut stream, PLAIN).await, Tunnel::Passed, "{target}");
        tunnels.push(stream);
    }
    tunnels
}

/// Until a fresh tunnel to the target is refused, or is not.
async fn until(stage: &Stage, target: &str, refuses: bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while matches!(tunnel(stage, target, PLAIN).await, Tunnel::Refused(..)) != refuses {
        assert!(Instant::now() < end, "{target}: the change does not arrive");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The first tunnel ends within 30 s, the others pass bytes before and after.
async fn only_first_ends(mut tunnels: Vec<TcpStream>) {
    let mut first = tunnels.remove(0);
    let start = Instant::now();
    let mut byte = [0; 1];
    let read = tokio::time::timeout(Duration::from_secs(30), first.read(&mut byte)).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))), "the tunnel is still open after 30 s: {read:?}");
    let took = start.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (index, stream) in tunnels.iter_mut().enumerate() {
        assert_eq!(
            exchange(stream, PLAIN).await,
            Tunnel::Passed,
            "neighbour {index}, {took:?} after the change"
        );
    }
}

async fn entry(stage: Stage) {
    let _echoes = (echo(&stage, 443, "").await, Echo::listen(SocketAddr::new(ip(ALLOWED), 443), "").await);
    let tunnels =
        open_tunnels(&stage, &["passed.example:443", "one.wild.example:443", "11.22.33.80:443"]).await;
    rewrite(&stage, &routes().replace("[passed.example, '*.wild.example']", "['*.wild.example']"));
    until(&stage, "passed.example:443", true).await;
    only_first_ends(tunnels).await;
    rewrite(&stage, &routes());
    until(&stage, "passed.example:443", false).await;
    // The whole object goes.
    let tunnels = open_tunnels(&stage, &["11.22.33.80:443", "passed.example:443"]).await;
    rewrite(&stage, &routes().replace(&l4("networks", "raw", NETWORKS), ""));
    until(&stage, "11.22.33.80:443", true).await;
    only_first_ends(tunnels).await;
    rewrite(&stage, &routes());
    until(&stage, "11.22.33.80:443", false).await;
}

async fn denial(stage: Stage) {
    let _echoes = (echo(&stage, 443, "").await, Echo::listen(SocketAddr::new(ip(ALLOWED), 443), "").await);
    let tunnels =
        open_tunnels(&stage, &["one.wild.example:443", "passed.example:443", "11.22.33.80:443"]).await;
    let more = [l4("new", "raw", "{destinationHostnames: [one.wild.example]}"), deny("new", "{}")].concat();
    rewrite(&stage, &(routes() + &more));
    until(&stage, "one.wild.example:443", true).await;
    only_first_ends(tunnels).await;
    rewrite(&stage, &routes());
    until(&stage, "one.wild.example:443", false).await;
}

async fn withdrawn(stage: Stage) {
    let request = Request::messages().authority(OTHER);
    let stream = stage.agent_for(OTHER).open().await.expect("a connection");
    let gone = routes().replace(&l4("intercepted", "egress", INTERCEPTED), "");
    let reply: Reply = match stage.http() {
        Http::One => {
            let mut http: Http1<_> = stage.http1_over(stream);
            assert_eq!(http.ask(&request.to_http1()).await.map(|answer| answer.status), Ok(200));
            rewrite(&stage, &gone);
            until(&stage, "other.example:443", true).await;
            stage.world.other.forget();
            let reply = http.ask(&request.to_http1()).await.into();
            let (_, ended) = http.rest(Duration::from_secs(30)).await;
            assert!(ended, "the connection is still open after 30 s");
            reply
        }
        Http::Two => {
            let mut http = stage.http2_over(stream).await;
            assert_eq!(http.ask(&request).await.map(|answer| answer.status), Ok(200));
            rewrite(&stage, &gone);
            until(&stage, "other.example:443", true).await;
            stage.world.other.forget();
            let reply = http.ask(&request).await.into();
            assert!(http.ended(Duration::from_secs(30)).await.0, "the connection is still open after 30 s");
            reply
        }
    };
    stage.refused(&reply, 403, "denied_by_policy");
    assert!(stage.world.other.take_requests().is_empty(), "a request went upstream");
    rewrite(&stage, &routes());
    let end = Instant::now() + Duration::from_secs(10);
    while stage.send(&stage.agent_for(OTHER), &request).await.status() != 200 {
        assert!(Instant::now() < end, "the rules do not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage.world.other.forget();
}
