//! What answers cost: the official SDK of each provider reads the same answer, and the span must say the same; answers
//! that cannot be read reach the agent as they are and cost nobody knows what.

use harness::client::{Http, Request};
use harness::collector::{Collector, attribute};
use harness::examples::Example;
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::{Damage, Encoding, Provider, Scripted, Tokens};
use harness::scenario::{KEY, PLACEHOLDER};
use harness::software::{
    ALL, AZURE_KEY, BEDROCK, GEMINI, OPENAI_CHAT, OPENAI_EMBEDDINGS, OPENAI_RESPONSES, Software, VERTEX,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{OTLP, telling};

const PLAIN_AND_STREAMED: &[(&str, bool)] = &[("usage", false), ("usage-streamed", true)];
const PLAIN: &[(&str, bool)] = &[("usage", false)];

/// An example that tells a collector, and its provider. That of OpenAI allows embeddings too.
async fn start(example: &str, hosts: &[&str]) -> (Collector, Provider, Gateway) {
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

/// So many spans, in the order in which their requests were sent: each worker of Envoy tells of its own.
async fn in_order(collector: &Collector, count: usize) -> Vec<Value> {
    let mut spans = collector.wait_for(count).await;
    assert_eq!(spans.len(), count);
    spans.sort_by_key(|span| span["startTimeUnixNano"].as_str().and_then(|time| time.parse::<u64>().ok()));
    spans
}

/// The span of the last of so many requests.
async fn latest(collector: &Collector, count: usize) -> Value {
    in_order(collector, count).await.pop().expect("a span")
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
async fn check(example: &str, hosts: &[&str], cases: &[Case]) {
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
    let spans = in_order(&collector, runs.len()).await;
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
    check("anthropic", &[HOST], &[case]).await;
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
    check("openai", &["api.openai.com"], &cases).await;
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
    check("azure-openai", &["contoso.openai.azure.com"], &[case]).await;
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
    check("google", &hosts, &[case(GEMINI, "gcp.gemini"), case(VERTEX, "gcp.vertex_ai")]).await;
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
    check("bedrock", &["bedrock-runtime.eu-central-1.amazonaws.com"], &cases).await;
}

/// What a request is asked and answered in one of the ways in which an answer can be damaged.
struct Damaged {
    example: &'static str,
    host: &'static str,
    path: &'static str,
    stream: bool,
    /// From the answer as it should be to what is done to it.
    damages: fn(&[u8]) -> Vec<Damage>,
}

fn place(body: &[u8], text: &str) -> usize {
    body.windows(text.len()).position(|window| window == text.as_bytes()).expect(text)
}

const DAMAGED: &[Damaged] = &[
    Damaged {
        example: "anthropic",
        host: HOST,
        path: "/v1/messages",
        stream: false,
        // The first brace becomes a letter.
        damages: |body| vec![Damage::Flipped(0), Damage::Cut(body.len() / 2), Damage::Cut(body.len() - 1)],
    },
    Damaged {
        example: "anthropic",
        host: HOST,
        path: "/v1/messages",
        stream: true,
        damages: |body| {
            let delta = place(body, "{\"delta\":{\"stop_reason\"");
            vec![
                Damage::Flipped(delta),
                Damage::Flipped(place(body, "{\"type\":\"ping\"}")),
                Damage::Cut(delta - 3),
                Damage::Cut(delta + 20),
            ]
        },
    },
    Damaged {
        example: "bedrock",
        host: "bedrock-runtime.eu-central-1.amazonaws.com",
        path: "/model/anthropic.claude-test-v1%3A0/converse",
        stream: false,
        damages: |body| vec![Damage::Flipped(0), Damage::Cut(body.len() / 2)],
    },
    Damaged {
        example: "bedrock",
        host: "bedrock-runtime.eu-central-1.amazonaws.com",
        path: "/model/anthropic.claude-test-v1%3A0/converse-stream",
        stream: true,
        // Any bit of a message's: its length, a header, its payload, its checksums.
        damages: |body| {
            let places = [0, 3, 5, 10, 14, body.len() / 2, body.len() - 30, body.len() - 1];
            let flipped = places.map(Damage::Flipped);
            flipped.into_iter().chain([1, 13, body.len() - 1].map(Damage::Cut)).collect()
        },
    },
];

/// Asserts that a span says that the usage is unknown, and why.
#[track_caller]
fn assert_unknown(span: &Value, why: &str, context: &str) {
    assert_eq!(attribute(span, "keyward.usage.unknown"), Some(json!(why)), "{context}: {span:#}");
    assert_known(span, false, context);
}

#[track_caller]
fn assert_known(span: &Value, known: bool, context: &str) {
    for key in ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"] {
        assert_eq!(attribute(span, key).is_some(), known, "{context}: {key} in {span:#}");
    }
    assert_eq!(attribute(span, "keyward.usage.unknown").is_some(), !known, "{context}");
    let decision = attribute(span, "keyward.decision");
    assert!(
        ["injected", "signed"].iter().any(|name| decision == Some(json!(name))),
        "{context}: {decision:?}"
    );
    assert_eq!(attribute(span, "http.response.status_code"), Some(json!(200)), "{context}");
}

impl Damaged {
    fn request(&self) -> Request {
        let asked = json!({"model": "claude-test", "max_tokens": 64, "stream": self.stream, "messages": []});
        Request::new("POST", self.host, self.path).header("accept-encoding", "gzip").json(&asked)
    }

    async fn check(&self, collector: &Collector, provider: &Provider, gateway: &Gateway) {
        let mut seen = collector.spans().len();
        let mut ask = async |http, damage, encoding| {
            provider.behave(|behaviour| (behaviour.damage, behaviour.encoding) = (damage, encoding));
            let answer = gateway.agent(http, self.host).send(&self.request()).await.expect("an answer");
            seen += 1;
            (answer, latest(collector, seen).await)
        };
        let (whole, span) = ask(Http::One, None, Encoding::Identity).await;
        assert_known(&span, true, self.path);
        for (number, damage) in (self.damages)(&whole.body).into_iter().enumerate() {
            let context = format!("{}: {damage:?}", self.path);
            let http = if number % 2 == 0 { Http::One } else { Http::Two };
            let mut expected = whole.body.to_vec();
            damage.apply(&mut expected);
            let (answer, span) = ask(http, Some(damage), Encoding::Identity).await;
            assert_eq!((answer.status, &answer.body[..]), (200, &expected[..]), "{context}");
            assert_unknown(&span, "malformed", &context);
            let (answer, span) = ask(http, Some(damage), Encoding::Gzip).await;
            assert_eq!(unzipped(&answer.body), expected, "{context}, encoded");
            assert_unknown(&span, "malformed", &format!("{context}, encoded"));
        }
        let (answer, span) = ask(Http::Two, None, Encoding::Identity).await;
        assert_eq!(answer.body, whole.body, "{}", self.path);
        assert_known(&span, true, self.path);
    }
}

fn unzipped(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    std::io::copy(&mut flate2::read::MultiGzDecoder::new(body), &mut plain).expect("gzip");
    plain
}

#[tokio::test]
async fn a_damaged_answer_reaches_the_agent_as_it_is_and_cost_nobody_knows_what() {
    for rows in DAMAGED.chunk_by(|a, b| a.example == b.example) {
        let (collector, provider, gateway) = start(rows[0].example, &[rows[0].host]).await;
        for row in rows {
            row.check(&collector, &provider, &gateway).await;
        }
    }
}

#[tokio::test]
async fn an_answer_in_another_encoding_reaches_the_agent_as_it_is_and_cost_nobody_knows_what() {
    let (collector, provider, gateway) = start("anthropic", &[HOST]).await;
    let agent = gateway.agent(Http::Two, HOST);
    let mut count = 0;
    for request in [Request::messages(), Request::streamed_messages()] {
        provider.behave(|behaviour| behaviour.encoding = Encoding::Identity);
        let plain = agent.send(&request).await.unwrap().body;
        provider.behave(|behaviour| behaviour.encoding = Encoding::SaidToBeBrotli);
        let answer = agent.send(&request.header("accept-encoding", "br, gzip;q=0.5")).await.unwrap();
        assert_eq!((answer.values("content-encoding"), &answer.body), (vec!["br"], &plain));
        // What was asked for could be read.
        let asked = provider.take_requests().pop().unwrap();
        assert_eq!(asked.values("accept-encoding"), ["gzip"]);
        count += 2;
        assert_unknown(&latest(&collector, count).await, "encoding", "br");
    }
    // Nor is it gzip because it says so.
    provider.behave(|behaviour| {
        behaviour.encoding = Encoding::Identity;
        behaviour.headers = vec![("content-encoding".into(), "gzip".into())];
    });
    let answer = agent.send(&Request::messages()).await.unwrap();
    assert!(answer.json()["usage"].is_object(), "{answer:?}");
    assert_unknown(&latest(&collector, count + 1).await, "encoding", "no gzip");
}

/// The events of a stream up to what it cost, without the end of the body.
async fn break_off(mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
    let _ = stream.read(&mut [0; 16384]).await;
    let _ = stream.write_all(HALF_A_STREAM.as_bytes()).await;
    let _ = stream.flush().await;
    // The head and what there is of the body are passed on before the connection ends.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
}

const HALF_A_STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 5000\r\n\r\n\
    event: message_start\ndata: {\"message\":{\"model\":\"claude-test\",\"usage\":{\"input_tokens\":12,\"output_tokens\":1}}}\n\n";

#[tokio::test]
async fn a_stream_that_the_provider_breaks_off_cost_nobody_knows_what() {
    let collector = Collector::start().await;
    let scripted = Scripted::start(&[HOST], &["http/1.1"], break_off).await.unwrap();
    let manifests = Manifests::worked_example().alias_at(&[HOST], scripted.port(), scripted.ca());
    let manifests = telling(manifests, &collector.endpoint(), "");
    let gateway = Gateway::builder(manifests).key(KEY).start().await;
    let mut agent = gateway.agent(Http::One, HOST).open_http1().await.unwrap();
    agent.write(&Request::streamed_messages().to_http1()).await.unwrap();
    assert_eq!(agent.head().await.unwrap().status, 200);
    let mut got = Vec::new();
    while let Ok(Some(part)) = agent.part().await {
        got.extend_from_slice(&part);
    }
    let (_, sent) = HALF_A_STREAM.split_once("\r\n\r\n").unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), sent);
    assert_unknown(&collector.wait_for(1).await[0], "malformed", "by the provider");
}

#[tokio::test]
async fn a_stream_that_the_agent_breaks_off_cost_nobody_knows_what() {
    let (collector, provider, gateway) = start("anthropic", &[HOST]).await;
    provider.behave(|behaviour| behaviour.hold_second_event = true);
    let mut agent = gateway.agent(Http::One, HOST).open_http1().await.unwrap();
    let request = Request::streamed_messages().header("x-api-key", PLACEHOLDER);
    agent.write(&request.to_http1()).await.unwrap();
    assert_eq!(agent.head().await.unwrap().status, 200);
    assert!(agent.part().await.unwrap().is_some_and(|part| part.starts_with(b"event: message_start")));
    drop(agent);
    assert_unknown(&collector.wait_for(1).await[0], "malformed", "by the agent");
}

/// SDKs close their connection once they have read the last event, which may be before the body has ended.
#[tokio::test]
async fn a_stream_that_has_said_that_it_is_over_has_its_usage_though_the_agent_is_gone() {
    let (collector, provider, gateway) = start("anthropic", &[HOST]).await;
    // The first of two parts is the whole stream, and the second the end of its encoding.
    provider.behave(|behaviour| {
        (behaviour.damage, behaviour.encoding) = (Some(Damage::Cut(usize::MAX)), Encoding::Gzip);
        behaviour.hold_second_event = true;
    });
    let mut agent = gateway.agent(Http::One, HOST).open_http1().await.unwrap();
    agent.write(&Request::streamed_messages().to_http1()).await.unwrap();
    assert_eq!(agent.head().await.unwrap().status, 200);
    assert!(agent.part().await.unwrap().is_some());
    drop(agent);
    assert_known(&collector.wait_for(1).await[0], true, "over");
}
