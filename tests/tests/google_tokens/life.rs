//! The life of a token: renewed before its end, and not used after it.

use std::time::{Duration, Instant};

use harness::client::Http;
use harness::google::{Account, Answer, Key, Service, TokenEndpoint};
use rustix::process::Signal;

use super::{VERTEX, assert_denied, condition, generate, start, wait_for_condition, wait_until_served};

#[tokio::test]
async fn a_token_is_renewed_before_its_end_and_the_next_request_on_the_connection_has_the_new_one() {
    let endpoint = TokenEndpoint::start().await;
    endpoint.answer("/token", Answer::Token(Duration::from_secs(24)));
    let service = Service::trusting(&endpoint, &[VERTEX]).await;
    let gateway = start(&service, &Account::robot(Key::One, &endpoint.uri("/token"))).await;
    let mut one = gateway.agent(Http::One, VERTEX).open_http1().await.unwrap();
    let mut two = gateway.transparent_agent(Http::Two, VERTEX).open_http2().await.unwrap();
    let before = gateway.processes();
    let end = Instant::now() + Duration::from_secs(60);
    let mut used = Vec::new();
    while used.len() < 2 {
        assert!(Instant::now() < end, "no second token");
        assert_eq!(one.send(&generate(VERTEX).to_http1()).await.unwrap().status, 200);
        assert_eq!(two.send(&generate(VERTEX)).await.unwrap().status, 200);
        used.extend(service.take_calls().iter().map(|call| call.token().to_owned()));
        used.dedup();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(endpoint.tokens().windows(2).any(|two| two == used), "{used:?} of {:?}", endpoint.tokens());
    assert_eq!(gateway.processes(), before, "a process was restarted");
}

#[tokio::test]
async fn while_renewing_fails_the_old_token_serves_to_its_end_and_then_requests_are_denied() {
    let endpoint = TokenEndpoint::start().await;
    endpoint.answer("/token", Answer::Token(Duration::from_secs(30)));
    let service = Service::trusting(&endpoint, &[VERTEX]).await;
    let gateway = start(&service, &Account::robot(Key::One, &endpoint.uri("/token"))).await;
    let obtained = Instant::now();
    endpoint.answer("/token", Answer::Status(503, "busy"));
    let mut connection = gateway.agent(Http::Two, VERTEX).open_http2().await.unwrap();
    let words = ["False", "Failing", "a token until 20", "it was not renewed", "status 503"];
    wait_for_condition(&gateway, "vertex-ai", "TokenRenewal", &words).await;
    assert_eq!(connection.send(&generate(VERTEX)).await.unwrap().status, 200);
    assert!(obtained.elapsed() < Duration::from_secs(30), "it has not ended yet");
    assert_eq!(service.only_call().token(), endpoint.tokens()[0]);
    let resolved = condition(&gateway, "vertex-ai", "ResolvedRefs").expect("a condition");
    assert_eq!(resolved[0], "True");

    tokio::time::sleep(Duration::from_millis(30_500).saturating_sub(obtained.elapsed())).await;
    assert_denied(&connection.send(&generate(VERTEX)).await.unwrap());
    assert!(service.take_calls().is_empty());
    wait_for_condition(&gateway, "vertex-ai", "ResolvedRefs", &["False", "no token", "status 503"]).await;

    endpoint.answer("/token", Answer::Token(Duration::from_secs(3600)));
    wait_for_condition(&gateway, "vertex-ai", "ResolvedRefs", &["True"]).await;
    wait_until_served(&gateway).await;
    assert_eq!(connection.send(&generate(VERTEX)).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_token_ends_in_envoy_too_when_the_controller_can_say_nothing() {
    let endpoint = TokenEndpoint::start().await;
    endpoint.answer("/token", Answer::Token(Duration::from_secs(14)));
    let service = Service::trusting(&endpoint, &[VERTEX]).await;
    let gateway = start(&service, &Account::robot(Key::One, &endpoint.uri("/token"))).await;
    // A leaf comes from the controller too.
    let mut connection = gateway.agent(Http::Two, VERTEX).open_http2().await.unwrap();
    gateway.signal(Signal::STOP);
    assert_eq!(connection.send(&generate(VERTEX)).await.unwrap().status, 200);
    let _ = service.take_calls();
    tokio::time::sleep(Duration::from_millis(14_500)).await;
    let denied = connection.send(&generate(VERTEX)).await.unwrap();
    gateway.signal(Signal::CONT);
    assert_denied(&denied);
    assert!(service.take_calls().is_empty());
    gateway.wait_for_line(&["\"event\":\"access\"", "token_expired"]).await;
}
