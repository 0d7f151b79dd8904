//! The same guarantees where upstreams are reached through the operator's own HTTP proxy, which resolves their names.

use std::net::SocketAddr;
use std::time::Duration;

use harness::client::{Agent, Http, Way, connect};
use harness::gateway::HOST;
use harness::provider::Identity;
use harness::scenario::KEY;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::row::{EVERY, ONCE, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::Request;
use crate::world::{Echo, ForwardProxy, OTHER, ip};

const ONLY: &str = "needs a proxy behind the proxy";
const PROXY: u8 = 90;
const RAW: u8 = 76;

pub(super) fn rows() -> Vec<Row> {
    let proxied = || Scenario::default().line("upstreamProxy: {address: '11.22.33.90:3128'}");
    let row = |row: Row| row.without_control().only_keyward(ONLY);
    vec![
        row(Row::new(
            "D8.proxied",
            "behind an HTTP proxy: the key reaches its provider, whose certificate is verified",
            EVERY,
            verified,
        )
        .under(proxied())),
        row(Row::new("D8.proxied-name", "the same, where the proxy has a name", ONCE, by_name)
            .under(Scenario::default().line("upstreamProxy: {address: 'proxy.corp.example:3128'}"))),
        row(Row::new(
            "D8.proxied-wrong",
            "behind an HTTP proxy that leads to somebody else: nothing of the request goes out",
            ONCE,
            wrong,
        )
        .under(proxied())),
        row(Row::new(
            "D5.proxied",
            "behind an HTTP proxy: addresses and names of this machine are not asked for",
            ONCE,
            local,
        )
        .under(proxied().others_pass())),
        row(Row::new(
            "F6.proxied",
            "behind an HTTP proxy: what passes untouched goes through it too",
            ONCE,
            untouched,
        )
        .under(proxied().others_pass())),
        row(Row::new(
            "F1.proxied",
            "the HTTP proxy refuses, or is not there: 503, and nothing goes past it",
            EVERY,
            down,
        )
        .under(proxied())),
    ]
}

async fn proxy(ports: &[u16]) -> ForwardProxy {
    ForwardProxy::start(SocketAddr::new(ip(PROXY), 3128), ports).await
}

fn other(stage: &Stage) -> Agent {
    stage.agent_for(OTHER)
}

async fn verified(stage: Stage) {
    let proxy = proxy(&[443]).await;
    for _ in 0..2 {
        stage.good().await;
    }
    let reply = stage.send(&other(&stage), &Request::messages().authority(OTHER)).await;
    assert_eq!(reply.status(), 200, "{reply:?}");
    assert!(!stage.world.other.only_request().mentions(KEY));
    // Each host has a tunnel of its own, and connections are reused.
    let mut asked = proxy.asked_for();
    asked.sort();
    asked.dedup();
    assert_eq!(asked, [format!("{HOST}:443"), format!("{OTHER}:443")]);
}

async fn by_name(stage: Stage) {
    stage.world.zone.set("proxy.corp.example", &[ip(PROXY)]);
    let proxy = proxy(&[443]).await;
    // Its name could not be resolved until now.
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while stage.ask(&Request::messages()).await.status() != 200 {
        assert!(std::time::Instant::now() < end, "the proxy's name is not found");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stage.world.anthropic.forget();
    stage.good().await;
    // Each worker that is used has a tunnel of its own.
    let mut asked = proxy.asked_for();
    asked.dedup();
    assert_eq!(asked, [format!("{HOST}:443")]);
}

async fn wrong(stage: Stage) {
    let proxy = proxy(&[443]).await;
    stage.world.zone.set(HOST, &[ip(2)]);
    let reply = stage.ask(&Request::messages()).await;
    stage.refused(&reply, 503, "upstream_refused");
    for (number, identity) in
        [(72, Identity::WrongName), (73, Identity::Expired), (74, Identity::UnknownAuthority)]
    {
        let site = stage.world.site(ip(number), &[HOST], identity).await;
        stage.world.zone.set(HOST, &[ip(number)]);
        let reply = stage.ask(&Request::messages()).await;
        stage.refused(&reply, 503, "upstream_refused");
        assert!(site.take_requests().is_empty());
    }
    assert!(proxy.asked_for().len() >= 3);
    stage.nothing_upstream().await;
}

async fn local(stage: Stage) {
    let proxy = proxy(&[443, 80, 8443]).await;
    for target in [
        "127.0.0.1:443",
        "11.22.33.3:443",
        "[::1]:443",
        "[::ffff:127.0.0.1]:443",
        "localhost:443",
        "LOCALHOST:443",
        "localhost.:443",
        "a.localhost:443",
        "localhost.localdomain:443",
        "0x7f000001:443",
        "2130706433:443",
        "127.1:443",
    ] {
        let tunnel = connect(stage.subject.proxy, target).await;
        assert!(tunnel.is_err(), "{target}: a tunnel was opened");
        let host = target.rsplit_once(':').expect("a port").0;
        let request = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let reply = stage.ask_proxy(request.as_bytes()).await;
        stage.refused_with_any(&reply, &[400, 403]);
    }
    let way = Way::Direct(stage.subject.transparent.expect("a transparent port"));
    for name in ["localhost", "a.localhost"] {
        let agent = Agent::new(way.clone(), Http::One, name, &stage.subject.ca);
        let reply = stage.send(&agent, &Request::messages().authority(name)).await;
        stage.refused_with_any(&reply, &[0]);
    }
    assert_eq!(proxy.asked_for(), [""; 0]);
    stage.nothing_upstream().await;
}

async fn untouched(stage: Stage) {
    let proxy = proxy(&[443, 80]).await;
    stage.world.zone.set("passed.example", &[ip(RAW)]);
    let echo = Echo::listen(SocketAddr::new(ip(RAW), 443), "").await;
    let bytes = b"hello, this is no TLS";
    let mut stream = connect(stage.subject.proxy, "passed.example:443").await.expect("a tunnel");
    let mut back = [0; 21];
    stream.write_all(bytes).await.expect("written");
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut back)).await;
    assert!(matches!(read, Ok(Ok(_))) && back == *bytes, "{read:?}");
    // TLS that ends at the host itself, through either port.
    let ways = [
        Way::Proxy(stage.subject.proxy, format!("{OTHER}:443")),
        Way::Direct(stage.subject.transparent.expect("a port")),
    ];
    for way in ways {
        let agent = Agent::new(way, Http::One, OTHER, stage.world.ca());
        let reply = stage.send(&agent, &Request::messages().authority(OTHER)).await;
        assert_eq!(reply.status(), 200, "{reply:?}");
    }
    let reply = stage.ask_proxy(b"GET http://other.example/ HTTP/1.1\r\nHost: other.example\r\n\r\n").await;
    assert_eq!(reply.status(), 200, "{reply:?}");
    let asked = proxy.asked_for();
    let expected = ["passed.example:443", "other.example:443", "other.example:443", "other.example:80"];
    assert_eq!(asked, expected);
    assert_eq!(echo.received(), bytes);
    stage.world.other.forget();
    stage.world.cleartext.forget();
}

async fn down(stage: Stage) {
    let refused = || async {
        let reply = stage.ask(&Request::messages()).await;
        stage.refused(&reply, 503, "upstream_refused");
        let reply = stage.send(&other(&stage), &Request::messages().authority(OTHER)).await;
        stage.refused(&reply, 503, "upstream_refused");
        stage.nothing_upstream().await;
    };
    refused().await;
    // One that opens no tunnel to that port.
    let proxy = proxy(&[8443]).await;
    refused().await;
    assert!(proxy.asked_for().contains(&format!("{HOST}:443")));
    drop(proxy);
    refused().await;
    let _proxy = self::proxy(&[443]).await;
    stage.good().await;
}
