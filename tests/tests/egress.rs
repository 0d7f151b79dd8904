//! The example with an allow-list, as its README says it, and what `keyward dev` tells of it.

use harness::client::{Agent, Failure, Http, Request, Way};
use harness::examples::Example;
use harness::gateway::{Gateway, Manifests};
use harness::objects;
use harness::provider::{Options, Provider};
use serde_json::{Value, json};

const HOSTS: [&str; 6] = [
    "api.anthropic.com",
    "packages.example.com",
    "one.files.example.com",
    "github.com",
    "raw.githubusercontent.com",
    "gist.githubusercontent.com",
];

fn request(host: &str, path: &str) -> Request {
    Request::new("POST", host, path).json(&json!({"model": "test"}))
}

async fn start() -> (Provider, Gateway) {
    Example::named("allow-list").start(&HOSTS).await
}

/// An agent that trusts the provider's CA, and so gets through only where nothing ends TLS before it.
fn untouched(gateway: &Gateway, provider: &Provider, http: Http, host: &str) -> Agent {
    Agent::new(Way::Proxy(gateway.ready().proxy, format!("{host}:443")), http, host, provider.ca())
}

fn refusal(failure: Result<harness::client::Response, Failure>) -> (u16, Value) {
    let answer = failure.unwrap_or_else(Failure::refusal);
    (answer.status, serde_json::from_slice(&answer.body).expect("JSON"))
}

#[tokio::test]
async fn the_allow_list_does_what_its_readme_says() {
    let (provider, gateway) = start().await;
    let key = Example::value("ANTHROPIC_API_KEY");
    for http in [Http::One, Http::Two] {
        let answer = gateway.agent(http, HOSTS[0]).send(&request(HOSTS[0], "/v1/messages")).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(provider.only_request().values("x-api-key"), [key.as_str()]);
        for host in ["packages.example.com", "one.files.example.com"] {
            let answer = gateway.agent(http, host).send(&request(host, "/simple/")).await.unwrap();
            assert_eq!(answer.status, 200, "{host}");
            assert!(!provider.only_request().mentions(&key), "{host}");
            let agent = untouched(&gateway, &provider, http, host);
            assert!(agent.send(&request(host, "/")).await.is_err(), "{host} is not intercepted");
        }
        for host in ["github.com", "raw.githubusercontent.com"] {
            let agent = untouched(&gateway, &provider, http, host);
            assert_eq!(agent.send(&request(host, "/")).await.unwrap().status, 200, "{host}");
            assert!(!provider.only_request().mentions(&key), "{host}");
        }
        let (status, body) = refusal(gateway.agent(http, HOSTS[5]).send(&request(HOSTS[5], "/")).await);
        assert_eq!((status, &body["error"]["message"]), (403, &json!("Gists are not for agents.")));
        for host in ["a.b.files.example.com", "files.example.com", "gitlab.com", "api.openai.com"] {
            let (status, body) = refusal(gateway.agent(http, host).send(&request(host, "/")).await);
            assert_eq!((status, &body["error"]["type"]), (403, &json!("denied_by_policy")), "{host}");
        }
        assert!(provider.requests().is_empty());
    }
}

#[tokio::test]
async fn a_policy_that_targets_a_providers_route_denies_its_requests() {
    let (provider, gateway) = start().await;
    let agent = gateway.agent(Http::One, HOSTS[0]);
    assert_eq!(agent.send(&request(HOSTS[0], "/v1/messages")).await.unwrap().status, 200);
    provider.take_requests();
    gateway.write_manifest(
        "deny.yaml",
        "apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressDenyPolicy
metadata: {name: provider}
spec:
  targetRef: {group: clrk.apoxy.dev, kind: AIProviderRoute, name: anthropic}
",
    );
    for _ in 0..600 {
        let answer = agent.send(&request(HOSTS[0], "/v1/messages")).await.unwrap();
        if answer.status == 403 {
            assert_eq!(answer.reason(), "denied_by_policy");
            let line = gateway.wait_for_line(&["\"request\"", "route_denied"]).await;
            assert!(line.contains("\"denied\""), "{line}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the policy has no effect");
}

/// The namespace of a team, with a label.
fn team(label: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Namespace
metadata: {{name: team, labels: {{egress: {label}}}}}
"
    )
}

#[tokio::test]
async fn a_route_of_a_namespace_attaches_as_long_as_the_selector_selects_its_labels() {
    let host = "packages.example.com";
    let provider = Provider::start(Options { names: vec![host.to_owned()], ..Options::default() })
        .await
        .expect("a provider");
    let gateway = objects::gateway("agents", "deny-all").replace(
        "tls: {mode: Terminate}",
        "tls: {mode: Terminate}, \
         allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {egress: allowed}}}}",
    );
    let route = format!(
        "---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressL4Route
metadata: {{name: packages, namespace: team}}
spec:
  parentRefs: [{{group: clrk.apoxy.dev, kind: EgressGateway, name: agents, namespace: default}}]
  rules: [{{matches: [{{destinationHostnames: [{host}]}}]}}]
"
    );
    let manifests = Manifests::empty().file("gateway.yaml", &(gateway + &route)).alias(&[host], &provider);
    let gateway = Gateway::builder(manifests.file("team.yaml", &team("allowed"))).start().await;
    let agent = gateway.agent(Http::Two, host);
    let becomes = async |status: u16| {
        for _ in 0..600 {
            // While the change is under way a connection may end.
            match agent.send(&request(host, "/simple/")).await {
                Ok(answer) | Err(Failure::Refused(answer)) if answer.status == status => return,
                _ => {}
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("no answer with {status}: {}", gateway.errors().join("\n"));
    };
    becomes(200).await;
    gateway.write_manifest("team.yaml", &team("elsewhere"));
    becomes(403).await;
    gateway.write_manifest("team.yaml", &team("allowed"));
    becomes(200).await;
    gateway.remove_manifest("team.yaml");
    becomes(403).await;
}
