//! D13, D14 and F6 where destinations are allowed and denied one by one: by name, by address, by port.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use harness::client::{Agent, Failure, Http, Way, connect};
use harness::gateway::HOST;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::row::{ONCE, PROXY, Row, TRANSPARENT};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::hello::{Outcome, hello, offer};
use crate::wire::http1::Http1;
use crate::wire::{Reply, Request};
use crate::world::{Echo, HOSTILE, OTHER, ip};

const ONLY: &str = "needs rules for destinations";

/// A host that passes untouched, one below a suffix that does, and one that is denied though it is below it too.
const PASSED: &str = "passed.example";
const BELOW: &str = "one.wild.example";
const DENIED: &str = "denied.wild.example";
/// Two that no other row asks for, so that no Envoy has an address for them: one passes untouched, one is intercepted.
const FRESH: [&str; 2] = ["fresh.wild.example", "fresh.example"];
/// Where they are.
const RAW: u8 = 76;
/// Addresses that are allowed as such: 11.22.33.80 and its neighbour.
const ALLOWED: u8 = 80;
const MAIL: &str = "220 mail.example ready\r\n";

const LISTENERS: &str = "listeners: [{name: egress, protocol: TLS, tls: {mode: Terminate}}]";

/// Ends TLS on 443, passes everything else on, and serves port 80 in the clear.
const MORE_LISTENERS: &str = "listeners: [{name: egress, protocol: TLS, port: 443, tls: {mode: Terminate}}, \
                              {name: raw, protocol: TCP}, {name: web, protocol: HTTP, port: 80}]";

fn l4(name: &str, section: &str, matches: &str) -> String {
    format!(
        "---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressL4Route
metadata: {{name: {name}}}
spec:
  parentRefs: [{{group: clrk.apoxy.dev, kind: EgressGateway, name: echo-bot, sectionName: {section}}}]
  rules: [{{matches: [{matches}]}}]
"
    )
}

fn deny(route: &str, response: &str) -> String {
    format!(
        "---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressDenyPolicy
metadata: {{name: {route}}}
spec:
  targetRefs: [{{group: clrk.apoxy.dev, kind: EgressL4Route, name: {route}}}]
  denyResponse: {response}
"
    )
}

/// The names and addresses that pass untouched.
const UNTOUCHED: &str = "{destinationHostnames: [passed.example, '*.wild.example'], ports: [{port: 443}, {startPort: 2500, \
                         endPort: 2600}]}";
/// The names that are intercepted.
const INTERCEPTED: &str = "{destinationHostnames: [other.example, fresh.example]}";
const NETWORKS: &str =
    "{destinationCIDRs: [11.22.33.80/31, '2606:4700::80/124'], ports: [{port: 443}, {port: 2525}]}";

fn routes() -> String {
    [
        l4("untouched", "raw", UNTOUCHED),
        l4("networks", "raw", NETWORKS),
        l4("intercepted", "egress", INTERCEPTED),
        l4("clear", "web", "{destinationHostnames: [other.example]}"),
        l4("not-this-one", "raw", "{destinationHostnames: [denied.wild.example], ports: [{port: 443}]}"),
        deny("not-this-one", "{statusCode: 451, message: 'Ask \"security\" first'}"),
    ]
    .concat()
}

fn listed() -> Scenario {
    Scenario::default().deny_all().replace(LISTENERS, MORE_LISTENERS).manifest("egress.yaml", &routes())
}

pub(super) fn rows() -> Vec<Row> {
    let own = || listed().own("egress");
    vec![
        Row::new(
            "F6.allowed",
            "deny-all: what a rule allows by host and port is reached, and nothing else",
            ONCE,
            allowed,
        )
        .under(listed())
        .only_keyward(ONLY),
        Row::new(
            "F6.intercepted",
            "deny-all: a host allowed where TLS ends is intercepted, and gets nothing",
            PROXY,
            intercepted,
        )
        .under(listed())
        .only_keyward(ONLY),
        Row::new(
            "F6.transparent",
            "the same at the transparent port, where the name alone decides",
            TRANSPARENT,
            transparent,
        )
        .under(listed())
        .only_keyward(ONLY),
        Row::new(
            "F6.denied",
            "what is denied beats what is allowed, with the operator's own answer",
            ONCE,
            denied,
        )
        .under(listed())
        .only_keyward(ONLY),
        Row::new(
            "F6.denied-everywhere",
            "allow-all: names and networks that are denied, by whatever spelling or SNI",
            ONCE,
            denied_everywhere,
        )
        .under(open())
        .only_keyward(ONLY),
        Row::new(
            "F6.denied-credentialed",
            "a denial beats even a route for a provider",
            PROXY,
            denied_credentialed,
        )
        .under(forbidden())
        .without_control()
        .only_keyward(ONLY),
        Row::new(
            "F6.addresses",
            "an allowed network: its addresses in every spelling, and those beside it",
            ONCE,
            addresses,
        )
        .under(listed())
        .only_keyward(ONLY),
        Row::new("F6.ports", "a port that no listener serves is refused, whatever the policy", ONCE, ports)
            .under(Scenario::default().replace(
                LISTENERS,
                "listeners: [{name: egress, protocol: TLS, port: 443, tls: {mode: Terminate}}]",
            ))
            .only_keyward(ONLY),
        Row::new(
            "D14.allowed",
            "a second SNI inside a tunnel that a rule lets pass: closed before a byte",
            ONCE,
            second_sni,
        )
        .under(listed())
        .only_keyward(ONLY),
        Row::new(
            "D14.protocols",
            "what is not TLS, speaks first, or offers foreign ALPN, where it may pass and where not",
            ONCE,
            protocols,
        )
        .under(listed())
        .only_keyward(ONLY),
        Row::new(
            "D14.private",
            "an allowed name that leads to a private address: refused all the same",
            ONCE,
            private,
        )
        .under(listed())
        .only_keyward(ONLY),
        Row::new(
            "D13.entry",
            "one name of a list is withdrawn: its tunnel ends within 30 s, its neighbours go on",
            ONCE,
            entry,
        )
        .under(own())
        .only_keyward(ONLY)
        .slow(),
        Row::new(
            "D13.denial",
            "a denial is added: what it speaks of ends within 30 s, its neighbours go on",
            ONCE,
            denial,
        )
        .under(own())
        .only_keyward(ONLY)
        .slow(),
        Row::new(
            "D13.allowed",
            "an intercepted host is withdrawn: 403 on its open connection, which then ends",
            PROXY,
            withdrawn,
        )
        .under(own())
        .only_keyward(ONLY)
        .slow(),
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

/// Names of the rows lead to one address, where every byte comes back.
async fn echo(stage: &Stage, port: u16, greeting: &'static str) -> Echo {
    for name in [PASSED, BELOW, DENIED] {
        stage.world.zone.set(name, &[ip(RAW)]);
    }
    Echo::listen(SocketAddr::new(ip(RAW), port), greeting).await
}

/// What becomes of a tunnel: the status of a refusal and its body, or bytes that came back.
#[derive(Debug, PartialEq, Eq)]
enum Tunnel {
    Refused(u16, String),
    Passed,
    Closed,
    Silent,
}

/// Opens a tunnel, sends these bytes, and expects them back.
async fn tunnel(stage: &Stage, target: &str, bytes: &[u8]) -> Tunnel {
    match connect(stage.subject.proxy, target).await {
        Err(Failure::Refused(answer)) => {
            Tunnel::Refused(answer.status, String::from_utf8_lossy(&answer.body).into_owned())
        }
        Err(failure) => panic!("{target}: {failure:?}"),
        Ok(mut stream) => exchange(&mut stream, bytes).await,
    }
}

async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Tunnel {
    let mut back = vec![0; bytes.len()];
    // It may be closed by now.
    let _ = stream.write_all(bytes).await;
    match tokio::time::timeout(Duration::from_secs(8), stream.read_exact(&mut back)).await {
        Err(_) => Tunnel::Silent,
        Ok(Ok(_)) if back == bytes => Tunnel::Passed,
        Ok(_) => Tunnel::Closed,
    }
}

fn refused(what: &Tunnel) -> bool {
    matches!(what, Tunnel::Refused(403, body) if body.contains("denied_by_policy"))
}

const PLAIN: &[u8] = b"hello, this is no TLS\r\n";

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
    let end = Instant::now() + Duration::from_secs(10);
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
