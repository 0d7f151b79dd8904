//! H9: requests that are signed for AWS. Whatever the agent sends, the signature is right for what goes upstream, or
//! the request is refused. botocore judges what arrived.

use harness::gateway::HOST;
use harness::objects;
use harness::provider::Received;
use harness::provider::aws::{Keys, REGION, verify};

use super::OWN;
use crate::row::{EVERY, HTTP1, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::{Reply, Request};

const ENDPOINTS: &str = "endpoints: [/v1/messages, /v1/complete]";

/// The worked example's requests are signed besides.
fn scenario() -> Scenario {
    let Keys { access_key_id, secret_access_key, .. } = Keys::made_up();
    let objects = [
        objects::aws_keys("aws", &access_key_id, &secret_access_key, Some(TOKEN)),
        objects::policy_on("anthropic", "aws", "aws", &objects::signing(REGION, "bedrock")),
    ]
    .concat();
    let endpoints = "endpoints: [/v1/messages, /v1/complete, /model/*/invoke]";
    Scenario::default().replace(ENDPOINTS, endpoints).manifest("aws.yaml", &objects)
}

const TOKEN: &str = "IQoJb3JpZ2luX2VjEPT+a/session==";

pub(super) fn rows() -> Vec<Row> {
    let row = |id, what, variants, case: fn(Stage) -> super::Case| {
        Row::new(id, what, variants, case).under(scenario()).beyond_others("needs a policy that signs")
    };
    vec![
        row(
            "H9.headers",
            "the agent's own signature, token and x-amz-* headers: replaced, or signed",
            EVERY,
            |stage| Box::pin(headers(stage)),
        ),
        row("H9.clock", "the agent's clock is years off: the signature is of now", EVERY, |stage| {
            Box::pin(clock(stage))
        }),
        row(
            "H9.paths",
            "colons and escapes in the path, plain and encoded: signed as they are sent",
            EVERY,
            |stage| Box::pin(paths(stage)),
        ),
        row(
            "H9.queries",
            "queries unsorted, repeated, valueless, presigned: signed as they are sent",
            EVERY,
            |stage| Box::pin(queries(stage)),
        ),
        row(
            "H9.authority",
            "the default port, and capitals, in the authority: signed as the upstream sees it",
            EVERY,
            |stage| Box::pin(authority(stage)),
        ),
        row(
            "H9.spelling",
            "header names in capitals, values with runs of spaces: signed in canonical form",
            HTTP1,
            |stage| Box::pin(spelling(stage)),
        ),
        row("H9.chunked", "each chunk signed with the agent's key: refused", EVERY, |stage| {
            Box::pin(chunked(stage))
        }),
        row("H9.large", "a body over the limit, announced or not: refused", EVERY, |stage| {
            Box::pin(large(stage))
        })
        .under(scenario().line("maxSignedBodyBytes: 64Ki")),
    ]
}

fn keys() -> Keys {
    Keys { session_token: Some(TOKEN.to_owned()), ..Keys::made_up() }
}

/// What arrived of a request is signed rightly, and holds nothing of the agent's.
async fn signed(stage: &Stage, case: &str, request: &Request) -> Received {
    let reply = stage.ask(request).await;
    assert!(reply.answered().is_some_and(|answer| answer.reason().is_empty()), "{case}: {reply:?}");
    let received = stage.world.anthropic.only_request();
    assert!(!received.mentions(OWN), "{case}: the agent's own went upstream");
    assert_eq!(
        verify(std::slice::from_ref(&received), ("bedrock", REGION), &keys()).await,
        ["valid"],
        "{case}: {received:?}"
    );
    stage.world.anthropic.forget();
    received
}

async fn headers(stage: Stage) {
    let bogus = format!(
        "AWS4-HMAC-SHA256 Credential={OWN}/20200101/x/y/aws4_request, SignedHeaders=host, Signature=0"
    );
    for (name, value) in [
        ("authorization", bogus.as_str()),
        ("authorization", "Bearer sk-agents-own-account-0123456789"),
        ("x-amz-security-token", OWN),
        ("x-amz-s3session-token", OWN),
        ("x-amz-region-set", "*"),
        ("x-amz-content-sha256", "0000"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("x-amz-target", "Service.Operation"),
        ("x-amz-meta-a", "one two"),
        ("amz-sdk-invocation-id", "1"),
        ("content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ] {
        let twice = Request::messages().field(name, value).field(name, value);
        for request in [Request::messages().field(name, value), twice] {
            // Two hashes of one body are refused by nobody, and recomputed.
            signed(&stage, &format!("{name}: {value}"), &request).await;
        }
    }
}

async fn clock(stage: Stage) {
    let request = Request::messages().field("x-amz-date", "20010101T000000Z");
    let received = signed(&stage, "x-amz-date", &request).await;
    assert!(!received.values("x-amz-date")[0].starts_with("2001"));
    let underscored = Request::messages().field("x_amz_date", "20010101T000000Z");
    assert!(signed(&stage, "x_amz_date", &underscored).await.values("x_amz_date").is_empty());
}

async fn paths(stage: Stage) {
    for path in [
        "/model/anthropic.claude-v2:1/invoke",
        "/model/anthropic.claude-v2%3A1/invoke",
        "/model/a%20b/invoke",
        "/model/a~b_c.d-e/invoke",
        "/model/a(b)'!*$+,=@&/invoke",
        "/model/%E4%BD%A0/invoke",
    ] {
        let received = signed(&stage, path, &Request::messages().path(path)).await;
        assert_eq!(received.path, path);
    }
}

async fn queries(stage: Stage) {
    let presigned = "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=OWN%2F20200101%2Fx%2Fy%2Faws4_request\
                     &X-Amz-Date=20200101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00";
    for (sent, received) in [
        ("?b=2&a=1", "?b=2&a=1"),
        ("?a=2&a=1&A=0", "?a=2&a=1&A=0"),
        ("?a&b=&c=%20d", "?a&b=&c=%20d"),
        (presigned, ""),
        ("?a=1&X-Amz-S%69gnature=OWN&x-amz-security-token=OWN", "?a=1"),
    ] {
        let path = format!("/v1/messages{}", sent.replace("OWN", OWN));
        let got = signed(&stage, sent, &Request::messages().path(path)).await;
        assert_eq!(got.path, format!("/v1/messages{received}"), "{sent}");
    }
}

async fn authority(stage: Stage) {
    for authority in [format!("{HOST}:443"), HOST.to_ascii_uppercase()] {
        signed(&stage, &authority, &Request::messages().authority(&authority)).await;
    }
}

async fn spelling(stage: Stage) {
    let request = Request::messages()
        .field("X-Amz-Target", "A.B")
        .field("X-AMZ-Meta-One", "  two   words  ")
        .field("x-amz-meta-b", "2")
        .field("X-Amz-Meta-B", "1");
    signed(&stage, "spelling", &request).await;
}

async fn chunked(stage: Stage) {
    for value in [
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-EVENTS",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    ] {
        let reply = stage.ask(&Request::messages().field("x-amz-content-sha256", value)).await;
        is_refused(&stage, value, &reply, 400, "unsignable").await;
    }
}

async fn large(stage: Stage) {
    let within = Request::messages().body(vec![b'x'; 64 << 10]);
    signed(&stage, "just within", &within).await;
    let beyond = Request::messages().body(vec![b'x'; (64 << 10) + 1]);
    is_refused(&stage, "one byte beyond", &stage.ask(&beyond).await, 413, "too_large").await;
}

async fn is_refused(stage: &Stage, case: &str, reply: &Reply, status: u16, reason: &str) {
    super::refused(stage, case, reply, &[status]).await;
    stage.refused(reply, status, reason);
}
