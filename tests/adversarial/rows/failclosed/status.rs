//! What `keyward dev` says of an object: the conditions in its last event.

use std::time::Instant;

use harness::gateway::Gateway;
use serde_json::Value;

use super::PATIENCE;

/// A condition as a row expects it: of which object, type, status and reason.
pub(super) type Expected<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

/// Waits until the last event of the object has the condition, with these words in its message.
pub(super) async fn says(gateway: &Gateway, expected: Expected<'_>, words: &[&str]) {
    let (kind, name, ..) = expected;
    let begin = Instant::now();
    loop {
        let events = gateway.events("conditions");
        let last = events.iter().rfind(|event| event["kind"] == kind && event["name"] == name);
        if last.is_some_and(|event| has(event, expected, words)) {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "not said: {expected:?} {words:?}; but {last:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn has(event: &Value, (_, _, kind, status, reason): Expected<'_>, words: &[&str]) -> bool {
    let conditions = event["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| {
        let message = condition["message"].as_str().unwrap_or_default();
        condition["type"] == kind
            && condition["status"] == status
            && condition["reason"] == reason
            && words.iter().all(|word| message.contains(word))
    })
}
