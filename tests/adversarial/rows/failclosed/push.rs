//! F4: a push is lost, not answered, or refused. The status says so, nothing is called done, and the next converges.

use std::time::Duration;

use harness::scenario::KEY;
use rustix::process::Signal;

use super::filter::{Aside, GATEWAY};
use super::request;
use super::status::says;
use crate::processes::{kill, signal};
use crate::row::{EVERY, ONCE, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;

pub(super) fn rows() -> Vec<Row> {
    let own = || Scenario::default().fresh();
    let speaks = "speaks of Keyward's configuration";
    vec![
        Row::new(
            "F4.refused",
            "a change of the rules is refused: the last good ones serve, the status says so, the next change converges",
            EVERY,
            refused,
        )
        .under(own())
        .only_keyward(speaks),
        Row::new(
            "F4.lost",
            "Envoy dies with a new key on its way: no request uses the old one after that was called done",
            ONCE,
            lost,
        )
        .under(own())
        .only_keyward(speaks),
        Row::new(
            "F4.unanswered",
            "Envoy does not answer: a new key is not called used, and is used once it does",
            ONCE,
            unanswered,
        )
        .under(own())
        .slow()
        .only_keyward(speaks),
    ]
}

const ENDPOINTS: &str = "/v1/complete]";

/// Whether requests to this path carry the key.
async fn carries(stage: &Stage, path: &str) -> bool {
    stage.world.anthropic.forget();
    let reply = stage.ask(&request().path(path)).await;
    assert_ne!(reply.status(), 0, "{path}: {reply:?}");
    let received = stage.world.anthropic.take_requests();
    received.iter().any(|received| received.values("x-api-key") == [KEY])
}

async fn refused(stage: Stage) {
    let gateway = stage.gateway();
    let example = std::fs::read_to_string(gateway.manifests().join("example.yaml")).expect("the example");
    let aside = Aside::put(gateway);
    for added in ["/v1/one", "/v1/two"] {
        gateway
            .write_manifest("example.yaml", &example.replace(ENDPOINTS, &format!("/v1/complete, {added}]")));
        says(gateway, (GATEWAY, "echo-bot", "Programmed", "False", "Nacked"), &[]).await;
        stage.good().await;
        assert!(!carries(&stage, added).await, "a refused rule is in force");
    }
    drop(aside);
    gateway.write_manifest("example.yaml", &example.replace(ENDPOINTS, "/v1/complete, /v1/three]"));
    let begin = std::time::Instant::now();
    while !carries(&stage, "/v1/three").await {
        assert!(begin.elapsed() < super::PATIENCE, "the next change does not converge");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    says(gateway, (GATEWAY, "echo-bot", "Programmed", "True", "Programmed"), &[]).await;
    assert!(!carries(&stage, "/v1/one").await);
    stage.good().await;
}

const NEXT: &str = "sk-ant-next-0123456789";

/// From now on the provider takes the next key alone.
fn only_next(stage: &Stage) {
    stage.world.anthropic.provider.behave(|behaviour| behaviour.key = Some(NEXT.into()));
    stage.world.anthropic.forget();
}

async fn lost(stage: Stage) {
    let gateway = stage.gateway();
    let envoy = *gateway.envoys().first().expect("an Envoy");
    signal(envoy, Signal::STOP);
    let end = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        kill(envoy);
    };
    let (set, ()) = tokio::join!(gateway.set_key(NEXT), end);
    only_next(&stage);
    let begin = std::time::Instant::now();
    while stage.ask(&request()).await.status() != 200 {
        assert!(begin.elapsed() < super::PATIENCE, "the new key is not used; it was set with {set:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for received in stage.world.anthropic.take_requests() {
        assert_eq!(received.values("x-api-key"), [NEXT], "the old key was used after {set:?}");
    }
}

/// An Envoy that stands still, for as long as this lives.
struct Frozen(i32);

impl Drop for Frozen {
    fn drop(&mut self) {
        signal(self.0, Signal::CONT);
    }
}

async fn unanswered(stage: Stage) {
    let gateway = stage.gateway();
    let envoy = *gateway.envoys().first().expect("an Envoy");
    signal(envoy, Signal::STOP);
    let frozen = Frozen(envoy);
    let set = gateway.set_key(NEXT).await;
    drop(frozen);
    assert_ne!(set.status.code(), Some(0), "an Envoy that did not answer was called served: {set:?}");
    only_next(&stage);
    let begin = std::time::Instant::now();
    while stage.ask(&request()).await.status() != 200 {
        assert!(begin.elapsed() < super::PATIENCE, "the new key is not used");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(gateway.envoys(), [envoy], "Envoy was replaced");
}
