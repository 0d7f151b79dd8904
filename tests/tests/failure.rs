//! What fails, fails closed: an answer with a reason, nothing upstream, and recovery by itself.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::client::{Agent, Http, Request};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::Provider;
use harness::scenario::{KEY, PLACEHOLDER, worked_example};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// How long anything here may take before it counts as not happening. How fast recovery is, is for a benchmark.
const RECOVERY: Duration = Duration::from_secs(30);

/// Sends requests until one is answered with this status. Whatever is answered before must not be worse than 503.
async fn becomes(agent: &Agent, status: u16, within: Duration) {
    let started = Instant::now();
    loop {
        let seen = agent.send(&Request::messages().header("x-api-key", PLACEHOLDER)).await;
        if seen.as_ref().is_ok_and(|answer| answer.status == status) {
            return;
        }
        assert!(started.elapsed() < within, "no {status} within {within:?}, last {seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every request that reached the provider at `/v1/messages` carried the real key and nothing of the agent's.
fn assert_never_unprotected(provider: &Provider) {
    for received in provider.requests() {
        assert_eq!(received.values("x-api-key"), [KEY], "a request went upstream unprotected");
    }
}

fn secret(key: &str) -> String {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own"}, "stringData": {"api-key": key}})
        .to_string()
}

/// The worked example with its Secret in a file of its own.
fn with_own_secret(provider: &Provider) -> Manifests {
    Manifests::example(provider)
        .replace("secretRef: {name: anthropic-credentials}", "secretRef: {name: own}")
        .file("own.yaml", &secret(KEY))
}

#[tokio::test]
async fn without_a_usable_secret_requests_are_refused_and_other_endpoints_served() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let gateway = Gateway::builder(Manifests::example(&provider)).start().await;
    for (way, agent) in gateway.every_way() {
        let refused = agent.send(&Request::messages().header("x-api-key", PLACEHOLDER)).await.expect(&way);
        assert_eq!((refused.status, refused.reason()), (503, "credential_unavailable"), "{way}");
        assert!(refused.json()["error"]["message"].is_string(), "{way}: an SDK has nothing to show");
        assert!(provider.requests().is_empty(), "{way}");
        assert_eq!(
            agent.send(&Request::messages().path("/v1/files")).await.expect(&way).status,
            200,
            "{way}"
        );
        assert!(provider.only_request().values("x-api-key").is_empty(), "{way}");
    }
    gateway.wait_for_line(&["ResolvedRefs", "False", "anthropic"]).await;
}

#[tokio::test]
async fn a_deleted_secret_stops_the_next_request_of_an_open_connection_and_comes_back() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let gateway = Gateway::builder(with_own_secret(&provider)).start().await;
    let agent = gateway.agent(Http::One, HOST);
    let mut connection = agent.open_http1().await.unwrap();
    assert_eq!(connection.send(&Request::messages().to_http1()).await.unwrap().status, 200);

    gateway.remove_manifest("own.yaml");
    becomes(&agent, 503, RECOVERY).await;
    let refused = connection.send(&Request::messages().to_http1()).await.expect("the connection stays open");
    assert_eq!((refused.status, refused.reason()), (503, "credential_unavailable"));
    gateway.wait_for_line(&["ResolvedRefs", "False", "SecretNotFound"]).await;

    gateway.write_manifest("own.yaml", &secret(KEY));
    becomes(&agent, 200, RECOVERY).await;
    assert_never_unprotected(&provider);
}

#[tokio::test]
async fn a_secret_that_is_no_credential_is_refused_by_name() {
    let provider = Provider::accepting(KEY).await.unwrap();
    for (value, what) in
        [("sk-ant-a\r\nx-evil: 1", "CR LF"), ("tiny", "short"), ("", "empty"), (PLACEHOLDER, "placeholder")]
    {
        let manifests = with_own_secret(&provider).file("own.yaml", &secret(value));
        let gateway = Gateway::builder(manifests).start().await;
        let refused = gateway.agent(Http::Two, HOST).send(&Request::messages()).await.expect(what);
        assert_eq!((refused.status, refused.reason()), (503, "credential_unavailable"), "{what}");
        gateway.wait_for_line(&["ResolvedRefs", "False", "InvalidSecret"]).await;
    }
    assert!(provider.requests().is_empty());
}

#[tokio::test]
async fn one_trailing_newline_of_a_secret_is_not_part_of_the_key() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let manifests = with_own_secret(&provider).file("own.yaml", &secret(&format!("{KEY}\n")));
    let gateway = Gateway::builder(manifests).start().await;
    assert_eq!(gateway.agent(Http::One, HOST).send(&Request::messages()).await.unwrap().status, 200);
    assert_eq!(provider.only_request().values("x-api-key"), [KEY]);
}

#[tokio::test]
async fn a_missing_module_is_named_and_nothing_starts() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let builder =
        Gateway::builder(Manifests::example(&provider)).key(KEY).module("/nonexistent/keyward.wasm");
    let mut gateway = builder.spawn().await;
    assert_eq!(gateway.ended().await, Some(1));
    assert!(gateway.errors().join("\n").contains("/nonexistent/keyward.wasm"), "{:?}", gateway.errors());
}

#[tokio::test]
async fn a_module_that_is_none_never_lets_a_request_through() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyward.wasm");
    std::fs::write(&path, b"\0asm\x01\0\0\0").unwrap();
    let provider = Provider::accepting(KEY).await.unwrap();
    let mut gateway = Gateway::builder(Manifests::example(&provider)).key(KEY).module(&path).spawn().await;
    assert_eq!(gateway.ended().await, Some(1), "a module without configuration versions was taken");
    assert!(gateway.errors().join("\n").contains("keyward.wasm"), "{:?}", gateway.errors());
    assert!(provider.requests().is_empty());
}

/// The copy of the module that the gateway's Envoy loads.
fn loaded_module(gateway: &Gateway) -> PathBuf {
    let files = std::fs::read_dir(gateway.state()).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "wasm")).expect("a module")
}

#[tokio::test]
async fn a_refused_update_is_a_condition_the_last_good_rules_serve_and_the_next_one_converges() {
    let (provider, gateway) = worked_example().await;
    let agent = gateway.agent(Http::Two, HOST);
    let module = loaded_module(&gateway);
    let aside = module.with_extension("aside");
    std::fs::rename(&module, &aside).unwrap();
    let refused = gateway.set_key("sk-ant-second-0123456789").await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    gateway.wait_for_line(&["EgressGateway", "Programmed", "Nacked"]).await;
    assert_eq!(agent.send(&Request::messages()).await.unwrap().status, 200, "the last good key serves");
    assert_never_unprotected(&provider);
    std::fs::rename(&aside, &module).unwrap();
    provider.behave(|behaviour| behaviour.key = Some("sk-ant-third-0123456789".into()));
    let taken = gateway.set_key("sk-ant-third-0123456789").await;
    assert_eq!(taken.status.code(), Some(0), "{taken:?}");
    assert_eq!(agent.send(&Request::messages()).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_module_that_traps_is_a_refusal_and_serves_again() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let trapping = tokio::task::spawn_blocking(harness::artefacts::trapping_module).await.unwrap();
    let gateway = Gateway::builder(Manifests::example(&provider)).key(KEY).module(trapping).start().await;
    let agent = gateway.agent(Http::Two, HOST);
    assert_eq!(agent.send(&Request::messages()).await.unwrap().status, 200);
    let trapped = agent.send(&Request::messages().header("x-keyward-trap", "1")).await.unwrap();
    assert_eq!(trapped.status, 503);
    becomes(&agent, 200, RECOVERY).await;
    assert_never_unprotected(&provider);
}

#[tokio::test]
async fn the_gateway_serves_while_the_controller_stands_still() {
    let (provider, gateway) = worked_example().await;
    // A name is known to Envoy from its first handshake on.
    assert_eq!(gateway.agent(Http::One, HOST).send(&Request::messages()).await.unwrap().status, 200);
    gateway.signal(Signal::STOP);
    let mut served = Vec::new();
    for (way, agent) in gateway.every_way() {
        served.push((way, agent.send(&Request::messages()).await.map(|answer| answer.status)));
    }
    gateway.signal(Signal::CONT);
    for (way, status) in served {
        assert_eq!(status.expect(&way), 200, "{way}");
    }
    assert_never_unprotected(&provider);
}

#[tokio::test]
async fn an_envoy_that_dies_is_replaced() {
    let (provider, gateway) = worked_example().await;
    let agent = gateway.agent(Http::Two, HOST);
    assert_eq!(agent.send(&Request::messages()).await.unwrap().status, 200);
    let before = gateway.envoys();
    assert_eq!(before.len(), 1, "{before:?}");
    kill_process(Pid::from_raw(before[0]).unwrap(), Signal::KILL).unwrap();
    becomes(&agent, 200, RECOVERY).await;
    assert_ne!(gateway.envoys(), before);
    assert_never_unprotected(&provider);
}

#[tokio::test]
async fn a_provider_that_is_down_is_a_refusal_and_its_return_is_noticed() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let address = provider.address();
    let options = harness::provider::Options { listen: address, ..Default::default() };
    let gateway = Gateway::builder(Manifests::example(&provider)).key(KEY).start().await;
    drop(provider);
    let agent = gateway.agent(Http::One, HOST);
    becomes(&agent, 503, RECOVERY).await;
    let refused = agent.send(&Request::messages()).await.unwrap();
    assert_eq!((refused.status, refused.reason()), (503, "upstream_refused"));
    // Another certificate authority is at the same address now: still refused, and never a byte of a request.
    let stranger = Provider::start(options).await.unwrap();
    assert_eq!(agent.send(&Request::messages()).await.unwrap().status, 503);
    assert!(stranger.requests().is_empty());
}
