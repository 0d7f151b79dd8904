//! The swap itself: what the provider receives in place of whatever the agent sent, by both ports and both protocols.

use std::collections::BTreeMap;

use harness::client::{Http, Request};
use harness::provider::{Echo, Received};
use harness::scenario::{KEY, PLACEHOLDER, adjusted_example, worked_example};

/// What an agent may send for a credential, each of which the provider must not see.
const ATTEMPTS: &[(&str, &[(&str, &str)])] = &[
    ("nothing", &[]),
    ("the placeholder", &[("x-api-key", PLACEHOLDER)]),
    ("another key", &[("x-api-key", "sk-ant-agents-own")]),
    (
        "three in mixed case",
        &[("X-Api-Key", "sk-ant-one"), ("x-api-key", "sk-ant-two"), ("X-API-KEY", "sk-ant-three")],
    ),
    ("its own authorization", &[("Authorization", "Bearer sk-ant-agents-own")]),
    ("both", &[("authorization", "Bearer sk-ant-agents-own"), ("x-api-key", PLACEHOLDER)]),
];

/// The values that an attempt would smuggle to the provider.
fn smuggled(attempt: &[(&str, &str)]) -> Vec<String> {
    attempt.iter().map(|(_, value)| value.trim_start_matches("Bearer ").to_owned()).collect()
}

#[tokio::test]
async fn the_provider_receives_the_real_key_alone_whatever_the_agent_sent() {
    let (provider, gateway) = worked_example().await;
    for (way, agent) in gateway.every_way() {
        for (what, headers) in ATTEMPTS {
            let context = format!("{way}, agent sent {what}");
            let answer = agent.send(&Request::messages().headers(headers)).await.expect(&context);
            assert_eq!((answer.status, &answer.json()["type"]), (200, &"message".into()), "{context}");
            assert!(!answer.mentions(KEY), "{context}: the agent saw the key");
            let received = provider.only_request();
            assert_eq!(received.values("x-api-key"), [KEY], "{context}");
            assert!(received.values("authorization").is_empty(), "{context}");
            for value in smuggled(headers) {
                assert!(!received.mentions(&value), "{context}: {value} reached the provider");
            }
        }
    }
}

#[tokio::test]
async fn an_unlisted_endpoint_gets_no_credential_and_keeps_none_of_the_agents() {
    let (provider, gateway) = worked_example().await;
    for (way, agent) in gateway.every_way() {
        for (what, headers) in ATTEMPTS {
            let context = format!("{way}, agent sent {what}");
            let request = Request::messages().path("/v1/messages/count_tokens").headers(headers);
            assert_eq!(agent.send(&request).await.expect(&context).status, 200, "{context}");
            let received = provider.only_request();
            assert!(!received.mentions(KEY), "{context}");
            assert!(
                received.values("x-api-key").is_empty() && received.values("authorization").is_empty(),
                "{context}"
            );
        }
    }
}

#[tokio::test]
async fn an_unlisted_endpoint_is_refused_under_deny_all() {
    let (provider, gateway) = adjusted_example(harness::gateway::Manifests::deny_all).await;
    for (way, agent) in gateway.every_way() {
        let refused = agent.send(&Request::messages().path("/v1/files")).await.expect(&way);
        assert_eq!((refused.status, refused.reason()), (403, "denied_by_policy"), "{way}");
        assert_eq!(agent.send(&Request::messages()).await.expect(&way).status, 200, "{way}");
        assert_eq!(provider.only_request().path, "/v1/messages", "{way}");
    }
}

#[tokio::test]
async fn the_providers_answer_to_a_wrong_key_reaches_the_agent() {
    let (provider, gateway) = worked_example().await;
    provider.behave(|behaviour| behaviour.key = Some("sk-ant-another-one".into()));
    for (way, agent) in gateway.every_way() {
        let answer = agent.send(&Request::messages()).await.expect(&way);
        assert_eq!(answer.status, 401, "{way}");
        assert_eq!(answer.json()["error"]["type"], "authentication_error", "{way}");
        assert_eq!(answer.reason(), "", "{way}: the refusal is the provider's");
    }
    provider.behave(|behaviour| behaviour.key = Some(KEY.into()));
    for (way, agent) in gateway.every_way() {
        assert_eq!(agent.send(&Request::messages()).await.expect(&way).status, 200, "{way}");
    }
}

/// Header lines as a multiset, without the ones that may differ.
fn compared(lines: &[(String, String)], except: &[&str]) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for (name, value) in lines {
        let name = name.to_ascii_lowercase();
        if !except.contains(&name.as_str()) {
            *counts.entry((name, value.clone())).or_default() += 1;
        }
    }
    counts
}

#[tokio::test]
async fn nothing_else_of_the_request_changes() {
    let (provider, gateway) = worked_example().await;
    for (way, agent) in gateway.every_way() {
        let request = Request::messages().path("/v1/messages?beta=true&q=a%2Fb+c;d").headers(&[
            ("anthropic-version", "2023-06-01"),
            ("x-custom", "first"),
            ("x-custom", "second, third"),
            ("accept", "application/json"),
            ("user-agent", "agent/1.0 (test)"),
            ("x-api-key", PLACEHOLDER),
        ]);
        agent.send(&request).await.expect(&way);
        let received = provider.only_request();
        let framing = ["host", "content-length", "transfer-encoding", "x-api-key"];
        assert_eq!(compared(&received.headers, &framing), compared(&request.headers, &framing), "{way}");
        assert_eq!(received.path, request.path, "{way}");
        assert_eq!(
            (received.method.as_str(), received.authority.as_str()),
            ("POST", "api.anthropic.com"),
            "{way}"
        );
        assert_eq!(received.body, request.body, "{way}");
    }
}

#[tokio::test]
async fn nothing_else_of_the_answer_changes() {
    let (provider, gateway) = worked_example().await;
    provider.behave(|behaviour| {
        behaviour.headers = vec![("x-custom".into(), "a".into()), ("x-custom".into(), "b".into())]
    });
    let request = Request::messages().header("x-api-key", KEY);
    let direct = |http| {
        let way = harness::client::Way::Direct(provider.address());
        harness::client::Agent::new(way, http, harness::gateway::HOST, provider.ca())
    };
    for (way, agent) in gateway.every_way() {
        let plain = direct(agent.http).send(&request).await.expect("the provider answers");
        let through = agent.send(&Request::messages()).await.expect(&way);
        let framing = ["alt-svc", "date", "content-length", "transfer-encoding"];
        assert_eq!(compared(&through.headers, &framing), compared(&plain.headers, &framing), "{way}");
        assert_eq!((through.status, &through.body), (plain.status, &plain.body), "{way}");
        assert!(through.values("alt-svc").is_empty(), "{way}: an agent would go round the gateway");
        assert_eq!(through.values("server"), ["provider"], "{way}");
    }
}

#[tokio::test]
async fn response_headers_never_give_the_key_back() {
    let (provider, gateway) = worked_example().await;
    provider.behave(|behaviour| behaviour.echo = Echo::ALL.to_vec());
    let forms = {
        let request = Request::messages().header("x-api-key", KEY);
        let way = harness::client::Way::Direct(provider.address());
        let direct = harness::client::Agent::new(way, Http::Two, harness::gateway::HOST, provider.ca());
        let answer = direct.send(&request).await.expect("the provider answers");
        answer.headers.into_iter().filter(|(name, _)| name.starts_with("x-echo")).collect::<Vec<_>>()
    };
    assert!(forms.len() > Echo::ALL.len(), "the provider gives nothing away: {forms:?}");
    for (way, agent) in gateway.every_way() {
        let answer = agent.send(&Request::messages()).await.expect(&way);
        assert_eq!(answer.status, 200, "{way}");
        for (name, value) in &forms {
            assert!(!answer.values(name).contains(&value.as_str()), "{way}: {name} came through");
        }
        assert!(!answer.mentions(KEY), "{way}");
    }
}

#[tokio::test]
async fn a_connection_header_cannot_nominate_the_injected_one() {
    let (provider, gateway) = worked_example().await;
    let agent = gateway.agent(Http::One, harness::gateway::HOST);
    let request =
        Request::messages().headers(&[("Connection", "x-api-key, close"), ("x-api-key", PLACEHOLDER)]);
    assert_eq!(agent.send(&request).await.unwrap().status, 200);
    assert_eq!(provider.only_request().values("x-api-key"), [KEY]);
}

#[tokio::test]
async fn bytes_on_the_wire_to_the_provider_hold_nothing_of_ours() {
    let (provider, gateway) = worked_example().await;
    for (way, agent) in gateway.every_way() {
        agent.send(&Request::messages().header("x-envoy-retry-on", "5xx")).await.expect(&way);
        let received: Received = provider.only_request();
        for name in received.names() {
            let ours = ["x-envoy", "x-forwarded", "x-request-id", "x-keyward", "proxy-"];
            assert!(!ours.iter().any(|prefix| name.starts_with(prefix)), "{way}: {name} went upstream");
        }
    }
}
