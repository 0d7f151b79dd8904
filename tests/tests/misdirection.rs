//! The credential never goes where its rule does not name: names in disagreement, other hosts, cleartext.

use harness::client::{Agent, Failure, Http, Request, Response, Way, plain};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::{Identity, Options, Provider};
use harness::scenario::{KEY, PLACEHOLDER, adjusted_example, worked_example};

const OTHER: &str = "other.example";

/// The worked example, and a second provider that the gateway reaches by another name.
async fn with_another_host() -> (Provider, Provider, Gateway) {
    let names = vec![OTHER.to_owned()];
    let other = Provider::start(Options { names, ..Options::default() }).await.unwrap();
    let (provider, gateway) = adjusted_example(|manifests| manifests.alias(&[OTHER], &other)).await;
    (provider, other, gateway)
}

/// 421, or a connection that failed before the request.
fn is_misdirected(result: &Result<Response, Failure>) -> bool {
    match result {
        Ok(response) => response.status == 421 && response.reason() == "misdirected",
        Err(failure) => matches!(failure, Failure::Handshake(_)),
    }
}

#[tokio::test]
async fn names_in_disagreement_reach_no_provider() {
    let (provider, other, gateway) = with_another_host().await;
    let names = [HOST, OTHER];
    for (target, sni, authority) in
        names.iter().flat_map(|t| names.map(|s| (t, s))).flat_map(|(t, s)| names.map(|a| (*t, s, a)))
    {
        if target == sni && sni == authority {
            continue;
        }
        for http in [Http::One, Http::Two] {
            let context = format!("CONNECT {target}, SNI {sni}, authority {authority}, {http:?}");
            let agent = gateway.agent(http, target).sni(Some(sni));
            let result = agent.send(&Request::messages().authority(authority)).await;
            assert!(is_misdirected(&result), "{context}: {result:?}");
            assert!(
                provider.requests().is_empty() && other.requests().is_empty(),
                "{context}: a request went upstream"
            );
        }
    }
}

#[tokio::test]
async fn names_in_disagreement_at_the_transparent_port_reach_no_provider() {
    let (provider, other, gateway) = with_another_host().await;
    for (sni, authority) in [(HOST, OTHER), (OTHER, HOST)] {
        for http in [Http::One, Http::Two] {
            let context = format!("SNI {sni}, authority {authority}, {http:?}");
            let result =
                gateway.transparent_agent(http, sni).send(&Request::messages().authority(authority)).await;
            assert!(is_misdirected(&result), "{context}: {result:?}");
            assert!(provider.requests().is_empty() && other.requests().is_empty(), "{context}");
        }
    }
}

#[tokio::test]
async fn names_that_agree_reach_their_provider_and_only_the_named_one_gets_the_key() {
    let (provider, other, gateway) = with_another_host().await;
    for http in [Http::One, Http::Two] {
        for agent in [gateway.agent(http, OTHER), gateway.transparent_agent(http, OTHER)] {
            let request = Request::messages().authority(OTHER).header("x-api-key", PLACEHOLDER);
            let answer = agent.send(&request).await.unwrap();
            assert_eq!(answer.status, 200, "{http:?}: {answer:?}");
            let received = other.only_request();
            assert_eq!(received.values("x-api-key"), [PLACEHOLDER], "a host without a rule is not touched");
            assert!(!received.mentions(KEY));
        }
    }
    assert!(provider.requests().is_empty());
}

#[tokio::test]
async fn an_authority_that_differs_only_in_spelling_is_the_same_and_another_port_is_not() {
    let (provider, gateway) = worked_example().await;
    let agent = gateway.agent(Http::One, HOST);
    for (authority, same) in [
        ("api.anthropic.com:443", true),
        ("API.Anthropic.com", true),
        ("api.anthropic.com:8443", false),
        ("api.anthropic.com.", true),
        ("user@api.anthropic.com", false),
        ("api.anthropic.com.other.example", false),
        ("", false),
    ] {
        let result = agent.send(&Request::messages().authority(authority)).await;
        let seen = provider.take_requests();
        if same {
            assert_eq!(result.expect(authority).status, 200, "{authority}");
            assert_eq!(seen[0].values("x-api-key"), [KEY], "{authority}");
            assert_eq!(seen[0].authority.trim_end_matches(":443").to_ascii_lowercase(), HOST, "{authority}");
        } else {
            let refused =
                result.is_err() || result.is_ok_and(|response| [400, 421].contains(&response.status));
            assert!(refused && seen.is_empty(), "{authority:?} was not refused");
        }
    }
}

#[tokio::test]
async fn no_server_name_and_addresses_for_names_get_no_handshake() {
    let (provider, gateway) = worked_example().await;
    for agent in [gateway.agent(Http::One, HOST), gateway.transparent_agent(Http::One, HOST)] {
        let failure = agent.sni(None).send(&Request::messages()).await.unwrap_err();
        assert!(matches!(failure, Failure::Handshake(_)), "{failure:?}");
    }
    assert!(provider.requests().is_empty());
}

#[tokio::test]
async fn an_unlisted_host_is_refused_at_connect_under_deny_all() {
    let (provider, gateway) = adjusted_example(Manifests::deny_all).await;
    for http in [Http::One, Http::Two] {
        let refused = gateway.agent(http, OTHER).send(&Request::messages()).await.unwrap_err().refusal();
        assert_eq!((refused.status, refused.reason()), (403, "denied_by_policy"));
        let message = refused.json()["error"]["message"].to_string();
        assert!(message.ends_with("See docs/reasons.md#denied_by_policy.\""), "{message}");
        let failure = gateway.transparent_agent(http, OTHER).send(&Request::messages()).await.unwrap_err();
        assert!(failure.before_request(), "{failure:?}");
    }
    assert_eq!(provider.accepted(), 0);
}

#[tokio::test]
async fn a_credentialed_host_on_another_port_is_refused_at_connect() {
    let (provider, gateway) = worked_example().await;
    let ready = gateway.ready();
    let way = Way::Proxy(ready.proxy, format!("{HOST}:8443"));
    let refused = Agent::new(way, Http::One, HOST, &gateway.ca()).send(&Request::messages()).await;
    assert_eq!(refused.unwrap_err().refusal().status, 403);
    assert_eq!(provider.accepted(), 0);
}

#[tokio::test]
async fn plain_http_never_gets_a_credential() {
    let (provider, gateway) = worked_example().await;
    let absolute =
        format!("POST http://{HOST}/v1/messages HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\n{{}}");
    let origin = format!("POST /v1/messages HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\n{{}}");
    let secure =
        format!("POST https://{HOST}/v1/messages HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\n{{}}");
    for request in [absolute, origin, secure] {
        let answer = plain(gateway.ready().proxy, request.as_bytes()).await.expect(&request);
        assert_eq!((answer.status, answer.reason()), (403, "cleartext"), "{request}");
    }
    assert_eq!(provider.accepted(), 0);
}

#[tokio::test]
async fn a_provider_with_a_wrong_certificate_receives_no_byte_of_a_request() {
    for identity in [Identity::WrongName, Identity::Expired, Identity::UnknownAuthority] {
        let provider = Provider::start(Options { identity, ..Options::default() }).await.unwrap();
        let gateway = Gateway::builder(Manifests::example(&provider)).key(KEY).start().await;
        let answer = gateway.agent(Http::Two, HOST).send(&Request::messages()).await.unwrap();
        assert_eq!((answer.status, answer.reason()), (503, "upstream_refused"), "{identity:?}");
        assert!(provider.accepted() > 0, "the provider was not even tried");
        assert!(provider.connections().iter().all(|connection| connection.bytes.is_empty()), "{identity:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_the_agents_to_follow() {
    let (provider, gateway) = worked_example().await;
    provider.behave(|behaviour| {
        (behaviour.status, behaviour.location) =
            (Some(307), Some("https://other.example/v1/messages".into()));
    });
    for (way, agent) in gateway.every_way() {
        let answer = agent.send(&Request::messages()).await.expect(&way);
        assert_eq!(
            (answer.status, answer.values("location")),
            (307, vec!["https://other.example/v1/messages"]),
            "{way}"
        );
        assert_eq!(provider.take_requests().len(), 1, "{way}");
    }
}

#[tokio::test]
async fn a_path_that_is_not_canonical_is_refused() {
    let (provider, gateway) = worked_example().await;
    for (way, agent) in gateway.every_way() {
        for path in [
            "/v1/%2e%2e/v1/messages",
            "//v1/messages",
            "/v1/./messages",
            "/v1%2fmessages",
            "/v1/messages;x=1",
        ] {
            let answer = agent.send(&Request::messages().path(path)).await.expect(&way);
            assert_eq!((answer.status, answer.reason()), (400, "bad_path"), "{way} {path}");
        }
    }
    assert!(provider.requests().is_empty());
}

#[tokio::test]
async fn trace_is_refused() {
    let (provider, gateway) = worked_example().await;
    for (way, agent) in gateway.every_way() {
        let answer = agent.send(&Request::new("TRACE", HOST, "/v1/messages")).await.expect(&way);
        assert!([403, 405].contains(&answer.status), "{way}: {}", answer.status);
    }
    assert!(provider.requests().is_empty());
}
