//! D3 and D4: the right name with a hostile address, the key of one provider at another, hosts and endpoints that no
//! rule names.

use std::net::SocketAddr;

use harness::client::{Agent, Way};
use harness::gateway::HOST;
use harness::provider::Identity;
use harness::scenario::{KEY, PLACEHOLDER};

use crate::row::{EVERY, Row, TRANSPARENT};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::subject::keyward::SECOND_KEY;
use crate::wire::Request;
use crate::world::{HOSTILE_ADDRESS, OTHER, SECOND, ip};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "D3.address",
            "right name, hostile destination: the name is resolved again",
            TRANSPARENT,
            address,
        ),
        Row::new(
            "D4.other-host",
            "the key is asked for at a host that no rule names: not put in",
            EVERY,
            other,
        ),
        Row::new(
            "D4.second-provider",
            "two providers: each gets its own key and never the other's",
            EVERY,
            second,
        )
        .under(Scenario::default().second_credential()),
        Row::new(
            "D4.near-names",
            "hosts whose names hold that of the credentialed one: not put in",
            EVERY,
            near,
        ),
        Row::new(
            "D4.endpoint",
            "an endpoint that no rule lists: forwarded without any credential",
            EVERY,
            endpoint,
        )
        .beyond_others("needs rules for single endpoints"),
        Row::new(
            "D4.endpoint-denied",
            "an endpoint that no rule lists, under deny-all: refused",
            EVERY,
            denied,
        )
        .under(Scenario::default().deny_all()),
        Row::new("D4.host-denied", "a host that no rule names, under deny-all: refused", EVERY, host_denied)
            .under(Scenario::default().deny_all()),
    ]
}

const OWN: &str = "sk-agents-own-account-0123456789";

/// The agent dials an address of the attacker's; what the transparent port sees as original destination is that.
async fn address(stage: Stage) {
    let port = stage.subject.transparent.expect("a transparent port").port();
    let way = Way::Direct(SocketAddr::new(HOSTILE_ADDRESS, port));
    let agent = Agent::new(way, stage.http(), HOST, &stage.subject.ca);
    let reply = stage.send(&agent, &Request::messages()).await;
    assert_eq!(reply.status(), 200, "{reply:?}");
    assert_eq!(stage.world.hostile.accepted(), 0, "the original destination was dialled");
    assert_eq!(stage.world.anthropic.only_request().values("x-api-key"), [KEY]);
}

async fn other(stage: Stage) {
    let request = Request::messages().authority(OTHER).field("x-api-key", PLACEHOLDER);
    let reply = stage.send(&stage.agent_for(OTHER), &request).await;
    assert_eq!(reply.status(), 200, "{reply:?}");
    assert_eq!(stage.world.other.only_request().values("x-api-key"), [PLACEHOLDER]);
    assert!(stage.world.anthropic.take_requests().is_empty());
}

async fn second(stage: Stage) {
    let reply = stage.send(&stage.agent_for(SECOND), &Request::messages().authority(SECOND)).await;
    assert_eq!(reply.status(), 200, "{reply:?}");
    let received = stage.world.second.only_request();
    assert_eq!(received.values("authorization"), [format!("Bearer {SECOND_KEY}")]);
    assert!(!received.mentions(KEY), "the key of another provider");
    assert_eq!(stage.ask(&Request::messages()).await.status(), 200);
    assert!(!stage.world.anthropic.only_request().mentions(SECOND_KEY), "the key of another provider");
}

async fn near(stage: Stage) {
    let names =
        ["x.api.anthropic.com", "xapi.anthropic.com", "anthropic.com", "api.anthropic.com.near.example"];
    let site = stage.world.site(ip(70), &names, Identity::Valid).await;
    for name in names {
        stage.world.zone.set(name, &[ip(70)]);
        let request = Request::messages().authority(name).field("x-api-key", PLACEHOLDER);
        let reply = stage.send(&stage.agent_for(name), &request).await;
        assert_eq!(reply.status(), 200, "{name}: {reply:?}");
        let received = site.only_request();
        assert!(!received.mentions(KEY), "{name} received the key");
    }
    assert!(!site.saw(KEY));
}

/// What an agent could spend an account of its own on.
fn upload() -> Request {
    Request::messages()
        .path("/v1/files")
        .field("x-api-key", OWN)
        .field("authorization", format!("Bearer {OWN}"))
}

async fn endpoint(stage: Stage) {
    for path in ["/v1/files", "/v1/messages/count_tokens", "/", "/v1/messages/", "/V1/Messages"] {
        let reply = stage.ask(&upload().path(path)).await;
        assert_eq!(reply.status(), 200, "{path}: {reply:?}");
        let received = stage.world.anthropic.only_request();
        assert!(!received.mentions(KEY), "{path} got the key");
        assert!(!received.mentions(OWN), "{path} got the agent's own credential");
    }
}

async fn denied(stage: Stage) {
    for path in ["/v1/files", "/v1/messages/count_tokens", "/"] {
        let reply = stage.ask(&upload().path(path)).await;
        stage.refused(&reply, 403, "denied_by_policy");
        stage.nothing_upstream().await;
    }
}

async fn host_denied(stage: Stage) {
    let reply = stage.send(&stage.agent_for(OTHER), &Request::messages().authority(OTHER)).await;
    stage.refused_with_any(&reply, &[0, 403]);
    stage.nothing_upstream().await;
    assert_eq!(stage.world.other.accepted(), 0);
}
