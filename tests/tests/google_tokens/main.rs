//! Google service accounts, end to end: an account is exchanged once, requests carry the token until its end, and every
//! failure of a token endpoint is a refusal with words. The account's key stays in `keyward`.

mod accounts;
mod endpoint;
mod life;
mod many;

use std::time::{Duration, Instant};

use harness::artefacts;
use harness::client::{Http, Request, Response};
use harness::gateway::{Gateway, Manifests, Ready};
use harness::google::{Account, Key, Service, TokenEndpoint};
use harness::objects;
use harness::scenario::PLACEHOLDER;
use serde_json::json;

const VERTEX: &str = "us-central1-aiplatform.googleapis.com";

const GENERATE: &str =
    "/v1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-flash:generateContent";

/// What an agent sends: a placeholder, and accounts of its own in every other place.
fn generate(host: &str) -> Request {
    Request::new("POST", host, GENERATE)
        .header("authorization", &format!("Bearer {PLACEHOLDER}"))
        .header("x-goog-api-key", "AIza-of-the-agent-itself")
        .json(&json!({"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]}))
}

/// The example as it stands, its host at this service.
fn vertex(service: &Service) -> Manifests {
    let path = artefacts::root().join("examples/vertex-ai/vertex-ai.yaml");
    let text = std::fs::read_to_string(path).expect("the example");
    Manifests::empty().file("vertex-ai.yaml", &text).alias_at(&[VERTEX], service.port(), service.ca())
}

/// The example with this account, by `--secret`.
async fn start(service: &Service, account: &Account) -> Gateway {
    with_account(vertex(service), account).start().await
}

fn with_account(manifests: Manifests, account: &Account) -> harness::gateway::Builder {
    Gateway::builder(manifests)
        .arguments(&["--secret", "vertex-ai-account=KEY_FILE"])
        .environment("KEY_FILE", &account.key_file())
}

async fn ask(gateway: &Ready, host: &str) -> Response {
    gateway.agent(Http::Two, host).send(&generate(host)).await.expect("an answer")
}

/// Asks until it is answered with 200: Envoy takes a token some milliseconds after a condition speaks of it. Panics after
/// half a minute.
async fn wait_until_served(gateway: &Gateway) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = ask(gateway.ready(), VERTEX).await;
        if answer.status == 200 {
            return;
        }
        assert_denied(&answer);
        assert!(Instant::now() < end, "still denied");
    }
}

#[track_caller]
fn assert_denied(answer: &Response) {
    assert_eq!((answer.status, answer.reason()), (503, "credential_unavailable"), "{answer:?}");
}

/// The latest of these conditions of a policy: status, reason and message.
fn condition(gateway: &Gateway, policy: &str, kind: &str) -> Option<[String; 3]> {
    let events = gateway.events("conditions");
    let of_policy = events.iter().rev().filter(|event| event["name"] == policy);
    let mut latest = of_policy.filter(|event| event["kind"] == "CredentialInjectionPolicy");
    let conditions = latest.next()?["conditions"].as_array()?.clone();
    let condition = conditions.into_iter().find(|condition| condition["type"] == kind)?;
    Some(
        ["status", "reason", "message"].map(|field| condition[field].as_str().unwrap_or_default().to_owned()),
    )
}

/// Waits until a condition of a policy has these words. Panics after twenty seconds.
async fn wait_for_condition(gateway: &Gateway, policy: &str, kind: &str, words: &[&str]) -> String {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let now = condition(gateway, policy, kind).map(|parts| parts.join(" ")).unwrap_or_default();
        if words.iter().all(|word| now.contains(word)) {
            return now;
        }
        assert!(Instant::now() < end, "{kind} of {policy} is {now:?}, without {words:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_example_serves_with_a_token_and_the_agents_own_credentials_are_gone() {
    let endpoint = TokenEndpoint::start().await;
    let service = Service::trusting(&endpoint, &[VERTEX]).await;
    let gateway = start(&service, &Account::robot(Key::One, &endpoint.uri("/token"))).await;
    for http in [Http::One, Http::Two] {
        let answer = gateway.agent(http, VERTEX).send(&generate(VERTEX)).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        let call = service.only_call();
        assert_eq!((call.token(), call.path.as_str()), (endpoint.tokens()[0].as_str(), GENERATE));
        assert!(call.accepted && !answer.mentions("ya29"));
    }
    let [assertion] = endpoint.assertions().try_into().expect("one exchange");
    assert_eq!(assertion.key, Key::One);
    assert_eq!(assertion.claim("scope"), "https://www.googleapis.com/auth/cloud-platform");
    wait_for_condition(&gateway, "vertex-ai", "ResolvedRefs", &["True"]).await;
    let renewal = wait_for_condition(&gateway, "vertex-ai", "TokenRenewal", &["True", "Scheduled"]).await;
    for words in ["a token until 20", "obtained 20", "to be renewed 20"] {
        assert!(renewal.contains(words), "{renewal}");
    }
    let elsewhere = Request { path: "/v1/projects".into(), ..generate(VERTEX) };
    gateway.agent(Http::Two, VERTEX).send(&elsewhere).await.unwrap();
    assert!(service.take_calls().iter().all(|call| call.credentials.is_empty()));
}

/// What a policy says to put in a token of an account in `key.json`.
fn service_account(gcp: &str) -> String {
    format!(
        "secretKey: key.json, target: ProviderAuth, providerAuth: {{type: GCPServiceAccount, gcp: {gcp}}}"
    )
}

/// The objects of a route to this host, with an account of its own.
fn route_with_account(name: &str, host: &str, account: &Account, gcp: &str) -> String {
    [
        objects::secret(name, &[("key.json", &account.key_file())]),
        objects::route(name, &["gemini-bot"], &format!("{{provider: custom, hosts: [{host}]}}")),
        objects::policy(name, name, &service_account(gcp)),
    ]
    .concat()
}
