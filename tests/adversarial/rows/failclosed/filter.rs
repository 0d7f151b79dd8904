//! F2: the filter fails at work, or a later configuration is refused. Nothing is forwarded without it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::client::Http;
use harness::gateway::Gateway;
use harness::scenario::KEY;

use super::status::says;
use super::{assert_protected, recovers, request};
use crate::row::{EVERY, ONCE, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;

pub(super) fn rows() -> Vec<Row> {
    let own = || Scenario::default().fresh();
    vec![
        Row::new("F2.trap", "the filter traps: 503, nothing goes upstream, then it serves again", EVERY, trap)
            .under(Scenario::default().trapping()),
        Row::new(
            "F2.trap-open",
            "the filter traps while connections and a stream are open: what comes next on them is protected",
            EVERY,
            trap_open,
        )
        .under(Scenario::default().trapping())
        .only_keyward("speaks of a filter"),
        Row::new(
            "F2.later",
            "a later configuration is refused: the last good rules serve, the status says so, the next one is taken",
            EVERY,
            later,
        )
        .under(own())
        .only_keyward("speaks of Keyward's configuration"),
        Row::new(
            "F2.gone",
            "Envoy starts again while the module is gone: nothing is served, the next change converges",
            ONCE,
            gone,
        )
        .under(own())
        .slow()
        .only_keyward("speaks of a filter"),
    ]
}

async fn trap(stage: Stage) {
    for _ in 0..2 {
        let reply = stage.ask(&request().field("x-keyward-trap", "1")).await;
        stage.refused_with_any(&reply, &[503]);
        stage.nothing_upstream().await;
        recovers(&stage).await;
        stage.world.anthropic.forget();
    }
}

/// Traps every worker's filter, as far as chance gives every worker a connection.
async fn trap_all(stage: &Stage) {
    for _ in 0..8 {
        let reply = stage.ask(&request().field("x-keyward-trap", "1")).await;
        stage.refused_with_any(&reply, &[503]);
    }
}

async fn trap_open(stage: Stage) {
    let provider = &stage.world.anthropic.provider;
    match stage.http() {
        Http::One => {
            let mut http = stage.http1().await.expect("a connection");
            assert_eq!(http.ask(&request().to_http1()).await.map(|answer| answer.status), Ok(200));
            trap_all(&stage).await;
            let reply: crate::wire::Reply = http.ask(&request().to_http1()).await.into();
            assert!(reply.status() == 200 || reply.is_refusal(), "{reply:?}");
        }
        Http::Two => {
            provider.behave(|behaviour| behaviour.hold_second_event = true);
            let mut http = stage.http2().await.expect("a connection");
            let body = r#"{"model":"claude-test","max_tokens":64,"stream":true,"messages":[]}"#;
            let held = http.request(&request().body(body)).await;
            provider.wait_for_requests(1).await;
            trap_all(&stage).await;
            let reply: crate::wire::Reply = http.ask(&request()).await.into();
            assert!(reply.status() == 200 || reply.is_refusal(), "{reply:?}");
            provider.release();
            // It goes on, or it is cut; either way nothing of the key is in it.
            let rest = http.answer_within(Duration::from_secs(5), held).await;
            assert!(rest.is_err() || rest.is_ok_and(|answer| !answer.mentions(KEY)));
        }
    }
    recovers(&stage).await;
    assert_protected(&stage);
}

/// The copy of the module that Envoy loads, moved away for as long as this lives.
pub(super) struct Aside {
    module: PathBuf,
    aside: PathBuf,
}

impl Aside {
    pub(super) fn put(gateway: &Gateway) -> Aside {
        let module = loaded_module(gateway.state());
        let aside = module.with_extension("aside");
        std::fs::rename(&module, &aside).expect("the module moves");
        Aside { module, aside }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // The state directory may be gone, where the row failed.
        let _ = std::fs::rename(&self.aside, &self.module);
    }
}

fn loaded_module(state: &Path) -> PathBuf {
    let mut files =
        std::fs::read_dir(state).expect("the state directory").map(|entry| entry.expect("an entry").path());
    files.find(|path| path.extension().is_some_and(|kind| kind == "wasm")).expect("a module")
}

pub(super) const GATEWAY: &str = "EgressGateway";

async fn later(stage: Stage) {
    let gateway = stage.gateway();
    let aside = Aside::put(gateway);
    for key in ["sk-ant-second-0123456789", "sk-ant-third-0123456789"] {
        let set = gateway.set_key(key).await;
        assert_eq!(
            set.status.code(),
            Some(1),
            "a configuration that no Envoy took was called taken: {set:?}"
        );
        says(gateway, (GATEWAY, "echo-bot", "Programmed", "False", "Nacked"), &[]).await;
        stage.good().await;
    }
    drop(aside);
    let next = "sk-ant-fourth-0123456789";
    let set = gateway.set_key(next).await;
    assert_eq!(set.status.code(), Some(0), "{set:?}");
    stage.world.anthropic.provider.behave(|behaviour| behaviour.key = Some(next.into()));
    assert_eq!(stage.ask(&request()).await.status(), 200);
    assert_eq!(stage.world.anthropic.only_request().values("x-api-key"), [next]);
    says(gateway, (GATEWAY, "echo-bot", "Programmed", "True", "Programmed"), &[]).await;
}

async fn gone(stage: Stage) {
    let gateway = stage.gateway();
    let before = gateway.envoys();
    let aside = Aside::put(gateway);
    crate::processes::kill(before[0]);
    let end = std::time::Instant::now() + Duration::from_secs(3);
    while std::time::Instant::now() < end {
        let reply = stage.ask(&request()).await;
        assert!(reply.is_refusal(), "served without the module: {reply:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage.nothing_upstream().await;
    says(gateway, (GATEWAY, "echo-bot", "Programmed", "False", "Nacked"), &[]).await;
    drop(aside);
    // What was refused is not tried again: the next change is. It may take longer than the command waits.
    let next = "sk-ant-second-0123456789";
    let set = gateway.set_key(next).await;
    stage.world.anthropic.provider.behave(|behaviour| behaviour.key = Some(next.into()));
    let begin = std::time::Instant::now();
    while stage.ask(&request()).await.status() != 200 {
        assert!(begin.elapsed() < super::PATIENCE, "the next change does not converge: {set:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for received in stage.world.anthropic.take_requests() {
        assert_eq!(received.values("x-api-key"), [next]);
    }
}
