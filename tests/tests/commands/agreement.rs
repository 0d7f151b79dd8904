//! What `keyward explain` says of a request is what becomes of it in a running gateway, row by row.

use std::time::{Duration, Instant};

use harness::client::{Agent, Failure, Http, Request, Way, plain};
use harness::gateway::{Gateway, HOST, Manifests, NAME};
use harness::objects;
use harness::provider::{Options, Provider};
use harness::scenario::KEY;
use serde_json::Value;

use super::{json, path, run};

const OTHER: &str = "other.example";
const MODELS: &str = "api.openai.com";
const POOR: &str = "poor.example";

/// What the agent itself sends where a credential could be.
const OWN: &str = "agents-own-key-0123456789";

/// A request as both are asked about it.
struct Row {
    method: &'static str,
    url: &'static str,
    headers: &'static [(&'static str, &'static str)],
    sni: Option<&'static str>,
    model: Option<&'static str>,
}

const fn row(method: &'static str, url: &'static str) -> Row {
    Row { method, url, headers: &[], sni: None, model: None }
}

const ROWS: &[Row] = &[
    row("POST", "https://api.anthropic.com/v1/messages"),
    Row {
        headers: &[("x-api-key", OWN), ("authorization", OWN)],
        ..row("POST", "https://api.anthropic.com/v1/messages?beta=1")
    },
    row("GET", "https://api.anthropic.com/v1/files"),
    row("POST", "https://api.anthropic.com/v1//messages"),
    row("POST", "https://api.anthropic.com/v1/%6dessages"),
    row("TRACE", "https://api.anthropic.com/v1/messages"),
    row("PROPFIND", "https://api.anthropic.com/v1/messages"),
    row("POST", "https://api.anthropic.com:8443/v1/messages"),
    row("GET", "https://API.Anthropic.com/v1/messages"),
    Row { headers: &[("host", OTHER)], ..row("GET", "https://api.anthropic.com/v1/messages") },
    Row { headers: &[("host", HOST)], ..row("GET", "https://other.example/v1/messages") },
    Row {
        headers: &[("host", "api.anthropic.com:8443")],
        ..row("GET", "https://api.anthropic.com/v1/messages")
    },
    Row { sni: Some(HOST), ..row("GET", "https://other.example/v1/messages") },
    Row { sni: Some(OTHER), ..row("GET", "https://api.anthropic.com/v1/messages") },
    Row { headers: &[("x-api-key", OWN)], ..row("GET", "https://other.example/anything") },
    row("GET", "https://other.example:8443/"),
    row("GET", "https://Other.Example/anything"),
    row("POST", "https://poor.example/v1"),
    Row { model: Some("gpt-5"), ..row("POST", "https://api.openai.com/v1/responses") },
    Row { model: Some("claude"), ..row("POST", "https://api.openai.com/v1/responses") },
    row("GET", "https://api.openai.com/v1/responses"),
    row("GET", "http://api.anthropic.com/v1/messages"),
    row("GET", "http://poor.example/"),
];

/// A route whose rule is for models, and one without a credential.
fn more() -> String {
    let models = "{provider: openai, hosts: [api.openai.com], endpoints: [/v1/responses], models: ['gpt-*']}";
    [
        objects::route("models", &[NAME], models),
        objects::policy(
            "models",
            "anthropic-credentials",
            &format!("secretKey: api-key, {}", objects::BEARER),
        ),
        objects::route("poor", &[NAME], "{provider: custom, hosts: [poor.example]}"),
    ]
    .concat()
}

/// A verdict, the exact reason where there is one, and what the agent was answered.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    verdict: String,
    reason: Option<String>,
    answer: Option<(u64, String)>,
}

fn explained(gateway: &Gateway, row: &Row, transparent: bool) -> Outcome {
    let secret = ["--secret", "anthropic-credentials=KEYWARD_TEST_KEY"];
    let mut words = vec!["explain", "--json", "--manifests", path(gateway.manifests()), secret[0], secret[1]];
    let headers: Vec<String> = row.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    words.extend(headers.iter().flat_map(|header| ["-H", header.as_str()]));
    words.extend(row.model.iter().flat_map(|model| ["--model", model]));
    words.extend(row.sni.iter().flat_map(|sni| ["--sni", sni]));
    words.extend(transparent.then_some("--transparent"));
    words.extend([row.method, row.url]);
    let report = json(&run(&words, &[("KEYWARD_TEST_KEY".to_owned(), KEY.to_owned())]));
    let answer = report["answer"]
        .as_object()
        .map(|answer| (answer["status"].as_u64().unwrap(), answer["reason"].as_str().unwrap().to_owned()));
    Outcome {
        verdict: report["verdict"].as_str().unwrap().to_owned(),
        reason: report["reason"].as_str().map(str::to_owned),
        answer,
    }
}

fn refused(response: &harness::client::Response) -> Outcome {
    let answer = Some((u64::from(response.status), response.reason().to_owned()));
    Outcome { verdict: "denied".into(), reason: None, answer }
}

/// The request line's records of a gateway so far.
fn records(gateway: &Gateway) -> Vec<Value> {
    let entries = gateway.events("access").into_iter().map(|event| event["entry"].clone());
    entries.filter(|entry| entry["record"]["decision"].is_string()).collect()
}

/// The exact reason in the next record.
async fn recorded(gateway: &Gateway, before: usize) -> Option<String> {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(record) = records(gateway).get(before) {
            return record["record"]["reason"].as_str().map(str::to_owned);
        }
        assert!(Instant::now() < end, "no record of the request");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What becomes of a request, and the exact reason where a filter had a say.
async fn happened(provider: &Provider, gateway: &Gateway, row: &Row, transparent: bool) -> Outcome {
    let (scheme, rest) = row.url.split_once("://").unwrap();
    let at = rest.find('/').unwrap();
    let (authority, path) = rest.split_at(at);
    if scheme == "http" {
        let request = format!("{} {} HTTP/1.1\r\nHost: {authority}\r\n\r\n", row.method, row.url);
        return refused(&plain(gateway.ready().proxy, request.as_bytes()).await.expect(row.url));
    }
    let target = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:443") };
    let host = target.split(':').next().unwrap().to_ascii_lowercase();
    let way = match transparent {
        true => Way::Direct(gateway.ready().transparent),
        false => Way::Proxy(gateway.ready().proxy, target.clone()),
    };
    let named = row.headers.iter().find(|(name, _)| *name == "host").map_or(authority, |(_, value)| value);
    let mut request = Request::new(row.method, named, path);
    for (name, value) in row.headers.iter().filter(|(name, _)| *name != "host") {
        request = request.header(name, value);
    }
    if let Some(model) = row.model {
        request = request.json(&serde_json::json!({ "model": model }));
    }
    let sni = row.sni.unwrap_or(&host);
    let agent = |ca: &str| Agent::new(way.clone(), Http::One, sni, ca);
    let before = records(gateway).len();
    let answer = match agent(&gateway.ca()).send(&request).await {
        Ok(answer) => answer,
        Err(Failure::Refused(response)) => return refused(&response),
        Err(Failure::Handshake(_) | Failure::Closed(_)) => {
            // Its own certificate, where it passes untouched.
            let untouched = agent(provider.ca()).send(&request).await.is_ok();
            provider.take_requests();
            let verdict = if untouched { "untouched" } else { "closed" };
            return Outcome { verdict: verdict.into(), reason: None, answer: None };
        }
        Err(other) => panic!("{}: {other:?}", row.url),
    };
    let received = provider.take_requests();
    let reason = recorded(gateway, before).await;
    match received.as_slice() {
        [] => Outcome { reason, ..refused(&answer) },
        [received] => {
            let verdict = if received.mentions(KEY) { "injected" } else { "passed" };
            let reason = reason.filter(|reason| reason != "matched");
            Outcome { verdict: verdict.into(), reason, answer: None }
        }
        several => panic!("{}: {} requests", row.url, several.len()),
    }
}

async fn agrees(change: impl FnOnce(Manifests) -> Manifests) {
    let names = [HOST, OTHER, MODELS, POOR].map(str::to_owned).to_vec();
    let provider = Provider::start(Options { names, ..Options::default() }).await.unwrap();
    let manifests =
        Manifests::worked_example().file("more.yaml", &more()).alias(&[HOST, OTHER, MODELS, POOR], &provider);
    let gateway = Gateway::builder(change(manifests)).key(KEY).start().await;
    let mut compared = 0;
    for row in ROWS {
        for transparent in [false, true] {
            // The transparent port takes TLS, and counts as 443.
            if transparent && (row.url.starts_with("http:") || row.url.contains(":8443/")) {
                continue;
            }
            let told = explained(&gateway, row, transparent);
            let mut found = happened(&provider, &gateway, row, transparent).await;
            let context = format!(
                "{} {} {:?} SNI {:?} transparent {transparent}",
                row.method, row.url, row.headers, row.sni
            );
            if found.reason.is_none() && found.verdict == "denied" {
                // Envoy's own refusals have no exact reason in the log.
                found.reason.clone_from(&told.reason);
            }
            assert_eq!(told, found, "{context}");
            compared += 1;
        }
    }
    assert!(compared > 35, "only {compared} requests");
}

#[tokio::test]
async fn where_everything_is_intercepted() {
    agrees(|manifests| manifests).await;
}

#[tokio::test]
async fn where_only_routes_are_intercepted() {
    agrees(|manifests| manifests.gateway_spec("interception: Routes")).await;
}

#[tokio::test]
async fn where_other_hosts_are_denied() {
    agrees(Manifests::deny_all).await;
}
