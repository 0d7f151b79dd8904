//! D8: the upstream is not who it should be.

use harness::provider::Identity;
use harness::scenario::KEY;

use crate::row::{EVERY, PROXY, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::Request;
use crate::world::{HOSTILE_ADDRESS, ip};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "D8.certificate",
            "another name, expired, unknown authority: 503 before a byte",
            EVERY,
            certificate,
        ),
        Row::new(
            "D8.credentialed",
            "the same at hosts with a credential: no byte of it leaves",
            EVERY,
            credentialed,
        )
        .under(impostors()),
        Row::new("D8.sni", "the upstream is asked for, and verified as, the name of the request", PROXY, sni)
            .proved_by_itself(),
    ]
}

/// Hosts with a credential that are not what they should be: those of [`HOSTS`], and one that leads inside.
pub(super) fn impostors() -> Scenario {
    let hosts = ["wrong.example", "expired.example", "unknown.example", "inside.example"];
    Scenario::default().credentialed("impostors", &hosts)
}

const HOSTS: [(&str, u8, Identity); 3] = [
    ("wrong.example", 73, Identity::WrongName),
    ("expired.example", 74, Identity::Expired),
    ("unknown.example", 75, Identity::UnknownAuthority),
];

async fn certificate(stage: Stage) {
    for (host, last, identity) in HOSTS {
        let site = stage.world.site(ip(last), &[host], identity).await;
        stage.world.zone.set(host, &[ip(last)]);
        let reply = stage.send(&stage.agent_for(host), &Request::messages().authority(host)).await;
        stage.refused(&reply, 503, "upstream_refused");
        assert!(site.accepted() > 0, "{host}: the upstream was not even tried");
        assert!(site.connections().is_empty() && site.take_requests().is_empty(), "{host} received bytes");
        stage.nothing_upstream().await;
    }
}

async fn credentialed(stage: Stage) {
    certificate(stage).await;
}

/// The address is the attacker's, whose certificate is good for many names, so the name alone decides.
async fn sni(stage: Stage) {
    let host = "renamed.example";
    stage.world.zone.set(host, &[HOSTILE_ADDRESS]);
    let reply = stage.send(&stage.agent_for(host), &Request::messages().authority(host)).await;
    stage.refused(&reply, 503, "upstream_refused");
    assert!(stage.world.hostile.accepted() > 0, "the upstream was not even tried");
    assert!(!stage.world.hostile.saw(KEY));
    stage.nothing_upstream().await;
    let good = stage.good().await;
    let connections = stage.world.anthropic.provider.connections();
    assert_eq!(connections[good.connection].sni.as_deref(), Some(harness::gateway::HOST));
}
