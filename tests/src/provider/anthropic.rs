//! What Anthropic's Messages API answers: the message, the events of a stream, the errors.
//! Field shapes follow its public API reference (Messages, Streaming messages, Errors).

use serde_json::{Value, json};

use super::Tokens;

const ID: &str = "msg_01XFDUDYJgAACzvnptvVoYEL";

/// Whether a path is of the account behind a key, which Claude Code asks for what an organisation has set: nothing here.
pub(super) fn is_account(path: &str) -> bool {
    path.starts_with("/api/") || path.starts_with("/mcp-registry/")
}

/// A whole message.
pub(super) fn message(model: &str, text: &str, tokens: Tokens) -> Value {
    json!({
        "id": ID,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": null,
        "usage": usage(tokens),
    })
}

/// The events of a streamed message with this many text deltas, in order.
pub(super) fn events(model: &str, deltas: usize, tokens: Tokens) -> Vec<String> {
    event_data(model, deltas, tokens).iter().map(event).collect()
}

/// What stands in each of those events.
pub(super) fn event_data(model: &str, deltas: usize, tokens: Tokens) -> Vec<Value> {
    let mut start = message(model, "", Tokens { output: 1, reasoning: 0, ..tokens });
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    let mut events = vec![
        json!({"type": "message_start", "message": start}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
    ];
    events.extend((0..deltas).map(|number| {
        let delta = json!({"type": "text_delta", "text": format!("part {number} ")});
        json!({"type": "content_block_delta", "index": 0, "delta": delta})
    }));
    events.extend([
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": final_usage(tokens)}),
        json!({"type": "message_stop"}),
    ]);
    events
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}

/// Tokens that concern the cache are counted apart from the others of the prompt, thinking is not.
fn usage(tokens: Tokens) -> Value {
    let mut usage = final_usage(tokens);
    usage["cache_creation"] =
        json!({"ephemeral_5m_input_tokens": tokens.cache_write, "ephemeral_1h_input_tokens": 0});
    usage["service_tier"] = "standard".into();
    usage
}

/// What the last event but one of a stream says.
fn final_usage(tokens: Tokens) -> Value {
    json!({
        "input_tokens": tokens.input - tokens.cache_read - tokens.cache_write,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "output_tokens": tokens.output,
        "output_tokens_details": {"thinking_tokens": tokens.reasoning},
    })
}

/// An error; `kind` as `authentication_error` or `invalid_request_error`.
pub(super) fn error(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"})
}

#[cfg(test)]
mod tests {
    use super::{Tokens, events};

    #[test]
    fn a_stream_starts_and_stops_as_documented() {
        let events = events("claude-test", 2, Tokens::default());
        assert!(events[0].starts_with("event: message_start\ndata: {"), "{}", events[0]);
        assert!(events[3].contains("\"text\":\"part 0 \""), "{}", events[3]);
        assert_eq!(events.last().unwrap(), "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
        assert_eq!(events.len(), 8);
    }
}
