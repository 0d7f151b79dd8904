//! Unmodified SDKs of OpenAI, Azure OpenAI and Google, in Python, Node and Go, on the examples of their providers:
//! told of proxy, CA and placeholder by their environment alone.

use std::collections::BTreeSet;

use harness::examples::Example;
use harness::gateway::Gateway;
use harness::provider::{Provider, Received};
use harness::scenario::PLACEHOLDER;
use harness::software::{AZURE_KEY, AZURE_TOKEN, GEMINI, OPENAI_CHAT, OPENAI_RESPONSES, Software, VERTEX};

/// Clients of one API, and what is known of a question that they ask.
struct Case {
    clients: &'static [Software],
    host: &'static str,
    /// Parts of the paths for a plain and a streamed answer; the version in front differs between SDKs of Google.
    paths: [&'static str; 2],
    /// The one header that carries the credential.
    header: &'static str,
    /// What stands in front of the credential.
    prefix: &'static str,
    /// The variable of the README that holds the credential.
    variable: &'static str,
    /// Events of a streamed answer, and the end of the last one's line.
    events: (usize, &'static str),
}

impl Case {
    /// Asserts that the provider got the real credential once, in its place, and nothing in place of it.
    fn assert_swapped(&self, received: &Received, path: &str, name: &str) {
        let key = Example::value(self.variable);
        assert_eq!(received.authority, self.host, "{name}");
        assert!(received.path.contains(path), "{name}: {}", received.path);
        assert_eq!(received.values(self.header), [format!("{}{key}", self.prefix)], "{name}");
        let times = received.headers.iter().filter(|(_, value)| value.contains(&key)).count();
        assert_eq!(times, 1, "{name}: {:?}", received.names());
        for carrier in ["authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"] {
            let expected = usize::from(carrier == self.header);
            assert_eq!(received.values(carrier).len(), expected, "{name}: {carrier}");
        }
        assert!(!received.path.contains("key="), "{name}: {}", received.path);
        assert!(!received.mentions(PLACEHOLDER), "{name}: the placeholder went upstream");
    }

    async fn plain(&self, provider: &Provider, gateway: &Gateway) {
        for client in self.clients {
            let output = client.start("plain", gateway.ready()).output().await;
            assert_eq!(output, ["Hello!"], "{}", client.name);
            self.assert_swapped(&provider.only_request(), self.paths[0], client.name);
        }
    }

    /// Each client prints the first event while the provider holds the second, and all of them after that.
    async fn streamed(&self, provider: &Provider, gateway: &Gateway) {
        provider.behave(|behaviour| behaviour.hold_second_event = true);
        for client in self.clients {
            let mut run = client.start("streamed", gateway.ready());
            run.wait_for("event 1 ").await;
            assert_eq!(run.lines().len(), 1, "{}: more than the first event came", client.name);
            provider.release();
            let output = run.output().await;
            let (events, end) = self.events;
            assert_eq!(output.len(), events, "{}: {output:?}", client.name);
            assert!(output.iter().any(|line| line.ends_with(end)), "{}: {output:?}", client.name);
            self.assert_swapped(&provider.only_request(), self.paths[1], client.name);
        }
        provider.behave(|behaviour| behaviour.hold_second_event = false);
    }
}

/// Asks every question of every case, on the example that they share.
async fn check(example: &str, cases: &[Case]) {
    let hosts: BTreeSet<_> = cases.iter().map(|case| case.host).collect();
    let hosts: Vec<_> = hosts.into_iter().collect();
    let (provider, gateway) = Example::named(example).start(&hosts).await;
    for case in cases {
        provider.behave(|behaviour| behaviour.key = Some(Example::value(case.variable)));
        case.plain(&provider, &gateway).await;
        case.streamed(&provider, &gateway).await;
    }
}

#[tokio::test]
async fn openai_answers_each_client_with_the_real_key_behind_it() {
    let case = |clients, path, events| Case {
        clients,
        host: "api.openai.com",
        paths: [path, path],
        header: "authorization",
        prefix: "Bearer ",
        variable: "OPENAI_API_KEY",
        events,
    };
    check(
        "openai",
        &[
            case(OPENAI_RESPONSES, "/v1/responses", (11, " response.completed")),
            case(OPENAI_CHAT, "/v1/chat/completions", (5, " part 2 ")),
        ],
    )
    .await;
}

#[tokio::test]
async fn azure_openai_answers_each_client_with_the_real_key_or_token_behind_it() {
    let path = "/openai/deployments/gpt-test/chat/completions?api-version=2025-04-01-preview";
    let case = |clients, host, header, prefix, variable| Case {
        clients,
        host,
        paths: [path, path],
        header,
        prefix,
        variable,
        events: (5, " part 2 "),
    };
    check(
        "azure-openai",
        &[
            case(AZURE_KEY, "contoso.openai.azure.com", "api-key", "", "AZURE_OPENAI_API_KEY"),
            case(
                AZURE_TOKEN,
                "fabrikam.openai.azure.com",
                "authorization",
                "Bearer ",
                "AZURE_OPENAI_AD_TOKEN",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn google_answers_each_client_with_the_real_key_behind_it() {
    let case = |clients, host, paths| Case {
        clients,
        host,
        paths,
        header: "x-goog-api-key",
        prefix: "",
        variable: "GEMINI_API_KEY",
        events: (3, " part 2 "),
    };
    let gemini = ["/models/gemini-test:generateContent", "/models/gemini-test:streamGenerateContent?alt=sse"];
    let vertex = [
        "/publishers/google/models/gemini-test:generateContent",
        "/publishers/google/models/gemini-test:streamGenerateContent?alt=sse",
    ];
    check(
        "google",
        &[
            case(GEMINI, "generativelanguage.googleapis.com", gemini),
            case(VERTEX, "aiplatform.googleapis.com", vertex),
        ],
    )
    .await;
}
