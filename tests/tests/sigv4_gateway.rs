//! Unmodified AWS clients through the gateway, which signs for them: made-up keys in their environment, the real ones
//! in a Secret, and servers that verify what arrives.

use harness::client::{Http, Request};
use harness::gateway::{Gateway, Manifests};
use harness::objects;
use harness::provider::aws::{AwsServer, BUCKET, Keys, REGION, verify};
use harness::provider::{Options, Provider};
use harness::scenario::PLACEHOLDER;
use harness::software::{BEDROCK, DYNAMODB, Run, S3, STS, Software};

/// A gateway that signs for one service at these hosts.
fn manifests(provider: &str, service: &str, hosts: &[&str], keys: &Keys) -> Manifests {
    let matches = format!("{{provider: {provider}, hosts: [{}]}}", hosts.join(", "));
    let Keys { access_key_id, secret_access_key, session_token, .. } = keys;
    let objects = [
        objects::aws_keys("aws", access_key_id, secret_access_key, session_token.as_deref()),
        objects::gateway("agents", "deny-all"),
        objects::route("aws", &["agents"], &matches),
        objects::policy("aws", "aws", &objects::signing(REGION, service)),
    ];
    Manifests::empty().file("aws.yaml", &objects.concat())
}

/// A gateway that signs for a server with these keys. The server ends with what is returned beside it.
async fn in_front_of(
    server: &AwsServer,
    service: &str,
    keys: &Keys,
) -> (harness::provider::Scripted, Gateway) {
    let host = format!("{service}.{REGION}.amazonaws.com");
    let bucket = format!("{BUCKET}.{host}");
    let hosts = [host.as_str(), bucket.as_str()];
    let hosts = if service == "s3" { &hosts[..] } else { &hosts[..1] };
    let front = server.front(hosts).await;
    let manifests = manifests("custom", service, hosts, keys).alias_at(hosts, front.port(), front.ca());
    let gateway = Gateway::builder(manifests).start().await;
    (front, gateway)
}

fn start(client: &Software, mode: &str, gateway: &Gateway) -> Run {
    client.start(mode, gateway.ready())
}

#[tokio::test]
async fn s3_takes_what_the_gateway_signs_for_each_client() {
    let server = AwsServer::s3s(Keys::made_up()).await;
    let (_front, gateway) = in_front_of(&server, "s3", &server.keys[0]).await;
    for (client, modes) in S3 {
        for mode in modes.iter().chain(&["put-get"]) {
            let output = start(client, mode, &gateway).ended().await;
            let output = output.unwrap_or_else(|written| panic!("{} {mode}: {written}", client.name));
            assert!(output.concat().ends_with("bytes came back"), "{} {mode}: {output:?}", client.name);
        }
    }
}

#[tokio::test]
async fn s3_refuses_what_a_gateway_with_another_secret_signs() {
    let server = AwsServer::s3s(Keys::made_up()).await;
    let (_front, gateway) = in_front_of(&server, "s3", &server.keys[0].with_another_secret()).await;
    for (client, _) in S3 {
        let written = start(client, "put-get", &gateway).failure().await;
        assert!(written.contains("SignatureDoesNotMatch"), "{}: {written}", client.name);
    }
}

#[tokio::test]
async fn sts_and_dynamodb_take_what_the_gateway_signs_for_a_user_and_for_a_session() {
    let server = AwsServer::moto().await;
    for (keys, arn) in server.keys.iter().zip(["user/agent", "assumed-role/session/agent"]) {
        let (_front, gateway) = in_front_of(&server, "sts", keys).await;
        for client in STS {
            let output = start(client, "identity", &gateway).output().await.concat();
            assert!(output.ends_with(arn), "{}: {output}", client.name);
        }
        let (_front, gateway) = in_front_of(&server, "dynamodb", keys).await;
        assert_eq!(start(&DYNAMODB, "put-get", &gateway).output().await, ["hello"]);
    }
}

/// How many events each client prints of a streamed answer.
const STREAMED: &[(&str, usize)] = &[("invoke-streamed", 9), ("converse-streamed", 7)];

/// A gateway that signs with these keys, in front of a provider that answers as Bedrock does.
async fn in_front_of_bedrock(keys: &Keys) -> (Provider, Gateway) {
    let host = format!("bedrock-runtime.{REGION}.amazonaws.com");
    let provider =
        Provider::start(Options { names: vec![host.clone()], ..Options::default() }).await.unwrap();
    let manifests = manifests("bedrock", "bedrock", &[&host], keys).alias(&[&host], &provider);
    (provider, Gateway::builder(manifests).start().await)
}

/// Asserts that so many requests came, each signed with these keys and without a trace of the agent's.
async fn assert_signed(provider: &Provider, count: usize, keys: &Keys, client: &Software) {
    let requests = provider.take_requests();
    assert_eq!(verify(&requests, ("bedrock", REGION), keys).await, vec!["valid"; count], "{}", client.name);
    for received in requests {
        assert!(!received.mentions(PLACEHOLDER), "{}: the placeholder went upstream", client.name);
    }
}

#[tokio::test]
async fn bedrock_takes_what_the_gateway_signs_for_each_client() {
    let keys = Keys::made_up();
    let (provider, gateway) = in_front_of_bedrock(&keys).await;
    for client in BEDROCK {
        for mode in ["invoke", "converse"] {
            assert_eq!(start(client, mode, &gateway).output().await, ["Hello!"], "{} {mode}", client.name);
        }
        assert_signed(&provider, 2, &keys, client).await;
    }
}

#[tokio::test]
async fn bedrock_streams_to_each_client_event_by_event() {
    let keys = Keys { session_token: Some("IQoJb3JpZ2luX2VjEPT+a/token==".into()), ..Keys::made_up() };
    let (provider, gateway) = in_front_of_bedrock(&keys).await;
    provider.behave(|behaviour| behaviour.hold_second_event = true);
    for client in BEDROCK {
        for (mode, events) in STREAMED {
            let mut run = start(client, mode, &gateway);
            run.wait_for("event 1 ").await;
            assert_eq!(run.lines().len(), 1, "{} {mode}: more than the first event came", client.name);
            provider.release();
            let output = run.output().await;
            assert_eq!(output.len(), *events, "{} {mode}: {output:?}", client.name);
        }
        assert_signed(&provider, 2, &keys, client).await;
    }
}

#[tokio::test]
async fn bedrocks_regional_fips_and_private_endpoints_are_signed_for_the_region_in_their_names() {
    let hosts = ["bedrock-runtime", "bedrock-runtime-fips", "vpce-0a1b2c-d3e4.bedrock-runtime"];
    let hosts = hosts.map(|start| match start.starts_with("vpce") {
        true => format!("{start}.{REGION}.vpce.amazonaws.com"),
        false => format!("{start}.{REGION}.amazonaws.com"),
    });
    let provider = Provider::start(Options { names: hosts.to_vec(), ..Options::default() }).await.unwrap();
    let named = hosts.each_ref().map(String::as_str);
    let keys = Keys::made_up();
    let text = manifests("bedrock", "bedrock", &named, &keys).replace(&format!("region: {REGION}, "), "");
    let gateway = Gateway::builder(text.alias(&named, &provider)).start().await;
    for host in named {
        // Model ids hold a colon: some clients send it as it is, others escaped. Those that are ARNs hold a slash too.
        for path in [
            "/model/anthropic.claude-v2:1/invoke",
            "/model/anthropic.claude-v2%3A1/converse",
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.claude/converse",
        ] {
            for http in [Http::One, Http::Two] {
                let request = Request::new("POST", host, path).json(&serde_json::json!({"messages": []}));
                gateway.agent(http, host).send(&request).await.unwrap();
                let received = provider.only_request();
                assert_eq!((received.authority.as_str(), received.path.as_str()), (host, path));
                assert_eq!(verify(&[received], ("bedrock", REGION), &keys).await, ["valid"], "{host}{path}");
                provider.take_requests();
            }
        }
    }
}
