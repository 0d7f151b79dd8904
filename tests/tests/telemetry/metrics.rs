//! What Envoy's statistics say, as a Prometheus reads them.

use harness::admin;
use harness::client::{Http, Request};
use harness::collector::Collector;
use harness::gateway::{Gateway, HOST};
use harness::provider::{Options, Provider};
use harness::scenario::adjusted_example;
use harness::search::files_under;

use super::{becomes, telling, told};

/// The lines about this gateway's own metrics.
fn scraped(gateway: &Gateway) -> Vec<String> {
    let sockets = files_under(gateway.state());
    let socket = sockets.iter().find(|file| file.ends_with("admin.sock")).expect("an admin socket");
    let text = admin::ask(socket, "/stats/prometheus").unwrap();
    text.lines().filter(|line| line.starts_with("keyward_")).map(str::to_owned).collect()
}

/// Waits until a line stands there.
pub(super) async fn counted(gateway: &Gateway, line: &str) {
    until(gateway, line, |other| other == line).await;
}

/// Waits until a line stands there that is as wanted.
async fn until(gateway: &Gateway, wanted: &str, is_it: impl Fn(&str) -> bool) {
    let started = std::time::Instant::now();
    while !scraped(gateway).iter().any(|line| is_it(line)) {
        assert!(started.elapsed().as_secs() < 60, "no {wanted} in {:#?}", scraped(gateway));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn requests_tokens_and_spans_are_counted() {
    let collector = Collector::start().await;
    let (_provider, gateway) =
        adjusted_example(|manifests| telling(manifests, &collector.endpoint(), "").deny_all()).await;
    let agent = gateway.agent(Http::Two, HOST);
    for key in ["clrk-injected-by-proxy", "sk-of-the-agents-own"] {
        let request = Request::messages().header("x-api-key", key);
        assert_eq!(agent.send(&request).await.unwrap().status, 200);
    }
    assert_eq!(agent.send(&Request::messages().path("/v1/files")).await.unwrap().status, 403);
    let route = "route=\"default/anthropic\"";
    for line in [
        format!("keyward_requests_total{{decision=\"injected\",reason=\"none\",{route}}} 2"),
        "keyward_requests_total{decision=\"denied\",reason=\"endpoint_not_listed\",route=\"none\"} 1"
            .to_owned(),
        format!("keyward_smuggle_attempts_total{{{route}}} 1"),
        format!("keyward_tokens_total{{{route},type=\"input\"}} 24"),
        format!("keyward_tokens_total{{{route},type=\"output\"}} 12"),
        "keyward_export_spans_total{outcome=\"sent\"} 3".to_owned(),
    ] {
        counted(&gateway, &line).await;
    }
}

/// A route that comes and goes is counted by its name, and no agent adds a name.
#[tokio::test]
async fn what_an_agent_chooses_makes_no_metric() {
    let (_collector, provider, gateway) = told("").await;
    becomes(&provider, &gateway, true).await;
    let before = scraped(&gateway).len();
    let agent = gateway.agent(Http::Two, HOST);
    for number in 0..50 {
        let request = Request::messages().path(&format!("/v1/messages?page={number}"));
        let request =
            request.header("x-api-key", &format!("own-{number}")).header("user-agent", &number.to_string());
        assert_eq!(agent.send(&request).await.unwrap().status, 200);
    }
    counted(&gateway, "keyward_smuggle_attempts_total{route=\"default/anthropic\"} 50").await;
    let after = scraped(&gateway);
    assert!(after.len() <= before + 4, "{after:#?}");
}

/// It would stay in Envoy's memory until it ends, which it need not do.
#[tokio::test]
async fn an_answer_of_a_collector_is_held_up_to_a_limit() {
    let names = vec!["127.0.0.1".to_owned()];
    let collector = Provider::start(Options { names, ..Options::default() }).await.unwrap();
    let answers = |bytes| collector.behave(|now| now.body_bytes = Some(bytes));
    answers(100 << 10);
    let endpoint = format!("https://{}", collector.address());
    let (_provider, gateway) = adjusted_example(|manifests| {
        telling(manifests, &endpoint, "").alias(&["unused.example"], &collector)
    })
    .await;
    assert_eq!(gateway.agent(Http::Two, HOST).send(&Request::messages()).await.unwrap().status, 200);
    let failures = "keyward_export_failures_total{} ";
    until(&gateway, failures, |line| line.starts_with(failures)).await;
    answers(50 << 10);
    counted(&gateway, "keyward_export_spans_total{outcome=\"sent\"} 1").await;
}
