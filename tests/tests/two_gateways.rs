//! Two gateways in one `keyward dev` share nothing: no CA, no leaf, no credential.

use harness::client::{Failure, Http, Request};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::objects;
use harness::provider::Provider;
use harness::scenario::{KEY, PLACEHOLDER};

async fn two(provider: &Provider) -> Gateway {
    let manifests =
        Manifests::example(provider).file("second.yaml", &objects::gateway("second", "allow-all"));
    Gateway::builder(manifests).gateways(&["default/echo-bot", "default/second"]).key(KEY).start().await
}

#[tokio::test]
async fn each_has_a_certificate_authority_of_its_own() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let gateway = two(&provider).await;
    let (first, second) = (gateway.named("default/echo-bot"), gateway.named("default/second"));
    assert_ne!(first.ca_text(), second.ca_text());
    for http in [Http::One, Http::Two] {
        for (at, trusting) in [(first, second), (second, first)] {
            let mut agent = at.agent(http, HOST);
            agent.handshake.ca = trusting.ca_text();
            let failure = agent.send(&Request::messages()).await.unwrap_err();
            assert!(matches!(failure, Failure::Handshake(_)), "{failure:?}");
        }
    }
    assert!(provider.requests().is_empty());
}

#[tokio::test]
async fn a_credential_of_one_is_not_at_the_other() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let gateway = two(&provider).await;
    for http in [Http::One, Http::Two] {
        let request = Request::messages().header("x-api-key", PLACEHOLDER);
        let first = gateway.named("default/echo-bot").agent(http, HOST).send(&request).await.unwrap();
        assert_eq!(first.status, 200);
        assert_eq!(provider.only_request().values("x-api-key"), [KEY]);
        let second = gateway.named("default/second").agent(http, HOST).send(&request).await.unwrap();
        assert_eq!(second.status, 401, "the second gateway has no rule for the host");
        assert_eq!(provider.only_request().values("x-api-key"), [PLACEHOLDER]);
    }
}
