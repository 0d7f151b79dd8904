//! What Amazon Bedrock's runtime answers to InvokeModel and Converse: documents, and streams of binary events.
//! Field shapes follow its public API reference; the framing is that of `application/vnd.amazon.eventstream`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Tokens, anthropic};

const MODEL: &str = "claude-test";

/// What is asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Invoke,
    InvokeStreamed,
    Converse,
    ConverseStreamed,
}

/// The operation that a path asks for: `/model/MODEL/…`.
pub(super) fn operation(path: &str) -> Option<Operation> {
    let (_, name) = path.strip_prefix("/model/")?.split_once('/')?;
    match name {
        "invoke" => Some(Operation::Invoke),
        "invoke-with-response-stream" => Some(Operation::InvokeStreamed),
        "converse" => Some(Operation::Converse),
        "converse-stream" => Some(Operation::ConverseStreamed),
        _ => None,
    }
}

/// A whole answer with this text; None for an operation whose answer is streamed.
pub(super) fn document(operation: Operation, text: &str, tokens: Tokens) -> Option<Value> {
    match operation {
        Operation::Invoke => Some(anthropic::message(MODEL, text, tokens)),
        Operation::Converse => Some(json!({
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": "end_turn", "usage": usage(tokens), "metrics": {"latencyMs": 7},
        })),
        Operation::InvokeStreamed | Operation::ConverseStreamed => None,
    }
}

/// Tokens that concern the cache are counted apart from the others of the prompt.
fn usage(tokens: Tokens) -> Value {
    json!({
        "inputTokens": tokens.input - tokens.cache_read - tokens.cache_write,
        "cacheReadInputTokens": tokens.cache_read,
        "cacheWriteInputTokens": tokens.cache_write,
        "outputTokens": tokens.output,
        "totalTokens": tokens.input + tokens.output,
    })
}

/// The last event of an invocation says it again.
fn metrics(tokens: Tokens) -> Value {
    json!({
        "inputTokenCount": tokens.input - tokens.cache_read - tokens.cache_write,
        "outputTokenCount": tokens.output,
        "cacheReadInputTokenCount": tokens.cache_read,
        "cacheWriteInputTokenCount": tokens.cache_write,
        "invocationLatency": 7,
        "firstByteLatency": 5,
    })
}

/// The events of a streamed answer with this many text deltas, in order.
pub(super) fn events(operation: Operation, deltas: usize, tokens: Tokens) -> Vec<Vec<u8>> {
    if operation == Operation::InvokeStreamed {
        let mut data = anthropic::event_data(MODEL, deltas, tokens);
        data.last_mut().expect("an end")["amazon-bedrock-invocationMetrics"] = metrics(tokens);
        let chunk = |data: Value| json!({"bytes": STANDARD.encode(data.to_string()), "p": "abcdef"});
        return data.into_iter().map(|data| frame("chunk", &chunk(data))).collect();
    }
    let delta = |number| json!({"contentBlockIndex": 0, "delta": {"text": format!("part {number} ")}});
    let mut events = vec![frame("messageStart", &json!({"role": "assistant"}))];
    events.extend((0..deltas).map(|number| frame("contentBlockDelta", &delta(number))));
    events.extend([
        frame("contentBlockStop", &json!({"contentBlockIndex": 0})),
        frame("messageStop", &json!({"stopReason": "end_turn"})),
        frame("metadata", &json!({"usage": usage(tokens), "metrics": {"latencyMs": 7}})),
    ]);
    events
}

/// One event: lengths and their checksum, headers, payload, checksum of it all.
fn frame(kind: &str, payload: &Value) -> Vec<u8> {
    let payload = payload.to_string().into_bytes();
    let mut headers = Vec::new();
    for (name, value) in
        [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")]
    {
        headers.push(short(name));
        headers.extend_from_slice(name.as_bytes());
        // The kind of a header that is text, and its length in two bytes.
        headers.extend_from_slice(&[7, 0, short(value)]);
        headers.extend_from_slice(value.as_bytes());
    }
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&long(16 + headers.len() + payload.len()));
    bytes.extend_from_slice(&long(headers.len()));
    bytes.extend_from_slice(&crc32(&bytes).to_be_bytes());
    bytes.extend_from_slice(&headers);
    bytes.extend_from_slice(&payload);
    bytes.extend_from_slice(&crc32(&bytes).to_be_bytes());
    bytes
}

fn short(text: &str) -> u8 {
    u8::try_from(text.len()).expect("a short text")
}

fn long(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("a small event").to_be_bytes()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    })
}

#[cfg(test)]
mod tests {
    use super::{Operation, Tokens, crc32, events, operation};

    #[test]
    fn checksums_are_the_common_ones() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn an_event_says_how_long_it_is() {
        for event in events(Operation::ConverseStreamed, 2, Tokens::default()) {
            assert_eq!(event[..4], u32::try_from(event.len()).unwrap().to_be_bytes());
        }
    }

    #[test]
    fn a_path_names_model_and_operation() {
        assert_eq!(operation("/model/a.b-v1%3A0/converse-stream"), Some(Operation::ConverseStreamed));
        assert_eq!(operation("/model/a.b-v1%3A0"), None);
    }
}
