//! What Google answers to `generateContent`, in the Gemini API and in Vertex AI: content, events of a stream, errors.
//! Field shapes follow its public API reference (`GenerateContentResponse`, `google.rpc.Status`).

use serde_json::{Value, json};

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
pub(super) fn content(text: &str, finish: Option<&str>) -> Value {
    let mut candidate = json!({"content": {"parts": [{"text": text}], "role": "model"}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    json!({
        "candidates": [candidate],
        "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 6, "totalTokenCount": 18},
        "modelVersion": "gemini-test",
        "responseId": "mAitaLmkHPPlz7IPvtfUqQ4",
    })
}

/// The events of a stream with this many parts (`alt=sse`), in order.
pub(super) fn events(deltas: usize) -> Vec<String> {
    let finish = |number| (number + 1 == deltas).then_some("STOP");
    let event = |number| content(&format!("part {number} "), finish(number));
    (0..deltas).map(|number| format!("data: {}\r\n\r\n", event(number))).collect()
}

/// An error; `status` as `UNAUTHENTICATED`.
pub(super) fn error(code: u16, status: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message, "status": status}})
}

#[cfg(test)]
mod tests {
    use super::{events, query_keys};

    #[test]
    fn the_last_event_of_a_stream_says_why_it_stopped() {
        let events = events(2);
        assert!(!events[0].contains("finishReason"), "{}", events[0]);
        assert!(events[1].contains("\"finishReason\":\"STOP\""), "{}", events[1]);
    }

    #[test]
    fn every_key_of_a_query_counts() {
        assert_eq!(query_keys("/v1beta/models?alt=sse&key=a&key=b"), ["a", "b"]);
        assert!(query_keys("/v1beta/models").is_empty());
    }
}
