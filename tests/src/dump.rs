//! The configuration that an Envoy says it runs with, and how to find a part of it.

use serde_json::Value;

/// The configuration in an answer to `/config_dump`. Panics when there is none.
#[must_use]
pub fn parse(answer: &str) -> Value {
    let body = answer.split_once("\r\n\r\n").map_or(answer, |(_, body)| body);
    let ends = body.find('{').zip(body.rfind('}'));
    let (start, end) = ends.expect("a configuration");
    serde_json::from_str(&body[start..=end]).expect("JSON")
}

/// The first object, at any depth, that this finds. Panics when there is none.
#[must_use]
#[track_caller]
pub fn part(dump: &Value, wanted: impl Fn(&Value) -> bool) -> &Value {
    find(dump, &wanted).expect("a part of the configuration")
}

fn find<'a>(value: &'a Value, wanted: &impl Fn(&Value) -> bool) -> Option<&'a Value> {
    if wanted(value) {
        return Some(value);
    }
    match value {
        Value::Object(fields) => fields.values().find_map(|inner| find(inner, wanted)),
        Value::Array(items) => items.iter().find_map(|inner| find(inner, wanted)),
        _ => None,
    }
}
