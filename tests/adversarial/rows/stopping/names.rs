//! A1: names without end. What is not listed is refused before anything is made for it; what is made stays bounded; the
//! hosts that matter do not notice.

use std::net::SocketAddr;
use std::time::Duration;

use harness::admin;
use tokio::task::JoinSet;

use crate::neighbour::{Neighbour, others};
use crate::processes::admin_socket;
use crate::row::{ONCE, Row, TRANSPARENT};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::{Request, hello};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "A1.connect",
            "thousands of unlisted names in CONNECT: each is refused, no leaf is made, no name resolved",
            ONCE,
            connect,
        )
        .under(Scenario::default().deny_all())
        .only_keyward("needs a proxy that refuses unlisted hosts"),
        Row::new(
            "A1.sni",
            "hundreds of unlisted server names: no handshake, no leaf is made",
            TRANSPARENT,
            server_names,
        )
        .under(Scenario::default().deny_all())
        .only_keyward("needs a proxy that refuses unlisted hosts"),
        Row::new(
            "A1.leaves",
            "more names than leaves are kept, all of them allowed: the number of leaves stays bounded",
            ONCE,
            leaves,
        )
        .under(Scenario::default().fresh())
        .slow()
        .only_keyward("counts Keyward's leaves"),
        Row::new(
            "A1.dns",
            "hundreds of names that do not resolve, all of them allowed: the credentialed host stays known",
            ONCE,
            dns,
        )
        .under(Scenario::default().others_pass().fresh())
        .only_keyward("counts Envoy's names"),
    ]
}

/// How many names are tried.
const MANY: usize = 2_000;

/// How many leaves of names that no route has may be kept, and those of names that one has.
const KEPT: usize = 1_000 + 10;

/// Names that no two runs of a case share, and nobody's resolver knows.
fn name(number: usize) -> String {
    format!("n{number}-{:x}.example", number.wrapping_mul(0x9e37_79b9))
}

/// The last number that Envoy counts under this name for a DNS cache. Caches are named `KIND/DIGEST`.
fn statistic(stage: &Stage, kind: &str, name: &str) -> u64 {
    let text = admin::ask(&admin_socket(stage.gateway().state()), "/stats").expect("Envoy's statistics");
    let cache = format!("dns_cache.{kind}/");
    let line = text.lines().rfind(|line| line.starts_with(&cache) && line.contains(name));
    let line = line.unwrap_or_else(|| panic!("Envoy counts no {name} of {cache}"));
    line.rsplit(' ').next().and_then(|number| number.trim().parse().ok()).expect("a number")
}

/// How many leaves Envoy holds: certificates in its dump that were signed by the gateway's authority.
fn leaves_held(stage: &Stage) -> usize {
    let socket = admin_socket(stage.gateway().state());
    let certificates = admin::ask(&socket, "/certs").expect("Envoy's certificates");
    certificates.matches("\"cert_chain\"").count()
}

async fn connect(stage: Stage) {
    let neighbour = Neighbour::start(&stage).await;
    let (before, mut agents) = (leaves_held(&stage), JoinSet::new());
    for lane in 0..8 {
        let stage = stage.clone();
        agents.spawn(async move {
            for number in (lane..MANY).step_by(8) {
                let name = name(number);
                let head = format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n");
                let reply = stage.ask_proxy(head.as_bytes()).await;
                stage.refused(&reply, 403, "denied_by_policy");
                assert_eq!(stage.world.zone.asked(&name), 0);
            }
        });
    }
    while let Some(lane) = agents.join_next().await {
        lane.expect("every name is refused");
    }
    neighbour.end(&stage).await;
    assert!(others(&stage).is_empty(), "a request of the attacker's went upstream");
    assert_eq!(leaves_held(&stage), before, "a leaf was made for a name that is refused");
}

async fn server_names(stage: Stage) {
    let neighbour = Neighbour::start(&stage).await;
    let address = stage.subject.transparent.expect("a transparent port");
    let alpn = if stage.http() == harness::client::Http::One { "http/1.1" } else { "h2" };
    let (before, mut agents) = (leaves_held(&stage), JoinSet::new());
    for lane in 0..8 {
        agents.spawn(async move {
            for number in (lane..MANY / 4).step_by(8) {
                let stream = tokio::net::TcpStream::connect(address).await.expect("the port");
                let outcome = hello::offer(stream, Some(name(number).as_bytes()), &[alpn]).await;
                assert!(matches!(outcome, hello::Outcome::Refused(_)), "{number}: {outcome:?}");
            }
        });
    }
    while let Some(lane) = agents.join_next().await {
        lane.expect("every name is refused");
    }
    neighbour.end(&stage).await;
    assert!(others(&stage).is_empty(), "a request of the attacker's went upstream");
    assert_eq!(leaves_held(&stage), before, "a leaf was made for a name that is refused");
}

/// Whether a name gets a leaf in the end: connections to new names are refused above a rate.
async fn insist(address: SocketAddr, name: &str) -> bool {
    for _ in 0..20 {
        let stream = tokio::net::TcpStream::connect(address).await.expect("the port");
        let offered = hello::offer(stream, Some(name.as_bytes()), &["h2"]);
        let outcome = tokio::time::timeout(Duration::from_secs(5), offered).await;
        if outcome.is_ok_and(|outcome| outcome == hello::Outcome::Accepted) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    false
}

async fn leaves(stage: Stage) {
    let neighbour = Neighbour::start(&stage).await;
    let address = stage.subject.transparent.expect("a transparent port");
    let mut agents = JoinSet::new();
    // More than are kept; as fast as leaves are made, for as long as this row may take.
    for lane in 0..60 {
        agents.spawn(async move {
            let mut accepted = 0;
            for number in (lane..KEPT + 200).step_by(60) {
                accepted += usize::from(insist(address, &name(number)).await);
            }
            accepted
        });
    }
    let mut accepted = 0;
    while let Some(lane) = agents.join_next().await {
        accepted += lane.expect("no panic");
        let held = leaves_held(&stage);
        assert!(held <= KEPT, "{held} leaves are held");
    }
    neighbour.end(&stage).await;
    assert!(accepted > KEPT, "only {accepted} names got a leaf: the row tests nothing");
    // And the host that matters still has its own.
    stage.world.anthropic.forget();
    stage.good().await;
}

/// How many names are tried that nobody knows, and how many at once.
const UNKNOWN: usize = 600;
const LANES: usize = 60;

async fn dns(stage: Stage) {
    let neighbour = Neighbour::start(&stage).await;
    let mut agents = JoinSet::new();
    for lane in 0..LANES {
        let stage = stage.clone();
        agents.spawn(async move {
            for number in (lane..UNKNOWN).step_by(LANES) {
                let name = name(number);
                let mut agent = stage.agent_for(&name);
                agent.handshake.sni = Some(name.clone());
                let reply = stage.send(&agent, &Request::messages().authority(&name)).await;
                assert!(reply.is_refusal(), "{name}: {reply:?}");
            }
        });
    }
    while let Some(lane) = agents.join_next().await {
        lane.expect("every name is refused");
    }
    neighbour.end(&stage).await;
    assert!(others(&stage).is_empty(), "a request of the attacker's went upstream");
    let (open, credentialed) =
        (statistic(&stage, "open", ".dns_query_attempt"), statistic(&stage, "credentialed", ".num_hosts"));
    assert!(open >= UNKNOWN as u64 / 2, "only {open} names were looked up: the row tests nothing");
    assert!(credentialed <= 4, "random names stand among the credentialed hosts: {credentialed}");
    stage.world.anthropic.forget();
    stage.good().await;
}
