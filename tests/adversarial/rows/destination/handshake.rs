//! D11 and D12: server names for which no certificate may be made, and names that are hidden.

use harness::client::{Way, connect};
use harness::gateway::HOST;
use harness::scenario::KEY;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::row::{HTTP1, ONCE, PROXY, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::Request;
use crate::wire::hello::{Outcome, offer, offer_hiding};
use crate::world::{HOSTILE, OTHER};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "D11.resource-names",
            "an SNI that is the name of a resource of the gateway's: refused",
            HTTP1,
            resources,
        )
        .proved_by_itself()
        .beyond_others("speaks of resources of Keyward's"),
        Row::new(
            "D11.poison",
            "after odd server names, names that are new and keys that are new still come through",
            ONCE,
            poison,
        )
        .under(Scenario::default().own("names"))
        .only_keyward("rotates Keyward's key"),
        Row::new("D11.none", "no SNI: refused", HTTP1, none),
        Row::new(
            "D11.odd",
            "addresses, wildcards, 8-bit, over-long and empty server names: refused",
            HTTP1,
            odd,
        )
        .proved_by_itself(),
        Row::new(
            "D11.unlisted",
            "names that end in a dot or are in capitals get no leaf of their own",
            HTTP1,
            spelling,
        )
        .proved_by_itself(),
        Row::new("D11.denied", "an unlisted name, under deny-all: no handshake", HTTP1, denied)
            .under(Scenario::default().deny_all()),
        Row::new("D11.leaf", "the leaf is valid for the SNI and nothing else", PROXY, leaf)
            .proved_by_itself(),
        Row::new(
            "D12.ech",
            "a name hidden by encrypted ClientHello: the name in the open is what counts",
            HTTP1,
            hidden,
        )
        .under(Scenario::default().deny_all())
        .proved_by_itself(),
    ]
}

/// Each odd name by itself: afterwards the gateway still learns what is new, and another agent's new name is served.
async fn poison(stage: Stage) {
    let odd: [&[u8]; 5] =
        [b"b\xfccher.example", b"upstream/trust-bundle", b"*", b"\xff", b"a\xc3\x28.example"];
    for (number, name) in odd.iter().enumerate() {
        let outcome = try_name(&stage, Some(name)).await;
        let text = String::from_utf8_lossy(name);
        assert!(matches!(outcome, Outcome::Refused(_)), "{text:?}: {outcome:?}");
        let fresh = format!("fresh-{number}.example");
        let begin = Instant::now();
        let outcome = try_target(&stage, &format!("{fresh}:443"), Some(fresh.as_bytes())).await;
        assert_eq!(
            outcome,
            Outcome::Accepted,
            "after {text:?} a new name got nothing for {:?}",
            begin.elapsed()
        );
        let key = format!("{KEY}-{number}");
        let set = stage.gateway().set_key(&key).await;
        assert!(set.status.success(), "after {text:?}: {}", String::from_utf8_lossy(&set.stderr));
    }
    let reply = stage.ask(&Request::messages()).await;
    assert_eq!(reply.status(), 401, "the provider still gets its old key: {reply:?}");
}

/// Offers a server name on a fresh connection of the variant.
async fn try_name(stage: &Stage, name: Option<&[u8]>) -> Outcome {
    try_target(stage, &format!("{HOST}:443"), name).await
}

async fn try_target(stage: &Stage, target: &str, name: Option<&[u8]>) -> Outcome {
    match open(stage, target).await {
        Some(stream) => offer(stream, name, &["http/1.1"]).await,
        None => Outcome::Refused(None),
    }
}

/// A fresh connection of the variant; `None` where CONNECT is refused.
async fn open(stage: &Stage, target: &str) -> Option<TcpStream> {
    match stage.agent_with(target, Some(HOST)).way {
        Way::Proxy(proxy, target) => connect(proxy, &target).await.ok(),
        Way::Direct(address) => Some(TcpStream::connect(address).await.expect("the port is open")),
    }
}

/// Each is refused, and the name of the host, which is the control, is not.
async fn check(stage: &Stage, names: &[&[u8]]) {
    assert_eq!(
        try_name(stage, Some(HOST.as_bytes())).await,
        Outcome::Accepted,
        "the handshake by hand is not good"
    );
    for name in names {
        let outcome = try_name(stage, Some(name)).await;
        let text = String::from_utf8_lossy(name);
        assert!(matches!(outcome, Outcome::Refused(_)), "{text:?}: {outcome:?}");
    }
    assert_eq!(
        try_name(stage, Some(HOST.as_bytes())).await,
        Outcome::Accepted,
        "the host is no longer served"
    );
    stage.nothing_upstream().await;
}

async fn resources(stage: Stage) {
    let names: [&[u8]; 10] = [
        b"upstream/trust-bundle",
        b"no/sni",
        b"proxy/routes",
        b"mitm/routes",
        b"light/guard",
        b"light/bucket-0",
        b"default/echo-bot",
        b"*",
        b"no/sni/",
        b"xdstp://keyward/secret",
    ];
    check(&stage, &names).await;
}

async fn none(stage: Stage) {
    assert_eq!(
        try_name(&stage, Some(HOST.as_bytes())).await,
        Outcome::Accepted,
        "the handshake by hand is not good"
    );
    let outcome = try_name(&stage, None).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    stage.nothing_upstream().await;
}

async fn odd(stage: Stage) {
    let label = [b'a'; 64];
    let long = [[b'a'; 63].as_slice(), b".", &[b'b'; 63], b".", &[b'c'; 63], b".", &[b'd'; 63]].concat();
    let longer = vec![b'a'; 4000];
    let names: [&[u8]; 16] = [
        b"11.22.33.1",
        b"::1",
        b"[::1]",
        b"*.anthropic.com",
        "b\u{fc}cher.example".as_bytes(),
        b"b\xfccher.example",
        b"api.anthropic.com\0.example",
        b"api.anthropic.com ",
        b"api anthropic com",
        b"api..anthropic.com",
        b"-api.anthropic.com",
        b".",
        b"",
        &label,
        &long,
        &longer,
    ];
    check(&stage, &names).await;
}

/// Envoy compares in lower case; what remains must be refused or be the host itself.
async fn spelling(stage: Stage) {
    for name in ["API.ANTHROPIC.COM", "api.anthropic.com."] {
        let outcome = try_name(&stage, Some(name.as_bytes())).await;
        assert_ne!(outcome, Outcome::Silent, "{name}");
    }
    stage.good().await;
}

async fn denied(stage: Stage) {
    let target = format!("{OTHER}:443");
    let outcome = try_target(&stage, &target, Some(OTHER.as_bytes())).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    stage.nothing_upstream().await;
}

/// Nobody but the gateway ends the handshake, which has no key for what is hidden: it serves the outer name or nothing.
async fn hidden(stage: Stage) {
    for (name, served) in [(HOST, true), (OTHER, false), (HOSTILE, false)] {
        let Some(stream) = open(&stage, &format!("{name}:443")).await else {
            assert!(!served, "{name}: CONNECT was refused");
            continue;
        };
        let outcome = offer_hiding(stream, name.as_bytes(), &["http/1.1"]).await;
        match served {
            true => assert_eq!(outcome, Outcome::Accepted, "{name}"),
            false => assert!(matches!(outcome, Outcome::Refused(_)), "{name}: {outcome:?}"),
        }
    }
    stage.nothing_upstream().await;
}

/// The client of the suite verifies the leaf against the SNI; one for another name would not do.
async fn leaf(stage: Stage) {
    for host in [HOST, OTHER] {
        let reply = stage.send(&stage.agent_for(host), &Request::messages().authority(host)).await;
        assert_eq!(reply.status(), 200, "{host}: {reply:?}");
    }
    stage.world.anthropic.take_requests();
}
