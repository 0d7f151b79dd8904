//! F6: which destinations are reached, by name, by address and by port.

use std::net::SocketAddr;

use harness::client::{Agent, Way, connect};
use harness::gateway::HOST;
use tokio::net::TcpStream;

use super::{
    ALLOWED, BELOW, DENIED, LISTENERS, MORE_LISTENERS, PASSED, PLAIN, RAW, Tunnel, deny, echo, exchange, l4,
    refused, row, tunnel,
};
use crate::row::{ONCE, PROXY, Row, TRANSPARENT};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::Request;
use crate::wire::hello::{Outcome, hello, offer};
use crate::world::{Echo, HOSTILE, OTHER, ip};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row(
            "F6.allowed",
            "deny-all: what a rule allows by host and port is reached, and nothing else",
            ONCE,
            allowed,
        ),
        row(
            "F6.intercepted",
            "deny-all: a host allowed where TLS ends is intercepted, and gets nothing",
            PROXY,
            intercepted,
        ),
        row(
            "F6.transparent",
            "the same at the transparent port, where the name alone decides",
            TRANSPARENT,
            transparent,
        ),
        row(
            "F6.denied",
            "what is denied beats what is allowed, with the operator's own answer",
            ONCE,
            denied,
        ),
        row(
            "F6.denied-everywhere",
            "allow-all: names and networks that are denied, by whatever spelling or SNI",
            ONCE,
            denied_everywhere,
        )
        .under(open()),
        row(
            "F6.denied-credentialed",
            "a denial beats even a route for a provider",
            PROXY,
            denied_credentialed,
        )
        .under(forbidden())
        .without_control(),
        row(
            "F6.addresses",
            "an allowed network: its addresses in every spelling, and those beside it",
            ONCE,
            addresses,
        ),
        row("F6.ports", "a port that no listener serves is refused, whatever the policy", ONCE, ports).under(
            Scenario::default().replace(
                LISTENERS,
                "listeners: [{name: egress, protocol: TLS, port: 443, tls: {mode: Terminate}}]",
            ),
        ),
    ]
}

/// Everything is allowed but for what is denied.
fn open() -> Scenario {
    let denied = [
        l4("names", "raw", "{destinationHostnames: [hostile.example, '*.wild.example']}"),
        l4("networks", "raw", "{destinationCIDRs: [11.22.33.80/31, '2606:4700::80/124']}"),
        deny("names", "{message: not there}"),
        deny("networks", "{}"),
    ];
    Scenario::default()
        .others_pass()
        .replace(LISTENERS, MORE_LISTENERS)
        .manifest("egress.yaml", &denied.concat())
}

/// The provider's host is denied.
fn forbidden() -> Scenario {
    let denied = [
        l4("provider", "raw", &format!("{{destinationHostnames: [{HOST}]}}")),
        deny("provider", "{statusCode: 410}"),
    ];
    Scenario::default()
        .deny_all()
        .replace(LISTENERS, MORE_LISTENERS)
        .manifest("egress.yaml", &denied.concat())
}

async fn allowed(stage: Stage) {
    let (tls, raw) = (echo(&stage, 443, "").await, echo(&stage, 2525, "").await);
    for (target, passes) in [
        ("passed.example:443", true),
        ("PASSED.example:2525", true),
        ("one.wild.example:443", true),
        ("passed.example.:443", true),
        ("passed.example:2499", false),
        ("passed.example:2601", false),
        ("passed.example:80", false),
        ("wild.example:443", false),
        ("a.b.wild.example:443", false),
        ("xpassed.example:443", false),
        ("passed.example.evil.example:443", false),
        ("passedxexample:443", false),
        ("hostile.example:443", false),
        ("11.22.33.76:443", false),
    ] {
        let name = target.split(':').next().unwrap().trim_end_matches('.').to_ascii_lowercase();
        let what = match passes {
            // On 443 a client speaks first, and it need not be TLS.
            true => tunnel(&stage, target, PLAIN).await,
            false => tunnel(&stage, target, &hello(Some(name.as_bytes()), &["h2"])).await,
        };
        assert!(if passes { what == Tunnel::Passed } else { refused(&what) }, "{target}: {what:?}");
    }
    assert!(!tls.received().is_empty() && !raw.received().is_empty());
    // In the clear: what the listener for it serves.
    for (host, status) in [(OTHER, 200), (PASSED, 403), ("other.example:8080", 403), (HOSTILE, 403)] {
        let request = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(stage.ask_proxy(request.as_bytes()).await.status(), status, "{host}");
    }
    assert!(stage.world.cleartext.saw("GET / HTTP/1.1"));
    stage.world.cleartext.forget();
}

async fn intercepted(stage: Stage) {
    let agent = stage.agent_for(OTHER);
    let reply = stage.send(&agent, &Request::messages().authority(OTHER)).await;
    assert_eq!(reply.status(), 200, "{reply:?}");
    let received = stage.world.other.only_request();
    assert!(received.values("x-api-key").iter().all(|value| !value.contains("sk-ant")), "{received:?}");
    // The tunnel to an allowed host is none to another.
    for authority in [HOSTILE, "other.example:8443", HOST] {
        let reply = stage.send(&agent, &Request::messages().authority(authority)).await;
        stage.refused_with_any(&reply, &[403, 421]);
    }
    for target in ["hostile.example", "api.openai.com"] {
        let reply = stage.send(&stage.agent_for(target), &Request::messages().authority(target)).await;
        stage.refused(&reply, 403, "denied_by_policy");
    }
    stage.nothing_upstream().await;
}

async fn transparent(stage: Stage) {
    let _echo = echo(&stage, 443, "").await;
    let reply = stage.send(&stage.agent_for(OTHER), &Request::messages().authority(OTHER)).await;
    assert_eq!(reply.status(), 200, "{reply:?}");
    stage.world.other.forget();
    let address = stage.subject.transparent.expect("a transparent port");
    for (name, passes) in
        [(PASSED, true), (BELOW, true), (DENIED, false), (HOSTILE, false), ("a.b.wild.example", false)]
    {
        let mut stream = TcpStream::connect(address).await.expect("the transparent port");
        let what = exchange(&mut stream, &hello(Some(name.as_bytes()), &["http/1.1"])).await;
        assert_eq!(what, if passes { Tunnel::Passed } else { Tunnel::Closed }, "{name}");
    }
    stage.nothing_upstream().await;
}

async fn denied(stage: Stage) {
    let echo = echo(&stage, 443, "").await;
    for target in [format!("{DENIED}:443"), format!("{}:443", DENIED.to_uppercase())] {
        let what = tunnel(&stage, &target, PLAIN).await;
        let Tunnel::Refused(451, body) = &what else { panic!("{target}: {what:?}") };
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["error"]["type"], "denied_by_policy");
        assert_eq!(body["error"]["message"], "Ask \"security\" first");
    }
    // Denied on this port alone.
    let other = Echo::listen(SocketAddr::new(ip(RAW), 2525), "").await;
    assert_eq!(tunnel(&stage, &format!("{DENIED}:2525"), PLAIN).await, Tunnel::Passed);
    drop(other);
    let request = format!("GET http://{DENIED}:443/ HTTP/1.1\r\nHost: {DENIED}:443\r\n\r\n");
    let reply = stage.ask_proxy(request.as_bytes()).await;
    stage.refused(&reply, 451, "denied_by_policy");
    // By the name inside a tunnel to another one.
    let inside = offer(
        connect(stage.subject.proxy, "one.wild.example:443").await.unwrap(),
        Some(DENIED.as_bytes()),
        &[],
    )
    .await;
    assert!(matches!(inside, Outcome::Refused(_)), "{inside:?}");
    assert!(echo.received().is_empty(), "bytes went upstream");
}

async fn denied_everywhere(stage: Stage) {
    let _echo = echo(&stage, 443, "").await;
    let here = [ip(ALLOWED), "2606:4700::80".parse().unwrap()];
    let mut listening = Vec::new();
    for address in here {
        stage.world.address(address);
        listening.push(Echo::listen(SocketAddr::new(address, 443), "").await);
    }
    let beside = "2606:4700::90".parse().unwrap();
    stage.world.address(beside);
    let _beside = Echo::listen(SocketAddr::new(beside, 443), "").await;
    stage.world.zone.set("free.example", &[ip(RAW)]);
    for free in ["free.example:443", "11.22.33.76:443", "[2606:4700::90]:443"] {
        assert_eq!(tunnel(&stage, free, PLAIN).await, Tunnel::Passed, "{free}: the control");
    }
    for target in [
        "hostile.example:443",
        "HOSTILE.example:443",
        "hostile.example.:443",
        "denied.wild.example:443",
        "11.22.33.80:443",
        "11.22.33.81:22",
        "[::ffff:11.22.33.80]:443",
        "[2606:4700::80]:443",
        "[2606:4700:0:0:0:0:0:80]:443",
        "[2606:4700:0000::0080]:443",
        "0xb162150:443",
        "185999696:443",
        "11.22.8528:443",
        "013.026.041.0120:443",
        "0xb.0x16.0x21.0x50:443",
        "11.22.33.080:443",
    ] {
        let what = tunnel(&stage, target, PLAIN).await;
        assert!(matches!(what, Tunnel::Refused(400 | 403, _) | Tunnel::Closed), "{target}: {what:?}");
    }
    // A denied name by its address, where addresses are free.
    let inside =
        offer(connect(stage.subject.proxy, "11.22.33.76:443").await.unwrap(), Some(b"hostile.example"), &[])
            .await;
    assert!(matches!(inside, Outcome::Refused(_)), "{inside:?}");
    assert!(listening.iter().all(|echo| echo.received().is_empty()), "bytes went to a denied address");
    let request = "GET http://hostile.example/ HTTP/1.1\r\nHost: hostile.example\r\n\r\n";
    let reply = stage.ask_proxy(request.as_bytes()).await;
    stage.refused(&reply, 403, "denied_by_policy");
    let reply = stage.ask_proxy(b"GET http://other.example/ HTTP/1.1\r\nHost: other.example\r\n\r\n").await;
    assert_eq!(reply.status(), 200, "the control");
    stage.world.cleartext.forget();
    stage.nothing_upstream().await;
}

async fn denied_credentialed(stage: Stage) {
    let reply = stage.ask(&Request::messages()).await;
    stage.refused(&reply, 410, "denied_by_policy");
    // From the transparent port it is the handshake that fails.
    let way = Way::Direct(stage.subject.transparent.expect("a transparent port"));
    let agent = Agent::new(way, stage.http(), HOST, &stage.subject.ca);
    let reply = stage.send(&agent, &Request::messages()).await;
    stage.refused_with_any(&reply, &[0]);
    stage.nothing_upstream().await;
}

async fn addresses(stage: Stage) {
    let mut listening = Vec::new();
    for address in
        [ip(ALLOWED), ip(ALLOWED + 2), "2606:4700::80".parse().unwrap(), "2606:4700::90".parse().unwrap()]
    {
        stage.world.address(address);
        listening.push(Echo::listen(SocketAddr::new(address, 443), "").await);
    }
    for (target, passes) in [
        ("11.22.33.80:443", true),
        ("[2606:4700::80]:443", true),
        ("[2606:4700:0:0:0:0:0:80]:443", true),
        ("11.22.33.82:443", false),
        ("11.22.33.8:443", false),
        ("11.22.33.80:444", false),
        ("[2606:4700::90]:443", false),
        ("[::ffff:11.22.33.80]:443", false),
        ("0xb162150:443", false),
        ("11.22.33.080:443", false),
        ("11.22.33.80.example:443", false),
    ] {
        let what = tunnel(&stage, target, PLAIN).await;
        let refused = matches!(what, Tunnel::Refused(400 | 403, _) | Tunnel::Closed);
        assert!(if passes { what == Tunnel::Passed } else { refused }, "{target}: {what:?}");
    }
    // A name does not become allowed by leading to an allowed address.
    stage.world.zone.set("into.example", &[ip(ALLOWED)]);
    assert!(refused(&tunnel(&stage, "into.example:443", PLAIN).await));
    let [_, beside, _, beside6] = &listening[..] else { unreachable!() };
    assert!(beside.received().is_empty() && beside6.received().is_empty(), "bytes went beside the network");
    // Nor does an allowed address carry the name of a provider.
    let inside =
        offer(connect(stage.subject.proxy, "11.22.33.80:443").await.unwrap(), Some(HOST.as_bytes()), &["h2"])
            .await;
    assert!(!matches!(inside, Outcome::Silent), "{inside:?}");
    stage.nothing_upstream().await;
}

async fn ports(stage: Stage) {
    for target in ["other.example:8443", "other.example:22", "11.22.33.3:8443"] {
        let what = tunnel(&stage, target, PLAIN).await;
        assert!(refused(&what), "{target}: {what:?}");
    }
    let reply = stage.ask_proxy(b"GET http://other.example/ HTTP/1.1\r\nHost: other.example\r\n\r\n").await;
    stage.refused(&reply, 403, "denied_by_policy");
    stage.nothing_upstream().await;
}
