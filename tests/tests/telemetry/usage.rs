//! What answers cost: the official SDK of each provider reads the same answer, and the span must say the same.

use harness::client::{Http, Request};
use harness::collector::{Collector, attribute};
use harness::examples::Example;
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::{Encoding, Provider, Scripted, Tokens};
use harness::scenario::KEY;
use harness::software::{
    ALL, AZURE_KEY, BEDROCK, GEMINI, OPENAI_CHAT, OPENAI_EMBEDDINGS, OPENAI_RESPONSES, Software, VERTEX,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{OTLP, check, telling};

const PLAIN_AND_STREAMED: &[(&str, bool)] = &[("usage", false), ("usage-streamed", true)];
const PLAIN: &[(&str, bool)] = &[("usage", false)];

/// An example that tells a collector, and its provider. That of OpenAI allows embeddings too.
pub(super) async fn start(example: &str, hosts: &[&str]) -> (Collector, Provider, Gateway) {
    let collector = Collector::start().await;
    let provider = Example::provider(hosts).await;
    let example = Example::named(example);
    let mut manifests = example.manifests(hosts, &provider);
    let otlp = format!("otlp: {{endpoint: '{}'}}", collector.endpoint());
    for (old, new) in
        [(OTLP, otlp.as_str()), ("/v1/chat/completions]", "/v1/chat/completions, /v1/embeddings]")]
    {
        if manifests.files().iter().any(|(_, text)| text.contains(old)) {
            manifests = manifests.replace(old, new);
        }
    }
    let gateway = example.builder(manifests).start().await;
    (collector, provider, gateway)
}

/// A gateway that tells a collector, in front of a provider of few words.
pub(super) async fn in_front_of(provider: &Scripted) -> (Collector, Gateway) {
    let collector = Collector::start().await;
    let manifests = Manifests::worked_example().alias_at(&[HOST], provider.port(), provider.ca());
    let manifests = telling(manifests, &collector.endpoint(), "");
    (collector, Gateway::builder(manifests).key(KEY).start().await)
}

/// As many spans as there were requests.
pub(super) async fn all(collector: &Collector, count: usize) -> Vec<Value> {
    let spans = collector.wait_for(count).await;
    assert_eq!(spans.len(), count);
    spans
}

/// Clients of one API.
struct Case {
    clients: Vec<&'static Software>,
    /// What each is told, and whether that asks for a stream.
    modes: &'static [(&'static str, bool)],
    provider: &'static str,
    /// `gen_ai.operation.name`, where the path has one.
    operation: Option<&'static str>,
    model: &'static str,
    /// From what the SDK has of the usage to the attributes that the conventions want.
    rule: fn(&Value) -> Expected,
}

/// Values of `gen_ai.usage.*`.
#[derive(Debug, PartialEq, Eq)]
struct Expected {
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    reasoning: Option<u64>,
}

fn count(usage: &Value, path: &str) -> Option<u64> {
    usage.pointer(path).and_then(Value::as_u64)
}

fn sum(usage: &Value, paths: &[&str]) -> Option<u64> {
    paths.iter().filter_map(|path| count(usage, path)).reduce(|a, b| a + b)
}

/// `input_tokens` of the conventions includes what concerns the cache; Anthropic's does not.
fn anthropic(usage: &Value) -> Expected {
    let parts = ["/input_tokens", "/cache_read_input_tokens", "/cache_creation_input_tokens"];
    Expected {
        input: sum(usage, &parts),
        output: count(usage, "/output_tokens"),
        cache_read: count(usage, "/cache_read_input_tokens"),
        cache_write: count(usage, "/cache_creation_input_tokens"),
        reasoning: count(usage, "/output_tokens_details/thinking_tokens"),
    }
}

fn chat(usage: &Value) -> Expected {
    Expected {
        input: count(usage, "/prompt_tokens"),
        output: count(usage, "/completion_tokens"),
        cache_read: count(usage, "/prompt_tokens_details/cached_tokens"),
        cache_write: count(usage, "/prompt_tokens_details/cache_write_tokens"),
        reasoning: count(usage, "/completion_tokens_details/reasoning_tokens"),
    }
}

fn responses(usage: &Value) -> Expected {
    Expected {
        input: count(usage, "/input_tokens"),
        output: count(usage, "/output_tokens"),
        cache_read: count(usage, "/input_tokens_details/cached_tokens"),
        cache_write: count(usage, "/input_tokens_details/cache_write_tokens"),
        reasoning: count(usage, "/output_tokens_details/reasoning_tokens"),
    }
}

/// Google's prompt includes what a cache had, but not what tools gave back; its candidates do not include thoughts.
fn google(usage: &Value) -> Expected {
    Expected {
        input: sum(usage, &["/promptTokenCount", "/toolUsePromptTokenCount"]),
        output: sum(usage, &["/candidatesTokenCount", "/thoughtsTokenCount"]),
        cache_read: count(usage, "/cachedContentTokenCount"),
        cache_write: None,
        reasoning: count(usage, "/thoughtsTokenCount"),
    }
}

/// Bedrock counts as Anthropic does, and no reasoning.
fn converse(usage: &Value) -> Expected {
    Expected {
        input: sum(usage, &["/inputTokens", "/cacheReadInputTokens", "/cacheWriteInputTokens"]),
        output: count(usage, "/outputTokens"),
        cache_read: count(usage, "/cacheReadInputTokens"),
        cache_write: count(usage, "/cacheWriteInputTokens"),
        reasoning: None,
    }
}

/// Counts that are all different, and different each time.
fn tokens(run: u64) -> Tokens {
    let cache_read = 1000 + run;
    let (cache_write, of_tools) = (300 + 2 * run, 50 + 3 * run);
    let input = cache_read + cache_write + of_tools + 7 + run;
    Tokens { input, cache_read, cache_write, of_tools, output: 700 + 11 * run, reasoning: 400 + 5 * run }
}

/// Runs every client in every mode, with answers in the clear and encoded, and compares.
async fn compare(example: &str, hosts: &[&str], cases: &[Case]) {
    let (collector, provider, gateway) = start(example, hosts).await;
    let mut runs = Vec::new();
    for case in cases {
        for client in &case.clients {
            for (mode, streamed) in case.modes {
                for encoding in [Encoding::Identity, Encoding::GzipIfAccepted] {
                    let of = tokens(runs.len() as u64);
                    provider.behave(|behaviour| (behaviour.tokens, behaviour.encoding) = (of, encoding));
                    let ended = client.start(mode, gateway.ready()).ended().await;
                    let output = ended.unwrap_or_else(|written| {
                        let said = [gateway.lines(), gateway.errors()].concat().join("\n");
                        panic!("{}: {mode}, {encoding:?}: {written}\n{said}", client.name)
                    });
                    let told: Value = serde_json::from_str(&output.concat()).expect("JSON");
                    let asked = provider.only_request();
                    let accepts = asked.values("accept-encoding").concat();
                    runs.push((case, format!("{}: {mode}, {encoding:?}", client.name), *streamed, told, of));
                    assert!(["", "gzip", "identity"].contains(&accepts.as_str()), "{accepts}");
                }
            }
        }
    }
    let spans = all(&collector, runs.len()).await;
    for ((case, name, streamed, told, of), span) in runs.iter().zip(&spans) {
        case.compare(name, *streamed, told, *of, span);
    }
}

impl Case {
    fn compare(&self, name: &str, streamed: bool, told: &Value, of: Tokens, span: &Value) {
        let number = |key: &str| attribute(span, key).map(|value| value.as_u64().expect("a count"));
        let said = Expected {
            input: number("gen_ai.usage.input_tokens"),
            output: number("gen_ai.usage.output_tokens"),
            cache_read: number("gen_ai.usage.cache_read.input_tokens"),
            cache_write: number("gen_ai.usage.cache_creation.input_tokens"),
            reasoning: number("gen_ai.usage.reasoning.output_tokens"),
        };
        assert_eq!(said, (self.rule)(&told["usage"]), "{name}: {told} is not in {span:#}");
        // What the provider meant: neither side reads it.
        assert_eq!(said.input, Some(of.input), "{name}: {told}");
        assert!(said.output.is_none_or(|output| output == of.output), "{name}: {told}");
        let text = |key: &str| attribute(span, key);
        assert_eq!(text("gen_ai.request.model"), Some(json!(self.model)), "{name}: {span:#}");
        assert_eq!(text("gen_ai.response.model").unwrap_or_default(), told["model"], "{name}");
        assert_eq!(text("gen_ai.request.stream"), streamed.then_some(json!(true)), "{name}");
        assert_eq!(text("gen_ai.provider.name"), Some(json!(self.provider)), "{name}");
        assert_eq!(text("gen_ai.operation.name"), self.operation.map(|operation| json!(operation)), "{name}");
        assert_eq!(text("keyward.usage.unknown"), None, "{name}");
        assert_eq!(text("http.response.status_code"), Some(json!(200)), "{name}");
    }
}

/// Those of these clients that are SDKs for Python or Node.
fn sdks(clients: &'static [Software]) -> Vec<&'static Software> {
    let is_sdk = |client: &&Software| {
        let name = client.client();
        name.contains("Python") || name.contains("Node") || name.starts_with("boto3")
    };
    clients.iter().filter(is_sdk).collect()
}

#[tokio::test]
async fn what_anthropics_sdks_say_an_answer_cost_is_in_the_span() {
    let case = Case {
        clients: sdks(ALL),
        modes: PLAIN_AND_STREAMED,
        provider: "anthropic",
        operation: Some("chat"),
        model: "claude-test",
        rule: anthropic,
    };
    compare("anthropic", &[HOST], &[case]).await;
}

#[tokio::test]
async fn what_openais_sdks_say_an_answer_cost_is_in_the_span() {
    let case = |clients, modes, operation, model, rule| Case {
        clients: sdks(clients),
        modes,
        provider: "openai",
        operation: Some(operation),
        model,
        rule,
    };
    let cases = [
        case(OPENAI_CHAT, PLAIN_AND_STREAMED, "chat", "gpt-test", chat),
        case(OPENAI_RESPONSES, PLAIN_AND_STREAMED, "chat", "gpt-test", responses),
        case(OPENAI_EMBEDDINGS, PLAIN, "embeddings", "embedding-test", chat),
    ];
    compare("openai", &["api.openai.com"], &cases).await;
}

#[tokio::test]
async fn what_openais_sdks_say_an_answer_of_azure_cost_is_in_the_span() {
    let case = Case {
        clients: sdks(AZURE_KEY),
        modes: PLAIN_AND_STREAMED,
        provider: "azure.ai.openai",
        operation: Some("chat"),
        model: "gpt-test",
        rule: chat,
    };
    compare("azure-openai", &["contoso.openai.azure.com"], &[case]).await;
}

#[tokio::test]
async fn what_googles_sdks_say_an_answer_cost_is_in_the_span() {
    let case = |clients, provider| Case {
        clients: sdks(clients),
        modes: PLAIN_AND_STREAMED,
        provider,
        operation: Some("generate_content"),
        model: "gemini-test",
        rule: google,
    };
    let hosts = ["generativelanguage.googleapis.com", "aiplatform.googleapis.com"];
    compare("google", &hosts, &[case(GEMINI, "gcp.gemini"), case(VERTEX, "gcp.vertex_ai")]).await;
}

#[tokio::test]
async fn what_the_sdks_of_aws_say_an_answer_of_bedrock_cost_is_in_the_span() {
    let sdks = sdks(BEDROCK);
    let python = || sdks.iter().copied().filter(|client| client.client() == "boto3").collect();
    let case = |clients, modes, operation, rule| Case {
        clients,
        modes,
        provider: "aws.bedrock",
        operation,
        model: "anthropic.claude-test-v1:0",
        rule,
    };
    let of_converse = &[("converse-usage", false), ("converse-streamed-usage", true)];
    let of_invoke = &[("invoke-usage", false), ("invoke-streamed-usage", true)];
    let cases = [
        case(sdks.clone(), of_converse, Some("chat"), converse as fn(&Value) -> Expected),
        // What it asks for depends on the model.
        case(python(), of_invoke, None, anthropic),
    ];
    compare("bedrock", &["bedrock-runtime.eu-central-1.amazonaws.com"], &cases).await;
}

/// As Bedrock answers for Llama.
async fn llama(mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
    let _ = stream.read(&mut [0; 16384]).await;
    let _ = stream.write_all(LLAMA.as_bytes()).await;
    let _ = stream.flush().await;
    let _ = stream.read(&mut [0; 16384]).await;
}

const LLAMA: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 63\r\n\
    x-amzn-bedrock-input-token-count: 12\r\nx-amzn-bedrock-output-token-count: 34\r\n\r\n\
    {\"generation\":\"hi\",\"prompt_token_count\":1,\"stop_reason\":\"stop\"}";

#[tokio::test]
async fn what_the_head_of_an_answer_says_it_cost_is_in_the_span() {
    let provider = Scripted::start(&[HOST], &["http/1.1"], llama).await.unwrap();
    let (collector, gateway) = in_front_of(&provider).await;
    assert_eq!(gateway.agent(Http::One, HOST).send(&Request::messages()).await.unwrap().status, 200);
    let span = collector.wait_for(1).await.remove(0);
    check(&span, "gen_ai.usage.input_tokens", 12);
    check(&span, "gen_ai.usage.output_tokens", 34);
}
