//! What token endpoints do: one that comes up later, answers that are no token, certificates of nobody's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use harness::google::{Account, Answer, Key, Service, TokenEndpoint};
use harness::ports;
use harness::provider::Authority;

use super::{
    VERTEX, ask, assert_denied, route_with_account, start, vertex, wait_for_condition, wait_until_served,
    with_account,
};

#[tokio::test]
async fn an_endpoint_that_is_down_at_the_start_and_then_up_needs_no_restart() {
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let service = Service::trusting_nobody(&[VERTEX]).await;
    let gateway = start(&service, &Account::robot(Key::One, &format!("http://{address}/token"))).await;
    assert_denied(&ask(gateway.ready(), VERTEX).await);
    assert!(service.take_calls().is_empty());
    let words = ["False", "TokenUnavailable", "no connection to the token endpoint"];
    wait_for_condition(&gateway, "vertex-ai", "ResolvedRefs", &words).await;

    let endpoint = TokenEndpoint::start_at(address).await;
    service.trust(&endpoint);
    wait_for_condition(&gateway, "vertex-ai", "ResolvedRefs", &["True"]).await;
    wait_until_served(&gateway).await;
    assert_eq!(service.only_call().token(), endpoint.tokens()[0]);
    wait_for_condition(&gateway, "vertex-ai", "TokenRenewal", &["True"]).await;
}

#[tokio::test]
async fn whatever_an_endpoint_answers_instead_of_a_token_is_a_refusal_that_the_status_explains() {
    let endpoint = TokenEndpoint::start().await;
    let denied = r#"{"error": "invalid_grant", "error_description": "Invalid signature for canary-0123."}"#;
    #[rustfmt::skip]
    let cases = BTreeMap::from([
        ("refused", (Answer::Status(400, denied), "the token endpoint answered invalid_grant")),
        ("broken", (Answer::Status(500, "canary-0123"), "the token endpoint answered with status 500")),
        ("garbage", (Answer::Status(200, "<html>canary-0123"), "answer is not a token response")),
        ("endless", (Answer::Token(Duration::ZERO), "without a usable `expires_in`")),
        ("silent", (Answer::Silence, "the token endpoint did not answer in time")),
    ]);
    let hosts: Vec<String> = cases.keys().map(|name| format!("{name}.google.example")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let service = Service::trusting(&endpoint, &[&hosts[..], &[VERTEX]].concat()).await;
    let mut text = String::new();
    for (name, (answer, _)) in &cases {
        endpoint.answer(&format!("/{name}"), answer.clone());
        let account = Account::robot(Key::One, &endpoint.uri(&format!("/{name}")));
        text += &route_with_account(name, &format!("{name}.google.example"), &account, "{}");
    }
    let manifests = vertex(&service).file("routes.yaml", &text).alias_at(&hosts, service.port(), "");
    let good = Account::robot(Key::Other, &endpoint.uri("/token"));
    let gateway = with_account(manifests, &good).start().await;
    for (name, (_, words)) in &cases {
        assert_denied(&ask(gateway.ready(), &format!("{name}.google.example")).await);
        wait_for_condition(&gateway, name, "ResolvedRefs", &["False", "TokenUnavailable", words]).await;
        wait_for_condition(&gateway, name, "TokenRenewal", &["False", "Failing", words]).await;
    }
    assert!(service.take_calls().is_empty(), "nothing of theirs reached the service");
    assert_eq!(ask(gateway.ready(), VERTEX).await.status, 200, "another account is not disturbed");
    let written = [gateway.lines(), gateway.errors()].concat().join("\n");
    assert!(!written.contains("canary"), "what an endpoint says is not repeated");
}

#[tokio::test]
async fn an_endpoint_of_a_private_authority_is_trusted_by_the_gateways_own_bundle_alone() {
    let authority = std::sync::Arc::new(Authority::new("a private authority"));
    let (trusted, stranger) = (TokenEndpoint::start_under(&authority).await, Authority::new("a stranger"));
    let untrusted = TokenEndpoint::start_under(&stranger).await;
    let service = Service::trusting_under(&authority, &trusted, &[VERTEX, "other.google.example"]).await;
    let other = Account::robot(Key::Other, &untrusted.uri("/token"));
    let manifests = vertex(&service)
        .file("other.yaml", &route_with_account("other", "other.google.example", &other, "{}"))
        .alias_at(&["other.google.example"], service.port(), "");
    let account = Account::robot(Key::One, &trusted.uri("/token"));
    let gateway = with_account(manifests, &account).start().await;
    assert_eq!(ask(gateway.ready(), VERTEX).await.status, 200);
    assert_denied(&ask(gateway.ready(), "other.google.example").await);
    wait_for_condition(&gateway, "other", "ResolvedRefs", &["False", "certificate is not trusted"]).await;
    assert_eq!(untrusted.asked(), 0, "nothing was sent to it");
}
