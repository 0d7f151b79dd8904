//! A5: rotations and changes of the rules in quick succession. No request fails, no key is mixed up, memory stays.

use crate::neighbour::Neighbour;
use crate::row::{ONCE, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::Request;

pub(super) fn rows() -> Vec<Row> {
    let own = || Scenario::default().fresh();
    vec![
        Row::new(
            "A5.rotations",
            "200 rotations in quick succession: every request is served with one key, memory stays bounded",
            ONCE,
            rotations,
        )
        .under(own())
        .slow()
        .only_keyward("rotates by Keyward's own command"),
        Row::new(
            "A5.manifests",
            "200 changes of the rules in quick succession: every request is served, memory stays bounded",
            ONCE,
            manifests,
        )
        .under(own())
        .only_keyward("speaks of Keyward's manifests"),
    ]
}

const ROUNDS: usize = 200;

/// What Envoy and the controller together may have grown by: far from what 200 rules kept for ever would take.
const GROWTH: usize = 48 << 20;

fn key(generation: usize) -> String {
    format!("sk-ant-generation-{generation:04}-x")
}

async fn rotations(stage: Stage) {
    let gateway = stage.gateway();
    stage.world.anthropic.provider.behave(|behaviour| behaviour.key = None);
    // What the first rotations take into use is no growth.
    for generation in 0..20 {
        assert!(gateway.set_key(&key(generation)).await.status.success());
    }
    stage.world.anthropic.forget();
    let (before, neighbour) = (super::memory(&stage), Neighbour::start(&stage).await);
    for generation in 20..20 + ROUNDS {
        let set = gateway.set_key(&key(generation)).await;
        assert!(set.status.success(), "{set:?}");
        let reply = stage.ask(&Request::messages().field("x-at-least", generation.to_string())).await;
        assert_eq!(reply.status(), 200, "{generation}: {reply:?}");
    }
    neighbour.end(&stage).await;
    for received in stage.world.anthropic.take_requests() {
        let values = received.values("x-api-key");
        assert!(values.len() == 1 && values[0].starts_with("sk-ant-generation-"), "{values:?}");
        let expected = received.values("x-at-least").first().and_then(|number| number.parse().ok()).map(key);
        assert!(expected.is_none_or(|expected| values == [expected]), "an old key: {values:?}");
    }
    let grown = super::memory(&stage).saturating_sub(before);
    assert!(grown < GROWTH, "grown by {grown} bytes in {ROUNDS} rotations");
}

async fn manifests(stage: Stage) {
    let gateway = stage.gateway();
    let example = std::fs::read_to_string(gateway.manifests().join("example.yaml")).expect("the example");
    let write = |round: usize| {
        let more = format!("/v1/complete, /v1/round-{round}, /v1/filler-{}]", "x".repeat(round % 50));
        gateway.write_manifest("example.yaml", &example.replace("/v1/complete]", &more));
    };
    let (before, neighbour) = (super::memory(&stage), Neighbour::start(&stage).await);
    for round in 0..ROUNDS {
        write(round);
        if round % 10 == 0 {
            gateway.write_manifest("more.yaml", ["{ half", "a: [", ""][round / 10 % 3]);
        }
        // Sometimes faster than changes are taken together, sometimes slower.
        tokio::time::sleep(std::time::Duration::from_millis([5, 20, 120][round % 3])).await;
    }
    let begin = std::time::Instant::now();
    let last = Request::messages().path(format!("/v1/round-{}", ROUNDS - 1));
    loop {
        stage.ask(&last).await;
        let received = stage.world.anthropic.take_requests();
        if received.iter().any(|one| one.path == "/v1/round-199" && !one.values("x-api-key").is_empty()) {
            break;
        }
        assert!(begin.elapsed() < super::PATIENCE, "the last change is not served");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    neighbour.end(&stage).await;
    let grown = super::memory(&stage).saturating_sub(before);
    assert!(grown < GROWTH, "grown by {grown} bytes in {ROUNDS} changes");
}
