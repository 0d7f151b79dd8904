//! Usage of each provider's answers, wherever their pieces end, and what is malformed.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream; charset=utf-8";

/// Model, input, output, read from a cache, written to one, reasoning.
type Expected<'a> = (&'a str, u64, u64, Option<u64>, Option<u64>, Option<u64>);

fn metered(kind: &str, pieces: &[&[u8]]) -> Option<Usage> {
    let mut meter = Meter::of(kind.as_bytes()).expect("a type that is read");
    pieces.iter().for_each(|piece| meter.feed(piece));
    meter.end(true).ok()
}

fn assert_usage(
    kind: &str,
    body: &[u8],
    (model, input, output, cache_read, cache_write, reasoning): Expected<'_>,
) {
    let model = (!model.is_empty()).then(|| model.to_owned());
    let expected =
        Usage { model, input: Some(input), output: Some(output), cache_read, cache_write, reasoning };
    let shown = String::from_utf8_lossy(body);
    assert_eq!(metered(kind, &[body]), Some(expected.clone()), "{shown}");
    for at in 0..body.len() {
        let (before, after) = body.split_at(at);
        assert_eq!(metered(kind, &[before, after]), Some(expected.clone()), "{shown} at {at}");
    }
    let each: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(metered(kind, &each), Some(expected), "{shown} by bytes");
}

#[test]
fn anthropics_cache_is_part_of_the_input() {
    let body = br#"{"id":"m","model":"claude-opus-5","content":[{"type":"text","text":"{\"usage\":{\"input_tokens\":1}}"}],
        "usage":{"input_tokens":10,"cache_creation_input_tokens":5,"cache_read_input_tokens":100,"output_tokens":7}}"#;
    assert_usage(JSON, body, ("claude-opus-5", 115, 7, Some(100), Some(5), None));
}

#[test]
fn anthropics_thinking_is_part_of_the_output() {
    let body = br#"{"model":"claude-opus-5","usage":{"input_tokens":10,"output_tokens":70,
        "cache_creation":{"ephemeral_5m_input_tokens":5,"ephemeral_1h_input_tokens":0},"cache_creation_input_tokens":5,
        "cache_read_input_tokens":0,"output_tokens_details":{"thinking_tokens":60},"server_tool_use":null}}"#;
    assert_usage(JSON, body, ("claude-opus-5", 15, 70, Some(0), Some(5), Some(60)));
}

#[test]
fn of_anthropics_stream_the_last_count_counts() {
    let body = b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-opus-5\",\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}\n\n\
        event: ping\ndata: {\"type\": \"ping\"}\n\n\
        event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":42}}\n\n";
    assert_usage(SSE, body, ("claude-opus-5", 10, 42, None, None, None));
}

#[test]
fn openais_details_are_part_of_the_counts() {
    let chat = br#"{"model":"gpt-5","choices":[{"message":{"model":"x","usage":{"prompt_tokens":9}}}],"usage":{"prompt_tokens":20,
        "completion_tokens":30,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":25}}}"#;
    assert_usage(JSON, chat, ("gpt-5", 20, 30, Some(4), None, Some(25)));
    let responses =
        br#"{"model":"gpt-5","usage":{"input_tokens":20,"input_tokens_details":{"cached_tokens":0},
        "output_tokens":30,"output_tokens_details":{"reasoning_tokens":25}}}"#;
    assert_usage(JSON, responses, ("gpt-5", 20, 30, Some(0), None, Some(25)));
}

#[test]
fn what_openai_writes_to_a_cache_is_part_of_the_input() {
    let chat = br#"{"model":"gpt-5","usage":{"prompt_tokens":20,"completion_tokens":3,
        "prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":7}}}"#;
    assert_usage(JSON, chat, ("gpt-5", 20, 3, Some(4), Some(7), None));
    let responses = br#"{"model":"gpt-5","usage":{"input_tokens":20,"output_tokens":3,
        "input_tokens_details":{"cached_tokens":4,"cache_write_tokens":7}}}"#;
    assert_usage(JSON, responses, ("gpt-5", 20, 3, Some(4), Some(7), None));
}

#[test]
fn openais_streams_end_with_their_usage() {
    let chat = b"data: {\"model\":\"gpt-5\",\"choices\":[{\"delta\":{\"content\":\"[DONE]\"}}],\"usage\":null}\n\n\
        data: {\"model\":\"gpt-5\",\"choices\":[],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n";
    assert_usage(SSE, chat, ("gpt-5", 2, 3, None, None, None));
    let responses = b"event: response.created\ndata: {\"response\":{\"model\":\"gpt-5\",\"usage\":null}}\n\n\
        event: response.completed\ndata: {\"response\":{\"model\":\"gpt-5-mini\",\"usage\":{\"input_tokens\":2,\"output_tokens\":3}}}\n\n";
    assert_usage(SSE, responses, ("gpt-5-mini", 2, 3, None, None, None));
}

#[test]
fn googles_thoughts_are_part_of_the_output() {
    let object = r#"{"candidates":[{"content":{}}],"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":4,
        "thoughtsTokenCount":6,"toolUsePromptTokenCount":1,"cachedContentTokenCount":2},"modelVersion":"gemini-2.5-pro"}"#;
    let expected = ("gemini-2.5-pro", 9, 10, Some(2), None, Some(6));
    assert_usage(JSON, object.as_bytes(), expected);
    let array = format!(r#"[{{"usageMetadata":{{"promptTokenCount":8}}}},{object}]"#);
    assert_usage(JSON, array.as_bytes(), expected);
    let stream = format!("data: {}\r\n\r\n", object.replace('\n', " "));
    assert_usage(SSE, stream.as_bytes(), expected);
}

mod bedrock {
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::Message;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const STREAM: &str = "application/vnd.amazon.eventstream";

    fn messages(payloads: &[&str]) -> Vec<u8> {
        let mut stream = Vec::new();
        for payload in payloads {
            write_message_to(&Message::new(payload.as_bytes().to_vec()), &mut stream).unwrap();
        }
        stream
    }

    fn chunk(text: &str) -> String {
        use base64::Engine as _;
        format!(r#"{{"bytes":"{}","p":"abcdef"}}"#, base64::prelude::BASE64_STANDARD.encode(text))
    }

    #[test]
    fn converse_says_its_usage_in_an_event_of_its_own() {
        let usage = r#"{"metrics":{"latencyMs":1},"usage":{"inputTokens":5,"outputTokens":6,"totalTokens":14,"cacheReadInputTokens":3}}"#;
        assert_usage(JSON, usage.as_bytes(), ("", 8, 6, Some(3), None, None));
        let stream = messages(&[r#"{"role":"assistant","p":"a"}"#, r#"{"delta":{"text":"x"}}"#, usage]);
        assert_usage(STREAM, &stream, ("", 8, 6, Some(3), None, None));
    }

    #[test]
    fn an_invocations_events_are_those_of_the_model_and_a_last_one_of_bedrocks() {
        let start = chunk(
            r#"{"type":"message_start","message":{"model":"claude-opus-5","usage":{"input_tokens":10,"output_tokens":1}}}"#,
        );
        let stop = chunk(
            r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":10,"outputTokenCount":12}}"#,
        );
        assert_usage(STREAM, &messages(&[&start, &stop]), ("claude-opus-5", 10, 12, None, None, None));
    }

    /// Of Llama, Titan and other models whose bodies have names of their own.
    #[test]
    fn what_the_head_says_of_an_invocation_counts_where_the_body_says_nothing() {
        let of_head = |body: &[u8], headers: &[(&str, &str)]| {
            let headers: HeaderMap =
                headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            let mut meter = Meter::of(JSON.as_bytes()).expect("a type that is read").with_head(&headers);
            meter.feed(body);
            meter.end(true)
        };
        let counts = [
            ("x-amzn-bedrock-input-token-count", "5"),
            ("x-amzn-bedrock-output-token-count", "7"),
            ("x-amzn-bedrock-cache-read-input-token-count", "100"),
        ];
        let llama = br#"{"generation":"x","prompt_token_count":105,"generation_token_count":7}"#;
        let (cache_read, expected) =
            (Some(100), Usage { input: Some(105), output: Some(7), ..Usage::default() });
        assert_eq!(of_head(llama, &counts), Ok(Usage { cache_read, ..expected }));
        let claude = br#"{"model":"claude","usage":{"input_tokens":1,"output_tokens":2}}"#;
        let expected =
            Usage { model: Some("claude".into()), input: Some(1), output: Some(2), ..Usage::default() };
        assert_eq!(of_head(claude, &counts), Ok(expected));
        assert_eq!(of_head(llama, &[("x-amzn-bedrock-input-token-count", "-5")]), Ok(Usage::default()));
        assert_eq!(of_head(b"{", &counts), Err(Unknown::Malformed));
    }

    #[test]
    fn a_message_that_is_broken_or_huge_makes_the_usage_unknown() {
        let whole = messages(&[r#"{"usage":{"inputTokens":5,"outputTokens":6}}"#]);
        assert!(metered(STREAM, &[&whole]).is_some());
        let mut flipped = whole.clone();
        flipped[20] ^= 1;
        assert_eq!(metered(STREAM, &[&flipped]), None);
        assert_eq!(metered(STREAM, &[&whole, &whole[..9]]), None);
        assert_eq!(metered(STREAM, &[&[0xff; 64]]), None);
        assert_eq!(metered(STREAM, &[&[0; 64]]), None);
        assert_eq!(metered(STREAM, &[&messages(&["{\"usage\":{\"inputTokens\":5}"])]), None);
        assert_eq!(metered(STREAM, &[&messages(&[r#"{"bytes":"%%%"}"#])]), None);
        assert_eq!(metered(STREAM, &[&messages(&[&format!("\"{}\"", "x".repeat(200_000))])]), None);
    }
}

#[test]
fn what_is_malformed_or_broken_off_has_no_usage() {
    for body in [
        r#"{"usage":{"input_tokens":5}"#,
        r#"{"usage":{"input_tokens":5}}}"#,
        r#"{"usage":{"input_tokens":05}}"#,
        r#"{"usage":{"input_tokens":5},}"#,
        r#"{"usage":{"input_tokens":5}]"#,
        r#"{"usage" 5}"#,
        r#"{"a":nul,"usage":{"input_tokens":5}}"#,
        r#"[1 2]"#,
        r#"[,]"#,
        "{\"a\":\"\n\",\"usage\":{\"input_tokens\":5}}",
        "<html>",
        &"[".repeat(200),
        &"1".repeat(129),
    ] {
        assert_eq!(metered(JSON, &[body.as_bytes()]), None, "{body}");
    }
    assert_eq!(metered(SSE, &[b"data: {\"usage\":{\"input_tokens\":5}}\n\ndata: oops\n\n"]), None);
    assert_eq!(metered(SSE, &[b"data: {\"usage\":{\"input_tokens\":5}}\n\ndata: [DON\n\n"]), None);
}

#[test]
fn a_stream_that_ends_inside_an_event_has_no_usage() {
    const WHOLE: &str = "data: {\"usage\":{\"input_tokens\":5}}\n\n";
    for (rest, known) in [
        ("", true),
        ("\n\n", true),
        (": a comment", true),
        ("event: message_stop", true),
        ("event: message_stop\n", true),
        ("data: [DONE]", true),
        ("data: [DONE]\n", true),
        ("data: [DONE]\r\n", true),
        ("d", false),
        ("event: message_delta\nda", false),
        ("data:", false),
        ("data: [DON", false),
        ("data: {\"usage\":{\"output_tokens\":7}}", false),
        ("data: {\"usage\":{\"output_tokens\":7}}\n", false),
    ] {
        let stream = format!("{WHOLE}{rest}");
        assert_eq!(metered(SSE, &[stream.as_bytes()]).is_some(), known, "{rest:?}");
    }
}

#[test]
fn a_stream_that_is_broken_off_has_its_usage_if_it_has_said_that_it_is_over() {
    for (kind, body, known) in [
        (SSE, "data: {\"model\":\"m\",\"usage\":{\"prompt_tokens\":5}}\n\n", false),
        (SSE, "data: {\"usage\":{\"prompt_tokens\":5}}\n\ndata: [DONE]\n", false),
        (SSE, "data: {\"usage\":{\"prompt_tokens\":5}}\n\ndata: [DONE]\n\n", true),
        (SSE, "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":5}}\n\n", false),
        (SSE, "data: {\"type\":\"message_stop\"}\n\ndata: {", true),
        (SSE, "data: {\"type\":\"response.created\",\"response\":{\"type\":\"x\"}}\n\n", false),
        (SSE, "data: {\"type\":\"response.completed\",\"response\":{}}\n\n", true),
        (SSE, "data: {\"delta\":{\"type\":\"message_stop\"}}\n\n", false),
        (SSE, "data: oops\n\ndata: [DONE]\n\n", false),
        (JSON, "{\"type\":\"message_stop\"}", false),
    ] {
        let mut meter = Meter::of(kind.as_bytes()).expect("a type that is read");
        meter.feed(body.as_bytes());
        assert_eq!(meter.end(false).is_ok(), known, "{body}");
    }
}

#[test]
fn values_that_are_no_counts_are_not_taken_for_some() {
    for value in ["-1", "1.5", "\"7\"", "null", "true", "{}", "[7]", "1e3", "99999999999999999999999"] {
        let body = format!(r#"{{"usage":{{"input_tokens":{value},"output_tokens":3}}}}"#);
        let usage = metered(JSON, &[body.as_bytes()]).expect("well-formed");
        assert_eq!((usage.input, usage.output), (None, Some(3)), "{value}");
    }
}

#[test]
fn a_long_text_is_not_held() {
    let long = "x".repeat(4 << 20);
    let body =
        format!(r#"{{"model":"{long}","{long}":"{long}","usage":{{"input_tokens":1,"output_tokens":2}}}}"#);
    assert_eq!(
        metered(JSON, &[body.as_bytes()]),
        Some(Usage { input: Some(1), output: Some(2), ..Usage::default() })
    );
}

#[test]
fn other_types_are_not_read() {
    for kind in ["", "text/html", "application/octet-stream", "image/png", "application/jsonx"] {
        assert!(Meter::of(kind.as_bytes()).is_none(), "{kind}");
    }
}

#[test]
fn a_request_says_its_model_and_whether_it_wants_a_stream() {
    for (body, model, stream) in [
        (r#"{"model":"gpt-5","stream":true}"#, Some("gpt-5"), true),
        (r#"{"messages":[{"model":"x","stream":true}],"model":"a\"b\u00e9"}"#, Some("a\"bé"), false),
        (r#"{"stream":"true"}"#, None, false),
        (r#"{"model":"\u001b[31mred"}"#, None, false),
        ("not json", None, false),
        (r#"{"model":"gpt-5"}}"#, None, false),
    ] {
        for pieces in [vec![body.as_bytes()], body.as_bytes().chunks(1).collect()] {
            let mut reader = AskedReader::default();
            pieces.iter().for_each(|piece| reader.feed(piece));
            assert_eq!(reader.end(), Asked { model: model.map(str::to_owned), stream }, "{body}");
        }
    }
}

mod properties {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use proptest::prelude::*;

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Into::into),
            "\\PC{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::hash_map("[a-c\"\\\\é]{0,4}", inner, 0..6)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn usage_is_found_beside_any_json(value in json(), input in any::<u64>(), pretty in any::<bool>()) {
            let whole = serde_json::json!({"a": value, "usage": {"details": value, "input_tokens": input}, "z": value});
            let body = if pretty { serde_json::to_vec_pretty(&whole) } else { serde_json::to_vec(&whole) }.unwrap();
            prop_assert_eq!(metered(JSON, &[&body]).and_then(|usage| usage.input), Some(input));
        }

        #[test]
        fn what_serde_refuses_has_no_usage_either(body in "[\\[\\]{}:,\"\\\\a0-9.e+truefalsn -]{0,24}") {
            let known = metered(JSON, &[body.as_bytes()]).is_some();
            let structure = serde_json::from_str::<serde::de::IgnoredAny>(&body);
            // Escapes of texts are not looked into.
            prop_assert!(!known || structure.is_ok() || body.contains('\\') || body.is_empty() || body == "[DONE]", "{}", body);
        }

        #[test]
        fn no_bytes_panic(
            kind in prop::sample::select(vec![JSON, SSE, "application/x-ndjson", "application/vnd.amazon.eventstream"]),
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        ) {
            let _ = metered(kind, &pieces.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }
}
