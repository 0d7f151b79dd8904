//! Usage of answers: the same however a body is cut into pieces, and what a whole JSON parser finds where there is one.
//!
//! Input: a number for the media type and the lengths of pieces, a line; the body, all that is left.

use policy::usage::{Asked, AskedReader, Meter, Unknown, Usage};
use serde_json::Value;

use crate::input::{Choices, lines};

/// The longest number that is read.
const LONGEST_NUMBER: usize = 128;

/// Longer ones find nothing that short ones do not.
const LONGEST: usize = 2000;

const KINDS: [&str; 4] =
    ["application/json", "text/event-stream", "application/x-ndjson", "application/vnd.amazon.eventstream"];

/// Pieces make no difference, a body that was broken off is never known by less, and JSON is read as others read it.
pub fn holds(input: &[u8]) {
    let [how, body] = lines(&input[..input.len().min(LONGEST)]);
    let mut how = Choices(how);
    let kind = KINDS[how.below(KINDS.len())];
    let whole = metered(kind, &[body], true);
    assert_eq!(metered(kind, &pieces(body, &mut how), true), whole, "another usage in pieces");
    let broken_off = metered(kind, &[body], false);
    assert!(broken_off.is_err() || kind != KINDS[0], "a whole text that was broken off");
    assert!(broken_off.is_err() || broken_off == whole, "another usage when broken off");
    assert_eq!(asked(&pieces(body, &mut how)), asked(&[body]), "something else asked for in pieces");
    if kind == KINDS[0] {
        check_json(body, whole);
    }
}

fn metered(kind: &str, pieces: &[&[u8]], came: bool) -> Result<Usage, Unknown> {
    let mut meter = Meter::of(kind.as_bytes()).expect("a type that is read");
    pieces.iter().for_each(|piece| meter.feed(piece));
    meter.end(came)
}

fn asked(pieces: &[&[u8]]) -> Asked {
    let mut reader = AskedReader::default();
    pieces.iter().for_each(|piece| reader.feed(piece));
    reader.end()
}

fn pieces<'a>(mut body: &'a [u8], how: &mut Choices<'_>) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !body.is_empty() {
        let (piece, rest) = body.split_at((how.below(40) + 1).min(body.len()));
        pieces.push(piece);
        body = rest;
    }
    pieces
}

/// What serde makes a document of is well-formed, and its counts are those that stand there.
fn check_json(body: &[u8], usage: Result<Usage, Unknown>) {
    let Ok(document) = serde_json::from_slice::<Value>(body) else { return };
    let is_longer = |word: &[u8]| word.len() > LONGEST_NUMBER;
    if body.split(|byte| !b"0123456789.eE+-".contains(byte)).any(is_longer) {
        return;
    }
    // Of a key that stands there twice, serde keeps the last value, and the reader the last that is a count.
    if body.iter().filter(|byte| **byte == b':').count() != keys(&document) || body.contains(&b'\\') {
        return;
    }
    let usage = usage.expect("well-formed");
    let count = |name: &str| document["usage"][name].as_u64();
    if !document["usage"].is_object()
        || ["message", "response", "usageMetadata"].iter().any(|key| has(&document, key))
    {
        return;
    }
    let only =
        |name: &str, others: &[&str]| others.iter().all(|other| count(other).is_none()).then(|| count(name));
    if let Some(output) = only("output_tokens", &["completion_tokens", "outputTokens"])
        && document.get("amazon-bedrock-invocationMetrics").is_none()
    {
        assert_eq!(usage.output, output, "another count of the output");
    }
}

fn has(document: &Value, key: &str) -> bool {
    document.get(key).is_some()
}

/// How many keys stand anywhere in a document.
fn keys(value: &Value) -> usize {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, field)| 1 + key.matches(':').count() + keys(field)).sum()
        }
        Value::Array(items) => items.iter().map(keys).sum(),
        Value::String(text) => text.matches(':').count(),
        _ => 0,
    }
}
