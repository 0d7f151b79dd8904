//! The servers that verify Signature Version 4, each by itself and without a gateway: right keys are accepted by them,
//! and whatever was changed after signing is refused. What the gateway tests say of signatures rests on this.

use std::net::SocketAddr;

use harness::client::{Response, plain};
use harness::provider::aws::{AwsServer, BUCKET, Keys, REGION, verify};
use harness::provider::{Options, Provider, Received, tunnel_to};
use harness::software::{BEDROCK, DYNAMODB, S3, STS, Software};

/// The hosts that clients ask for a service, with the bucket in front where S3's clients put it.
fn hosts(service: &str) -> Vec<String> {
    let host = format!("{service}.{REGION}.amazonaws.com");
    [format!("{BUCKET}.{host}"), host].into()
}

/// What a client wrote, started with these keys in front of a server.
async fn run(client: &Software, mode: &str, server: &AwsServer, keys: &Keys) -> Result<Vec<String>, String> {
    let hosts: Vec<_> = ["s3", "sts", "dynamodb"].iter().flat_map(|service| hosts(service)).collect();
    let front = server.front(&hosts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, front.ca()).unwrap();
    let run = client.start_given(mode, &ca, tunnel_to(front.address()).await, &keys.environment());
    run.ended().await
}

/// The requests that a client signs with these keys, as they came: from a provider that takes anything.
async fn signed(client: &Software, mode: &str, service: &str, keys: &Keys) -> Vec<Received> {
    let provider = Provider::start(Options { names: hosts(service), ..Options::default() }).await.unwrap();
    let proxy = tunnel_to(provider.address()).await;
    // Not every client is content with what it is answered.
    let _ = client.start_given(mode, &provider.ca_file(), proxy, &keys.environment()).ended().await;
    provider.take_requests()
}

/// Sends a request as it was received to a server in plain HTTP.
async fn replay(request: &Received, server: SocketAddr) -> Response {
    let lines = request.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let lines = lines.filter(|line| !line.to_lowercase().starts_with("content-length:")).collect::<String>();
    let (method, path, length) = (&request.method, &request.path, request.body.len());
    let head =
        format!("{method} {path} HTTP/1.1\r\n{lines}content-length: {length}\r\nconnection: close\r\n\r\n");
    plain(server, &[head.as_bytes(), &request.body].concat()).await.unwrap()
}

/// A change to a request after it was signed, by name.
type Change = (&'static str, fn(&mut Received));

fn header<'a>(request: &'a mut Received, name: &str) -> &'a mut String {
    let line = request.headers.iter_mut().find(|(given, _)| given.eq_ignore_ascii_case(name));
    &mut line.unwrap_or_else(|| panic!("no {name}")).1
}

fn change_signature(request: &mut Received) {
    let value = header(request, "authorization");
    let last = if value.ends_with('0') { "1" } else { "0" };
    value.replace_range(value.len() - 1.., last);
}

#[tokio::test]
async fn s3s_takes_what_each_client_signs_and_nothing_signed_with_another_secret() {
    let server = AwsServer::s3s(Keys::made_up()).await;
    let keys = &server.keys[0];
    for (client, modes) in S3 {
        for mode in modes.iter().chain(&["put-get"]) {
            let output = run(client, mode, &server, keys).await.unwrap();
            assert!(output.concat().ends_with("bytes came back"), "{} {mode}: {output:?}", client.name);
        }
        let refused = run(client, "put-get", &server, &keys.with_another_secret()).await.unwrap_err();
        assert!(refused.contains("SignatureDoesNotMatch"), "{}: {refused}", client.name);
        let unknown = Keys { access_key_id: "AKIAKEYWARDTESTOTHER".into(), ..keys.clone() };
        let refused = run(client, "put-get", &server, &unknown).await.unwrap_err();
        assert!(refused.contains("NotSignedUp"), "{}: {refused}", client.name);
    }
}

#[tokio::test]
async fn s3s_refuses_a_request_that_was_changed_after_it_was_signed() {
    let server = AwsServer::s3s(Keys::made_up()).await;
    let put = signed(&S3[0].0, "put-get-hashed", "s3", &server.keys[0]).await.remove(0);
    assert_eq!((put.method.as_str(), replay(&put, server.address()).await.status), ("PUT", 200));
    let changes: &[Change] = &[
        ("the signature", change_signature),
        ("a header", |request| header(request, "x-amz-meta-made-by").push('!')),
        ("the date", |request| *header(request, "x-amz-date") = "20200101T000000Z".into()),
        ("the path", |request| request.path.push('x')),
        ("the query", |request| request.path.push_str("?a=b")),
        ("the method", |request| request.method = "DELETE".into()),
        ("the body", |request| request.body[0] ^= 1),
        ("the host", |request| *header(request, "host") = format!("another.s3.{REGION}.amazonaws.com")),
    ];
    for (what, change) in changes {
        let mut changed = put.clone();
        change(&mut changed);
        let answer = replay(&changed, server.address()).await;
        // A body that is not the hashed one is noticed when it has been read, and called an internal error.
        let expected = if *what == "the body" { 500 } else { 403 };
        assert_eq!(answer.status, expected, "{what}: {:?}", answer.body);
    }
}

#[tokio::test]
async fn moto_takes_what_each_client_signs_and_nothing_signed_with_another_secret() {
    let server = AwsServer::moto().await;
    for keys in &server.keys {
        for client in STS {
            let output = run(client, "identity", &server, keys).await.unwrap();
            assert!(output.concat().starts_with("arn:aws:"), "{}: {output:?}", client.name);
            let refused = run(client, "identity", &server, &keys.with_another_secret()).await.unwrap_err();
            // The SDK for Java does not find the code in moto's answer.
            let said =
                ["SignatureDoesNotMatch", "Status Code: 403"].iter().any(|text| refused.contains(text));
            assert!(said, "{}: {refused}", client.name);
        }
        let output = run(&DYNAMODB, "put-get", &server, keys).await.unwrap();
        assert_eq!(output, ["hello"]);
        let refused = run(&DYNAMODB, "put-get", &server, &keys.with_another_secret()).await.unwrap_err();
        assert!(refused.contains("403"), "{refused}");
    }
    let session = &server.keys[1];
    let stranger = Keys { session_token: Some("another-token".into()), ..session.clone() };
    assert!(run(&STS[0], "identity", &server, &stranger).await.is_err(), "another session's token");
}

#[tokio::test]
async fn moto_refuses_a_request_that_was_changed_after_it_was_signed() {
    let server = AwsServer::moto().await;
    let put = signed(&DYNAMODB, "put-get", "dynamodb", &server.keys[0]).await.remove(0);
    assert_eq!(replay(&put, server.address()).await.status, 200);
    let changes: &[Change] = &[
        ("the signature", change_signature),
        ("a header", |request| header(request, "content-type").push_str("; a=b")),
        ("the date", |request| *header(request, "x-amz-date") = "20200101T000000Z".into()),
        ("the body", |request| request.body.push(b' ')),
    ];
    for (what, change) in changes {
        let mut changed = put.clone();
        change(&mut changed);
        let answer = replay(&changed, server.address()).await;
        assert_eq!(answer.status, 403, "{what}: {:?}", answer.body);
    }
}

/// Another secret, and what may be changed of a request to Bedrock, with what the verifier says of it.
const BEDROCK_CHANGES: &[(Change, &str)] = &[
    (("the signature", change_signature), "another signature"),
    (("the date", |request| *header(request, "x-amz-date") = "20200101T000000Z".into()), "the scope"),
    (("the path", |request| request.path = request.path.replace("%3A", ":")), "another signature"),
    (("the query", |request| request.path.push_str("?a=b")), "another signature"),
    (("the method", |request| request.method = "PUT".into()), "another signature"),
    (("the host", |request| request.authority.push_str(".example")), "another signature"),
    (
        ("the key", |request| {
            *header(request, "authorization") = header(request, "authorization").replace("AKIA", "AKIB")
        }),
        "an unknown access key",
    ),
    (
        ("a second signature", |request| request.headers.push(("Authorization".into(), "x".into()))),
        "2 values of authorization",
    ),
    (
        ("a header beside", |request| request.headers.push(("x-amz-meta-a".into(), "b".into()))),
        "headers signed and missing",
    ),
    (
        ("a session", |request| request.headers.push(("x-amz-security-token".into(), "b".into()))),
        "headers signed and missing",
    ),
];

#[tokio::test]
async fn the_verifier_takes_what_each_client_signs_for_bedrock_and_nothing_changed_since() {
    let keys = Keys::made_up();
    let session = Keys { session_token: Some("IQoJb3JpZ2luX2VjEPT+a/token==".into()), ..keys.clone() };
    for client in BEDROCK {
        for mode in ["invoke", "invoke-streamed", "converse", "converse-streamed"] {
            let requests = signed(client, mode, "bedrock-runtime", &keys).await;
            assert_eq!(
                verify(&requests, ("bedrock", REGION), &keys).await,
                ["valid"],
                "{} {mode}",
                client.name
            );
        }
        let request = signed(client, "invoke", "bedrock-runtime", &session).await.remove(0);
        let said = |keys: Keys| {
            let request = request.clone();
            async move { verify(&[request], ("bedrock", REGION), &keys).await.remove(0) }
        };
        assert_eq!(said(session.clone()).await, "valid", "{}", client.name);
        assert_eq!(said(session.with_another_secret()).await, "another signature", "{}", client.name);
        assert_eq!(said(keys.clone()).await, "another session token", "{}", client.name);

        let request = signed(client, "invoke", "bedrock-runtime", &keys).await.remove(0);
        let mut changed = vec![request.clone(); BEDROCK_CHANGES.len() + 1];
        for (((_, change), _), request) in BEDROCK_CHANGES.iter().zip(&mut changed) {
            change(request);
        }
        // Whether the client sends a hash of its own or not.
        changed.last_mut().unwrap().body.push(b' ');
        let said = verify(&changed, ("bedrock", REGION), &keys).await;
        for (((what, _), expected), said) in BEDROCK_CHANGES.iter().zip(&said) {
            assert!(said.starts_with(expected), "{}, {what}: {said}", client.name);
        }
        let said = said.last().unwrap();
        assert!(
            ["another signature", "a hash of another body"].contains(&said.as_str()),
            "{}: {said}",
            client.name
        );
    }
}
