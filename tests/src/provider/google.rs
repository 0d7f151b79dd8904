//! What Google answers to `generateContent`, in the Gemini API and in Vertex AI: content, events of a stream, errors.
//! Field shapes follow its public API reference (`GenerateContentResponse`, `google.rpc.Status`).

use serde_json::{Value, json};

use super::Tokens;

/// The model whose content a path asks for: `…/models/MODEL:generateContent` or `:streamGenerateContent`.
pub(super) fn model(path: &str) -> Option<&str> {
    let (_, last) = path.rsplit_once("/models/")?;
    let (model, method) = last.split_once(':')?;
    matches!(method, "generateContent" | "streamGenerateContent").then_some(model)
}

/// The API keys in a query.
pub(super) fn query_keys(path: &str) -> Vec<String> {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(|pair| pair.strip_prefix("key=")).map(str::to_owned).collect()
}

/// Content with this text.
pub(super) fn content(text: &str, finish: Option<&str>, tokens: Tokens) -> Value {
    let mut candidate = json!({"content": {"parts": [{"text": text}], "role": "model"}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    json!({
        "candidates": [candidate],
        "usageMetadata": usage(tokens),
        "modelVersion": "gemini-test",
        "responseId": "mAitaLmkHPPlz7IPvtfUqQ4",
    })
}

/// What tools gave back, and thoughts, are counted apart from prompt and candidates; a count of nothing is left out.
fn usage(tokens: Tokens) -> Value {
    let prompt = tokens.input - tokens.of_tools;
    let mut usage = json!({
        "promptTokenCount": prompt,
        "totalTokenCount": tokens.input + tokens.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    });
    for (name, count) in [
        ("candidatesTokenCount", tokens.output - tokens.reasoning),
        ("cachedContentTokenCount", tokens.cache_read),
        ("thoughtsTokenCount", tokens.reasoning),
        ("toolUsePromptTokenCount", tokens.of_tools),
    ] {
        if count > 0 {
            usage[name] = count.into();
        }
    }
    usage
}

/// The events of a stream with this many parts (`alt=sse`), in order. Each says what the answer cost so far: it thinks
/// first.
pub(super) fn events(deltas: usize, tokens: Tokens) -> Vec<String> {
    let event = |number| {
        let is_last = number + 1 == deltas;
        let output = if is_last { tokens.output } else { tokens.reasoning + number as u64 };
        let so_far = Tokens { output, ..tokens };
        content(&format!("part {number} "), is_last.then_some("STOP"), so_far)
    };
    (0..deltas).map(|number| format!("data: {}\r\n\r\n", event(number))).collect()
}

/// An error; `status` as `UNAUTHENTICATED`.
pub(super) fn error(code: u16, status: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message, "status": status}})
}

#[cfg(test)]
mod tests {
    use super::{Tokens, events, query_keys};

    #[test]
    fn the_last_event_of_a_stream_says_why_it_stopped() {
        let events = events(2, Tokens::default());
        assert!(!events[0].contains("finishReason"), "{}", events[0]);
        assert!(events[1].contains("\"finishReason\":\"STOP\""), "{}", events[1]);
    }

    #[test]
    fn every_key_of_a_query_counts() {
        assert_eq!(query_keys("/v1beta/models?alt=sse&key=a&key=b"), ["a", "b"]);
        assert!(query_keys("/v1beta/models").is_empty());
    }
}
