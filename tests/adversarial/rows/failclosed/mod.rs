//! The guarantee is switched off: F1 to F7.

mod connect;
mod controller;
mod filter;
mod module;
mod open;
mod push;
mod secrets;
mod status;

use std::time::{Duration, Instant};

use harness::scenario::{KEY, PLACEHOLDER};
use serde_json::json;

use crate::row::Row;
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::subject::Kind;
use crate::wire::Request;

pub(super) fn rows() -> Vec<Row> {
    let groups = [
        secrets::rows(),
        filter::rows(),
        module::rows(),
        controller::rows(),
        push::rows(),
        open::rows(),
        connect::rows(),
    ];
    groups.into_iter().flatten().collect()
}

/// How long a change may take to be there, on a busy machine. Nothing is judged by it but that it comes at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// The file of [`own_secret`].
const OWN_FILE: &str = "own.yaml";

/// A request as an agent sends it.
pub(super) fn request() -> Request {
    Request::messages().field("x-api-key", PLACEHOLDER)
}

/// A Secret of this name with one value.
fn secret(name: &str, key: &str, value: &str) -> String {
    let data = json!({key: value});
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}).to_string()
}

/// The credential stands in a manifest of its own, which a row may take away.
fn own_secret() -> Scenario {
    Scenario::default()
        .replace("secretRef: {name: anthropic-credentials}", "secretRef: {name: own}")
        .manifest(OWN_FILE, &secret("own", "api-key", KEY))
        .fresh()
}

/// Takes the Secret of [`own_secret`] away, and waits until Keyward refuses. Of another proxy nobody can ask that.
async fn withdraw(stage: &Stage) {
    let Some(gateway) = &stage.subject.gateway else { return };
    gateway.remove_manifest(OWN_FILE);
    becomes(stage, 503).await;
    stage.world.anthropic.forget();
}

/// Sends requests until one is answered with this status. Until then each is refused, or served with our key; so a row
/// that waits here fails where a request goes through unprotected.
pub(super) async fn becomes(stage: &Stage, status: u16) {
    let patience = if stage.subject.kind == Kind::Keyward { PATIENCE } else { Duration::ZERO };
    let begin = Instant::now();
    loop {
        let reply = stage.ask(&request()).await;
        assert_protected(stage);
        if reply.status() == status {
            return;
        }
        assert!(reply.status() == 200 || reply.is_refusal(), "neither served nor refused: {reply:?}");
        assert!(begin.elapsed() < patience, "no {status} within {patience:?}, last {reply:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until both workers of Envoy serve again: each has a filter of its own, and which one takes a connection is
/// chance.
pub(super) async fn recovers(stage: &Stage) {
    let (begin, mut served) = (Instant::now(), 0);
    while served < 12 {
        becomes(stage, 200).await;
        served = if stage.ask(&request()).await.status() == 200 { served + 1 } else { 0 };
        assert!(begin.elapsed() < PATIENCE * 2, "it does not serve steadily again");
    }
    assert_protected(stage);
}

/// Every request that the provider received carried exactly our key.
pub(super) fn assert_protected(stage: &Stage) {
    for received in stage.world.anthropic.provider.requests() {
        assert_eq!(received.values("x-api-key"), [KEY], "a request went upstream unprotected");
    }
}

/// The next request by this way is refused for want of a credential, and reaches nobody.
async fn unavailable(stage: &Stage) {
    let reply = stage.ask(&request()).await;
    stage.refused(&reply, 503, "credential_unavailable");
    stage.nothing_upstream().await;
}
