//! What a collector is told of requests: a real one, which decodes it.

mod bodies;
mod conventions;
mod damaged;
mod metrics;
mod outages;
mod trace;
mod untold;
mod usage;

use std::time::{Duration, Instant};

use harness::client::{Http, Request};
use harness::collector::{Collector, attribute};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::objects;
use harness::provider::{Behaviour, Options, Provider};
use harness::scenario::{KEY, PLACEHOLDER, adjusted_example};
use harness::search::{files_under, found, spellings};
use serde_json::{Value, json};

/// What the worked example says of telemetry.
const OTLP: &str = "otlp: {captureBody: {maxBytes: 65536}}";

/// The worked example, ready, its provider, and the collector that it tells; `more` are further fields of `otlp`.
async fn told(more: &str) -> (Collector, Provider, Gateway) {
    let collector = Collector::start().await;
    let (provider, gateway) =
        adjusted_example(|manifests| telling(manifests, &collector.endpoint(), more)).await;
    (collector, provider, gateway)
}

fn telling(manifests: Manifests, endpoint: &str, more: &str) -> Manifests {
    manifests.replace(OTLP, &format!("otlp: {{endpoint: '{endpoint}'{more}}}"))
}

/// Asks until somebody is told of it, or nobody is any more: the provider sees which trace it is in.
async fn becomes(provider: &Provider, gateway: &Gateway, told: bool) {
    let started = Instant::now();
    loop {
        let answer = gateway.agent(Http::Two, HOST).send(&Request::messages()).await.unwrap();
        assert_eq!(answer.status, 200);
        if provider.only_request().values("traceparent").is_empty() != told {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "told: {told} never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[track_caller]
fn check(span: &Value, key: &str, expected: impl Into<Value>) {
    assert_eq!(attribute(span, key), Some(expected.into()), "{key} in {span:#}");
}

#[track_caller]
fn event<'a>(span: &'a Value, name: &str) -> &'a Value {
    let events = span["events"].as_array().expect("events");
    events.iter().find(|event| event["name"] == name).unwrap_or_else(|| panic!("no {name} in {span:#}"))
}

#[tokio::test]
async fn a_request_is_one_span_with_what_was_decided_and_what_it_cost() {
    let (collector, provider, gateway) = told("").await;
    for http in [Http::One, Http::Two] {
        let request = Request::messages().header("x-api-key", PLACEHOLDER).path("/v1/messages?beta=true");
        let answer = gateway.agent(http, HOST).send(&request).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(provider.only_request().values("x-api-key"), [KEY]);
    }
    for span in collector.wait_for(2).await {
        assert_eq!(span["name"], "chat claude-test");
        assert_eq!(span["kind"], 2, "a server's");
        check(&span["resource"], "service.name", "keyward");
        check(&span["resource"], "service.version", env!("CARGO_PKG_VERSION"));
        for (key, value) in [
            ("http.request.method", json!("POST")),
            ("server.address", json!(HOST)),
            ("server.port", json!(443)),
            ("url.scheme", json!("https")),
            ("url.path", json!("/v1/messages")),
            ("url.query", json!("beta=true")),
            ("http.response.status_code", json!(200)),
            ("gen_ai.provider.name", json!("anthropic")),
            ("gen_ai.system", json!("anthropic")),
            ("gen_ai.operation.name", json!("chat")),
            ("gen_ai.request.model", json!("claude-test")),
            ("gen_ai.response.model", json!("claude-test")),
            ("gen_ai.usage.input_tokens", json!(12)),
            ("gen_ai.usage.output_tokens", json!(6)),
            ("clrk.aiproviderroute.matched", json!(true)),
            ("clrk.aiproviderroute.namespace", json!("default")),
            ("clrk.aiproviderroute.name", json!("anthropic")),
            ("keyward.gateway", json!("default/echo-bot")),
            ("keyward.decision", json!("injected")),
            ("keyward.credential", json!(["default/anthropic"])),
            ("keyward.smuggle_attempt", json!(false)),
        ] {
            check(&span, key, value);
        }
        for size in ["clrk.req.bytes", "clrk.resp.bytes"] {
            assert!(attribute(&span, size).and_then(|bytes| bytes.as_u64()) > Some(0), "{span:#}");
        }
        let request = event(&span, "http.request.headers");
        check(request, "http.request.header.x-api-key", json!(["[redacted]"]));
        check(request, "http.request.header.content-type", json!(["application/json"]));
        let response = event(&span, "http.response.headers");
        check(response, "http.response.header.content-type", json!(["application/json"]));
        assert_eq!(span["events"].as_array().map(Vec::len), Some(2), "no bodies: {span:#}");
        let nanoseconds = |field: &str| span[field].as_str().unwrap_or_default().parse::<u128>().unwrap();
        let (started, ended) = (nanoseconds("startTimeUnixNano"), nanoseconds("endTimeUnixNano"));
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        assert!(started <= ended && ended <= now && now - started < 60_000_000_000, "{span:#}");
        let text = span.to_string();
        assert!(!text.contains(KEY) && !text.contains(PLACEHOLDER), "{span:#}");
    }
}

/// The check that the seed of the project asks for: both halves.
#[tokio::test]
async fn the_right_key_gives_200_and_tokens_and_the_wrong_one_401_in_the_span() {
    let (collector, provider, gateway) = told("").await;
    let request = Request::messages().header("x-api-key", PLACEHOLDER);
    assert_eq!(gateway.agent(Http::Two, HOST).send(&request).await.unwrap().status, 200);
    provider.behave(|behaviour| behaviour.key = Some("another".into()));
    assert_eq!(gateway.agent(Http::Two, HOST).send(&request).await.unwrap().status, 401);
    let spans = collector.wait_for(2).await;
    let of = |status: u16| {
        let found =
            spans.iter().find(|span| attribute(span, "http.response.status_code") == Some(json!(status)));
        found.unwrap_or_else(|| panic!("no {status} in {spans:#?}"))
    };
    for tokens in ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"] {
        assert!(attribute(of(200), tokens).and_then(|count| count.as_u64()) > Some(0));
        assert_eq!(attribute(of(401), tokens), None);
    }
    for status in [200, 401] {
        let headers = event(of(status), "http.request.headers");
        check(headers, "http.request.header.x-api-key", json!(["[redacted]"]));
        check(of(status), "keyward.decision", "injected");
    }
}

#[tokio::test]
async fn a_refusal_has_its_exact_reason_and_a_smuggled_key_is_flagged() {
    let collector = Collector::start().await;
    let (_provider, gateway) =
        adjusted_example(|manifests| telling(manifests, &collector.endpoint(), "").deny_all()).await;
    let agent = gateway.agent(Http::Two, HOST);
    let smuggled = Request::messages().header("x-api-key", "sk-of-the-agents-own");
    assert_eq!(agent.send(&smuggled).await.unwrap().status, 200);
    let refused = agent.send(&Request::messages().path("/v1/files")).await.unwrap();
    assert_eq!(refused.status, 403);
    let spans = collector.wait_for(2).await;
    let of = |decision: &str| {
        spans.iter().find(|span| attribute(span, "keyward.decision") == Some(json!(decision)))
    };
    let injected = of("injected").expect("the first");
    check(injected, "keyward.smuggle_attempt", true);
    assert!(!injected.to_string().contains("sk-of-the-agents-own"));
    let denied = of("denied").expect("the second");
    check(denied, "http.response.status_code", 403);
    check(denied, "keyward.reason", "endpoint_not_listed");
    assert_eq!(denied["status"], json!({}), "a refusal is no error of the server's");
}

/// A token for the collector stands in a Secret, goes to it alone, over TLS that is verified.
#[tokio::test]
async fn headers_of_a_secret_go_to_the_collector_over_tls_and_are_seen_nowhere() {
    const TOKEN: &str = "otlp-token-1f6c0de9a7";
    let names = vec!["127.0.0.1".to_owned()];
    let behaviour = Behaviour { status: Some(200), ..Behaviour::default() };
    let collector = Provider::start(Options { names, behaviour, ..Options::default() }).await.unwrap();
    let secret = objects::secret("otlp-headers", &[("Authorization", &format!("Bearer {TOKEN}"))]);
    let more = ", headers: {x-tenant: blue}, headersSecretRef: {name: otlp-headers}";
    let endpoint = format!("https://{}/otlp", collector.address());
    let (provider, gateway) = adjusted_example(|manifests| {
        let manifests = telling(manifests, &endpoint, more).file("otlp.yaml", &secret);
        manifests.alias(&["unused.example"], &collector)
    })
    .await;
    let agent = gateway.agent(Http::Two, HOST);
    assert_eq!(agent.send(&Request::messages()).await.unwrap().status, 200);
    collector.wait_for_requests(1).await;
    let told = collector.only_request();
    assert_eq!((told.method.as_str(), told.path.as_str()), ("POST", "/otlp"));
    for (name, value) in [
        ("authorization", format!("Bearer {TOKEN}")),
        ("x-tenant", "blue".into()),
        ("content-type", "application/x-protobuf".into()),
        ("content-encoding", "gzip".into()),
    ] {
        assert_eq!(told.values(name), [value], "{name}");
    }
    assert!(!provider.only_request().mentions(TOKEN), "the token went to the provider");
    let sockets = files_under(gateway.state());
    let admin = sockets.iter().find(|file| file.ends_with("admin.sock")).expect("an admin socket");
    let dump = harness::admin::ask(admin, "/config_dump?include_eds").unwrap();
    let written = [gateway.lines().join("\n"), gateway.errors().join("\n"), dump].concat();
    assert_eq!(found(written.as_bytes(), &spellings(TOKEN)), Vec::<String>::new());
    // Without it nothing is told, and the gateway goes on.
    gateway.remove_manifest("otlp.yaml");
    gateway.wait_for_line(&["EgressGateway", "ResolvedRefs", "False", "SecretNotFound"]).await;
    becomes(&provider, &gateway, false).await;
    collector.take_requests();
    assert_eq!(agent.send(&Request::messages()).await.unwrap().status, 200);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(collector.requests().len(), 0);
}
