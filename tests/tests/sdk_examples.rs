//! Every example, started as its README says, with requests that show what it does and what it refuses.

use std::collections::BTreeSet;

use harness::client::{Failure, Http, Request};
use harness::examples::Example;
use harness::gateway::Gateway;
use harness::provider::aws::{Keys, verify};
use harness::provider::{Provider, Received};
use harness::scenario::PLACEHOLDER;
use harness::software::GIT;
use serde_json::json;
use tokio::task::JoinSet;

/// What becomes of a request.
enum Outcome {
    /// The provider gets it with these headers, each the value of a variable behind a prefix.
    Gets(&'static [(&'static str, &'static str, &'static str)]),
    /// The provider gets it with this query parameter, once, and the value of a variable in it.
    Asks(&'static str, &'static str),
    /// The provider gets it signed for this AWS service in this region.
    Signed(&'static str, &'static str),
    /// The gateway refuses it.
    Refused,
}
use Outcome::{Asks, Gets, Refused, Signed};

/// Requests to an example, by host and path, and what becomes of each.
struct Row {
    example: &'static str,
    requests: &'static [(&'static str, &'static str, Outcome)],
}

const ROWS: &[Row] = &[
    Row {
        example: "anthropic",
        requests: &[
            ("api.anthropic.com", "/v1/messages", Gets(&[("x-api-key", "", "ANTHROPIC_API_KEY")])),
            ("api.anthropic.com", "/v1/files", Gets(&[])),
        ],
    },
    Row {
        example: "openai",
        requests: &[
            ("api.openai.com", "/v1/responses", Gets(&[("authorization", "Bearer ", "OPENAI_API_KEY")])),
            (
                "api.openai.com",
                "/v1/chat/completions",
                Gets(&[("authorization", "Bearer ", "OPENAI_API_KEY")]),
            ),
            ("api.openai.com", "/v1/files", Refused),
        ],
    },
    Row {
        example: "google",
        requests: &[
            (
                "generativelanguage.googleapis.com",
                "/v1beta/models/gemini-test:generateContent",
                Gets(&[("x-goog-api-key", "", "GEMINI_API_KEY")]),
            ),
            (
                "aiplatform.googleapis.com",
                "/v1/publishers/google/models/gemini-test:streamGenerateContent",
                Gets(&[("x-goog-api-key", "", "GEMINI_API_KEY")]),
            ),
            ("generativelanguage.googleapis.com", "/v1beta/files", Refused),
        ],
    },
    Row {
        example: "azure-openai",
        requests: &[
            (
                "contoso.openai.azure.com",
                "/openai/v1/responses",
                Gets(&[("api-key", "", "AZURE_OPENAI_API_KEY")]),
            ),
            (
                "fabrikam.openai.azure.com",
                "/openai/v1/responses",
                Gets(&[("authorization", "Bearer ", "AZURE_OPENAI_AD_TOKEN")]),
            ),
            ("tailspin.openai.azure.com", "/openai/v1/responses", Refused),
        ],
    },
    Row {
        example: "custom-two-headers",
        requests: &[
            (
                "search.example.com",
                "/1/indexes",
                Gets(&[
                    ("x-search-application-id", "", "SEARCH_APP_ID"),
                    ("x-search-api-key", "", "SEARCH_API_KEY"),
                ]),
            ),
            ("search.example.com", "/2/indexes", Refused),
        ],
    },
    Row {
        example: "many-hosts",
        requests: &[
            ("llm.example.com", "/v1/models", Gets(&[("authorization", "Bearer ", "MODELS_API_KEY")])),
            (
                "llm-standby.example.com",
                "/v1/models",
                Gets(&[("authorization", "Bearer ", "MODELS_API_KEY")]),
            ),
            (
                "europe.models.example.com",
                "/v1/models",
                Gets(&[("authorization", "Bearer ", "MODELS_API_KEY")]),
            ),
            ("a.b.models.example.com", "/v1/models", Refused),
            ("models.example.com", "/v1/models", Refused),
        ],
    },
    Row {
        example: "git-basic",
        requests: &[
            (
                "git.example.com",
                "/team/project.git/info/refs?service=git-upload-pack",
                Gets(&[("authorization", "Basic ", "GIT_BASIC")]),
            ),
            ("gist.example.com", "/", Refused),
        ],
    },
    Row {
        example: "google-query",
        requests: &[
            ("generativelanguage.googleapis.com", "/v1beta/models", Asks("key", "GOOGLE_API_KEY")),
            (
                "generativelanguage.googleapis.com",
                "/v1beta/models?key=agents-own-key",
                Asks("key", "GOOGLE_API_KEY"),
            ),
            ("aiplatform.googleapis.com", "/v1beta/models", Refused),
        ],
    },
    Row {
        example: "bedrock",
        requests: &[
            (
                "bedrock-runtime.eu-central-1.amazonaws.com",
                "/model/anthropic.claude-test-v1%3A0/converse",
                Signed("bedrock", "eu-central-1"),
            ),
            (
                "bedrock-runtime.us-east-1.amazonaws.com",
                "/model/anthropic.claude-test-v1%3A0/invoke",
                Signed("bedrock", "us-east-1"),
            ),
            ("bedrock-runtime.eu-central-1.amazonaws.com", "/guardrail/a/version/1/apply", Refused),
            ("bedrock.eu-central-1.amazonaws.com", "/model/anthropic.claude-test-v1%3A0/converse", Refused),
        ],
    },
    Row {
        example: "aws-s3",
        requests: &[
            (
                "my-bucket.s3.eu-central-1.amazonaws.com",
                "/folder/a%20name%2B.txt",
                Signed("s3", "eu-central-1"),
            ),
            (
                "s3.eu-central-1.amazonaws.com",
                "/my-bucket/folder/a%20name%2B.txt",
                Signed("s3", "eu-central-1"),
            ),
            ("another.s3.eu-central-1.amazonaws.com", "/folder/name.txt", Refused),
        ],
    },
    Row {
        example: "byok",
        requests: &[
            ("acme.llm.example.com", "/v1/models", Gets(&[("authorization", "Bearer ", "ACME_KEY")])),
            ("globex.llm.example.com", "/v1/models", Gets(&[("authorization", "Bearer ", "GLOBEX_KEY")])),
            (
                "shared.llm.example.com",
                "/initech/v1/models",
                Gets(&[("authorization", "Bearer ", "INITECH_KEY")]),
            ),
            (
                "shared.llm.example.com",
                "/umbrella/v1/models",
                Gets(&[("authorization", "Bearer ", "UMBRELLA_KEY")]),
            ),
            ("shared.llm.example.com", "/acme/v1/models", Refused),
            ("initech.llm.example.com", "/v1/models", Refused),
        ],
    },
];

/// What an agent sends everywhere besides the placeholder: a key of its own, wherever one might pass.
const OWN: &str = "agents-own-key";

/// The headers that the examples fill.
const FILLED: &[&str] = &[
    "authorization",
    "api-key",
    "x-api-key",
    "x-goog-api-key",
    "x-search-api-key",
    "x-search-application-id",
];

fn request(host: &str, path: &str) -> Request {
    let own = FILLED.iter().fold(Request::new("POST", host, path), |request, name| match *name {
        "authorization" => request.header(name, &format!("Bearer {OWN}")),
        name => request.header(name, PLACEHOLDER),
    });
    own.json(&json!({"model": "test", "input": "Say hello."}))
}

/// Asserts that a request got these headers and no other credential, of the agent's or of another part of the example.
fn assert_got(received: &Received, example: &str, headers: &[(&str, &str, &str)], context: &str) {
    for (name, prefix, variable) in headers {
        let expected = format!("{prefix}{}", Example::value(variable));
        assert_eq!(received.values(name), [expected], "{context}: {name}");
        assert!(!received.values(name).contains(&PLACEHOLDER), "{context}: {name}");
    }
    let meant: BTreeSet<_> = headers.iter().map(|(_, _, variable)| *variable).collect();
    for variable in Example::named(example).variables() {
        let expected = meant.contains(variable.as_str());
        assert_eq!(received.mentions(&Example::value(&variable)), expected, "{context}: {variable}");
    }
}

/// Asserts that the query has the parameter once, with the value of the variable.
fn assert_asks(received: &Received, name: &str, variable: &str, context: &str) {
    let (_, query) = received.path.split_once('?').expect(context);
    assert_eq!(query, format!("{name}={}", Example::value(variable)), "{context}");
    let headers = received.headers.iter().any(|(_, value)| value.contains(&Example::value(variable)));
    assert!(!headers, "{context}: the key is in a header too");
}

/// Asserts that botocore finds the signature of the README's keys, and that the secret one is nowhere.
async fn assert_signed(received: Received, scope: (&str, &str), context: &str) {
    let keys = Keys {
        access_key_id: Example::value("AWS_ACCESS_KEY_ID"),
        secret_access_key: Example::value("AWS_SECRET_ACCESS_KEY"),
        session_token: None,
    };
    assert!(!received.mentions(&keys.secret_access_key), "{context}");
    assert_eq!(verify(&[received], scope, &keys).await, ["valid"], "{context}");
}

async fn check(row: &Row, provider: &Provider, gateway: &Gateway) {
    for (host, path, outcome) in row.requests {
        for http in [Http::One, Http::Two] {
            let context = format!("{}: {host}{path} over {http:?}", row.example);
            let answer = gateway.agent(http, host).send(&request(host, path)).await;
            if !matches!(outcome, Refused) {
                assert_eq!(answer.as_ref().expect(&context).status, 200, "{context}");
                let received = provider.requests();
                assert!(
                    received.iter().all(|it| !it.mentions(OWN)),
                    "{context}: the agent's own key went upstream"
                );
            }
            match outcome {
                Gets(headers) => assert_got(&provider.only_request(), row.example, headers, &context),
                Asks(name, variable) => assert_asks(&provider.only_request(), name, variable, &context),
                Signed(service, region) => {
                    assert_signed(provider.only_request(), (service, region), &context).await;
                }
                Refused => {
                    // A host that no route names gets no tunnel; another endpoint of one that is named is answered.
                    let refusal = answer.unwrap_or_else(Failure::refusal);
                    assert_eq!((refusal.status, refusal.reason()), (403, "denied_by_policy"), "{context}");
                    assert!(provider.requests().is_empty(), "{context}");
                }
            }
        }
    }
}

fn hosts(row: &Row) -> Vec<&'static str> {
    let served = row.requests.iter().map(|(host, _, _)| *host);
    served.collect::<BTreeSet<_>>().into_iter().collect()
}

#[test]
fn there_is_a_row_for_every_example_and_an_example_for_every_row() {
    let mut rows: BTreeSet<_> = ROWS.iter().map(|row| row.example.to_owned()).collect();
    // Its token has to be obtained first: tests/tests/google_tokens/main.rs runs it.
    rows.insert("vertex-ai".to_owned());
    // Some of its hosts pass untouched: tests/tests/egress.rs runs it.
    rows.insert("allow-list".to_owned());
    assert_eq!(rows, Example::names().into_iter().collect());
}

// A gateway takes seconds to start and stop and needs little of the machine for it: three of them at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_example_does_what_its_readme_says() {
    for rows in ROWS.chunks(3) {
        let mut running = JoinSet::new();
        for row in rows {
            running.spawn(async move {
                let (provider, gateway) = Example::named(row.example).start(&hosts(row)).await;
                check(row, &provider, &gateway).await;
            });
        }
        running.join_all().await;
    }
}

#[tokio::test]
async fn half_a_credential_never_goes_out() {
    const HOST: &str = "search.example.com";
    let example = Example::named("custom-two-headers");
    for flag in example.secret_flags() {
        let provider = Example::provider(&[HOST]).await;
        let gateway = Gateway::builder(example.manifests(&[HOST], &provider));
        let half = gateway.arguments(&["--secret", &flag]).environment("SEARCH_APP_ID", "real-app-id");
        let gateway = half.environment("SEARCH_API_KEY", "real-api-key").start().await;
        let answer = gateway.agent(Http::One, HOST).send(&request(HOST, "/1/indexes")).await.unwrap();
        assert_eq!((answer.status, answer.reason()), (503, "credential_unavailable"), "{flag}");
        assert!(provider.requests().is_empty(), "{flag}");
    }
}

#[tokio::test]
async fn git_clones_and_pushes_without_a_credential_of_its_own() {
    let (provider, gateway) = Example::named("git-basic").start(&["git.example.com"]).await;
    let projects = harness::provider::Projects::new("team/project.git");
    provider.behave(|behaviour| {
        behaviour.key = Some(Example::value("GIT_BASIC"));
        behaviour.projects = Some(projects.folder().to_owned());
    });
    assert_eq!(GIT.start("clone", gateway.ready()).output().await, ["the first commit"]);
    assert_eq!(GIT.start("push", gateway.ready()).output().await, ["pushed"]);
    assert_eq!(projects.subjects(), ["a commit of the agent's", "the first commit"]);
    let requests = provider.take_requests();
    assert!(requests.len() >= 5, "a clone takes two requests, a push three: {}", requests.len());
    for received in requests {
        let expected = format!("Basic {}", Example::value("GIT_BASIC"));
        assert_eq!(received.values("authorization"), [expected], "{}", received.path);
    }
}

#[tokio::test]
async fn git_is_refused_by_the_same_server_without_the_gateway_s_credential() {
    let (provider, gateway) = Example::named("git-basic").start(&["git.example.com"]).await;
    let projects = harness::provider::Projects::new("team/project.git");
    provider.behave(|behaviour| {
        behaviour.key = Some("another".to_owned());
        behaviour.projects = Some(projects.folder().to_owned());
    });
    let written = GIT.start("clone", gateway.ready()).failure().await;
    assert!(
        written.contains("Authentication failed") || written.contains("could not read Username"),
        "{written}"
    );
}
