//! What OpenAI's Responses and Chat Completions APIs answer: whole answers, the events of a stream, the errors.
//! Field shapes follow its public API reference; Azure OpenAI answers in the same ones.

use serde_json::{Value, json};

use super::Tokens;
use super::log::Received;

const ITEM: &str = "msg_67ccd3acc8d48190a77525dc6de64b4104becb25c45c1d41";

/// Whether a request wants a WebSocket for Responses, which Codex tries before it posts.
pub(super) fn is_socket(request: &Received, path: &str) -> bool {
    path.ends_with("/responses")
        && request.values("upgrade").iter().any(|value| value.eq_ignore_ascii_case("websocket"))
}

/// A whole answer of `/v1/responses`.
pub(super) fn response(model: &str, text: &str, tokens: Tokens) -> Value {
    let mut response = response_of(model, "completed", vec![item("completed", &[part(text)])]);
    response["usage"] = json!({
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    });
    response
}

fn response_of(model: &str, status: &str, output: Vec<Value>) -> Value {
    json!({
        "id": "resp_67ccd3a9da748190baa7f1570fe91ac604becb25c45c1d41",
        "object": "response",
        "created_at": 1_741_476_777,
        "status": status,
        "error": null,
        "incomplete_details": null,
        "instructions": null,
        "metadata": {},
        "model": model,
        "output": output,
        "parallel_tool_calls": true,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": null,
    })
}

fn item(status: &str, content: &[Value]) -> Value {
    json!({"type": "message", "id": ITEM, "status": status, "role": "assistant", "content": content})
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": []})
}

/// The events of a streamed answer of `/v1/responses` with this many text deltas, in order.
pub(super) fn response_events(model: &str, deltas: usize, tokens: Tokens) -> Vec<String> {
    let place = json!({"item_id": ITEM, "output_index": 0, "content_index": 0});
    let at = |mut event: Value| {
        for (name, value) in place.as_object().into_iter().flatten() {
            event[name] = value.clone();
        }
        event
    };
    let parts: Vec<_> = (0..deltas).map(|number| format!("part {number} ")).collect();
    let text = parts.concat();
    let mut events = vec![
        json!({"type": "response.created", "response": response_of(model, "in_progress", vec![])}),
        json!({"type": "response.in_progress", "response": response_of(model, "in_progress", vec![])}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": item("in_progress", &[])}),
        at(json!({"type": "response.content_part.added", "part": part("")})),
    ];
    events.extend(
        parts
            .iter()
            .map(|delta| at(json!({"type": "response.output_text.delta", "delta": delta, "logprobs": []}))),
    );
    let whole = item("completed", &[part(&text)]);
    events.extend([
        at(json!({"type": "response.output_text.done", "text": text, "logprobs": []})),
        at(json!({"type": "response.content_part.done", "part": part(&text)})),
        json!({"type": "response.output_item.done", "output_index": 0, "item": whole}),
        json!({"type": "response.completed", "response": response(model, &text, tokens)}),
    ]);
    let numbered = |(number, mut event): (usize, Value)| {
        event["sequence_number"] = number.into();
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
    };
    events.into_iter().enumerate().map(numbered).collect()
}

/// A whole answer of `/v1/chat/completions`.
pub(super) fn completion(model: &str, text: &str, tokens: Tokens) -> Value {
    let message = json!({"role": "assistant", "content": text, "refusal": null, "annotations": []});
    let mut completion = completion_of("chat.completion", model);
    completion["choices"] =
        json!([{"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"}]);
    completion["usage"] = completion_usage(tokens);
    completion
}

fn completion_usage(tokens: Tokens) -> Value {
    json!({
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details":
            {"cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

/// A whole answer of `/v1/embeddings`, with one number. SDKs ask for base64 of its bytes, the least significant first.
pub(super) fn embeddings(model: &str, tokens: Tokens, as_base64: bool) -> Value {
    let embedding = if as_base64 { json!("AAAAPw==") } else { json!([0.5]) };
    json!({
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": embedding}],
        "model": model,
        "usage": {"prompt_tokens": tokens.input, "total_tokens": tokens.input},
    })
}

fn completion_of(object: &str, model: &str) -> Value {
    json!({
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "object": object, "created": 1_741_569_952,
        "model": model, "service_tier": "default", "system_fingerprint": "fp_44709d6fcb",
    })
}

/// The events of a streamed answer of `/v1/chat/completions` with this many text deltas, in order; `usage` is what
/// was asked for by `stream_options.include_usage`.
pub(super) fn completion_events(model: &str, deltas: usize, usage: Option<Tokens>) -> Vec<String> {
    let chunk = |delta: Value, finish: Value| {
        let mut chunk = completion_of("chat.completion.chunk", model);
        chunk["choices"] = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
        if usage.is_some() {
            chunk["usage"] = Value::Null;
        }
        format!("data: {chunk}\n\n")
    };
    let mut events = vec![chunk(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null)];
    events
        .extend((0..deltas).map(|number| chunk(json!({"content": format!("part {number} ")}), Value::Null)));
    events.push(chunk(json!({}), "stop".into()));
    if let Some(tokens) = usage {
        let mut last = completion_of("chat.completion.chunk", model);
        last["choices"] = json!([]);
        last["usage"] = completion_usage(tokens);
        events.push(format!("data: {last}\n\n"));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}

/// An error; `code` as `invalid_api_key`.
pub(super) fn error(code: &str, message: &str) -> Value {
    json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}})
}

#[cfg(test)]
mod tests {
    use super::{Tokens, completion_events, response_events};

    #[test]
    fn streams_start_and_stop_as_documented() {
        let events = response_events("gpt-test", 2, Tokens::default());
        assert!(events[0].starts_with("event: response.created\ndata: {"), "{}", events[0]);
        assert!(events[5].contains("\"delta\":\"part 1 \""), "{}", events[5]);
        assert!(events.last().unwrap().contains("part 0 part 1 "), "the last event holds the whole text");
        assert_eq!(events.len(), 10);
        let events = completion_events("gpt-test", 2, None);
        assert_eq!((events.len(), events[4].as_str()), (5, "data: [DONE]\n\n"));
        let events = completion_events("gpt-test", 2, Some(Tokens::default()));
        assert!(events[4].contains("\"choices\":[]"), "{}", events[4]);
        assert_eq!((events.len(), events[5].as_str()), (6, "data: [DONE]\n\n"));
    }
}
