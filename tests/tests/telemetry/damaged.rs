//! Answers that cannot be read reach the agent as they are, and cost nobody knows what.

use harness::client::{Http, Request};
use harness::collector::{Collector, attribute};
use harness::gateway::{Gateway, HOST};
use harness::provider::{Damage, Encoding, Provider, Scripted};
use harness::scenario::PLACEHOLDER;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::usage::{all, in_front_of, start};

/// The span of the last of so many requests.
async fn latest(collector: &Collector, count: usize) -> Value {
    all(collector, count).await.pop().expect("a span")
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
    let scripted = Scripted::start(&[HOST], &["http/1.1"], break_off).await.unwrap();
    let (collector, gateway) = in_front_of(&scripted).await;
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
