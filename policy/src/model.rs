//! Which model a request names: in its path where the provider puts it there, else in its JSON body.
//!
//! What a provider might read in another way is *unreadable*, and a rule that is for certain models then denies: two
//! members `model` in any case, an encoded body, a body that is not JSON, a path with two places for a model.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use thiserror::Error;

use crate::decide::{Head, same_header};
use crate::path::escape;
use crate::query;
use crate::wire::ModelSource;

/// The member of a body, and the query parameter of an upgrade, that names the model.
const MODEL: &str = "model";

/// No model can be read, or more than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the request's model cannot be read")]
pub struct Unreadable;

/// What is at hand of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// There is none, or it is a stream that is not to be waited for: an upgrade, or gRPC.
    None,
    /// It may come, and may be waited for.
    Unread,
    /// All of it.
    Whole(&'a [u8]),
}

/// Where a model was looked for.
pub(crate) enum Model {
    Named(String),
    Unreadable,
    /// It is in the body, which was not read yet.
    InBody,
}

/// The model that a request names.
pub(crate) fn of(source: ModelSource, head: &Head<'_>, body: Body<'_>) -> Model {
    let in_path = match source {
        ModelSource::Body => Ok(None),
        ModelSource::Google => {
            after(head.path, &["models", "tunedModels"]).map(|model| model.map(without_verb))
        }
        ModelSource::Azure => after(head.path, &["deployments"]),
        ModelSource::Bedrock => {
            after(head.path, &["model"]).and_then(|model| model.ok_or(Unreadable).map(Some))
        }
    };
    match (in_path, body) {
        (Err(Unreadable), _) => Model::Unreadable,
        (Ok(Some(model)), _) => Model::Named(model),
        (Ok(None), Body::None) if head.is_upgrade() => named(in_query(head.path)),
        (Ok(None), Body::None) => Model::Unreadable,
        (Ok(None), Body::Unread) if !may_be_json(head) => Model::Unreadable,
        (Ok(None), Body::Unread) => Model::InBody,
        (Ok(None), Body::Whole(bytes)) => named(in_body(bytes)),
    }
}

fn named(model: Result<String, Unreadable>) -> Model {
    model.map_or(Model::Unreadable, Model::Named)
}

/// The segment of the path that follows one of these, its escapes undone.
fn after(target: &[u8], words: &[&str]) -> Result<Option<String>, Unreadable> {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let mut segments = path.split(|byte| *byte == b'/');
    let mut found = None;
    while let Some(segment) = segments.next() {
        if words.iter().any(|word| word.as_bytes() == segment) {
            let Some(model) = segments.next().filter(|model| !model.is_empty()) else { continue };
            if found.replace(unescaped(model)?).is_some() {
                return Err(Unreadable);
            }
        }
    }
    Ok(found)
}

fn unescaped(segment: &[u8]) -> Result<String, Unreadable> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment;
    while let Some((first, tail)) = rest.split_first() {
        let (byte, following) = if *first == b'%' { escape(tail).ok_or(Unreadable)? } else { (*first, tail) };
        bytes.push(byte);
        rest = following;
    }
    String::from_utf8(bytes).map_err(|_| Unreadable)
}

/// Google's custom methods follow a colon (<https://google.aip.dev/136>): `gemini-2.5-flash:generateContent`.
fn without_verb(model: String) -> String {
    model.split(':').next().unwrap_or_default().to_owned()
}

/// Of a realtime WebSocket: <https://developers.openai.com/api/docs/guides/realtime-websocket>.
fn in_query(target: &[u8]) -> Result<String, Unreadable> {
    let mut values = query::values(target, MODEL);
    match (values.next(), values.next()) {
        (Some(model), None) if !model.is_empty() => String::from_utf8(model).map_err(|_| Unreadable),
        _ => Err(Unreadable),
    }
}

/// Whether the body can be read: JSON by its type, or without one, and not encoded.
fn may_be_json(head: &Head<'_>) -> bool {
    head.headers.iter().all(|(name, value)| {
        if same_header(name, "content-encoding") {
            value.trim_ascii().eq_ignore_ascii_case(b"identity") || value.trim_ascii().is_empty()
        } else if same_header(name, "content-type") {
            is_json(value)
        } else {
            true
        }
    })
}

/// `application/json` or `…+json`, in UTF-8 (RFC 8259, 8.1).
fn is_json(content_type: &[u8]) -> bool {
    let text = content_type.to_ascii_lowercase();
    let mut parts = text.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let kind = parts.next().unwrap_or_default();
    let json = kind == b"application/json" || kind.ends_with(b"+json") && !kind.contains(&b',');
    json && parts.all(|parameter| {
        !parameter.starts_with(b"charset") || matches!(parameter, b"charset=utf-8" | b"charset=\"utf-8\"")
    })
}

/// The one member `model` of a JSON object. Servers that read member names in any case (Go's `encoding/json`) must find
/// no other.
fn in_body(bytes: &[u8]) -> Result<String, Unreadable> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let model = json.deserialize_map(ModelOf).map_err(|_| Unreadable)?;
    json.end().map_err(|_| Unreadable)?;
    model.filter(|model| !model.is_empty()).ok_or(Unreadable)
}

struct ModelOf;

impl<'de> Visitor<'de> for ModelOf {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one member `model`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<String>()? {
            if !name.eq_ignore_ascii_case(MODEL) {
                members.next_value::<IgnoredAny>()?;
            } else if name != MODEL || found.is_some() {
                return Err(serde::de::Error::custom(Unreadable));
            } else {
                found = Some(members.next_value()?);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(source: ModelSource, head: &Head<'_>, body: Body<'_>) -> String {
        match of(source, head, body) {
            Model::Named(model) => model,
            Model::Unreadable => "unreadable".to_owned(),
            Model::InBody => "in the body".to_owned(),
        }
    }

    fn at(path: &str) -> Head<'_> {
        Head { method: b"POST", path: path.as_bytes(), ..Head::default() }
    }

    #[test]
    fn a_model_in_the_path_is_found_where_its_provider_puts_it() {
        use ModelSource::{Azure, Bedrock, Body as InBody, Google};
        for (source, path, model) in [
            (Google, "/v1beta/models/gemini-2.5-flash:generateContent", "gemini-2.5-flash"),
            (Google, "/v1beta/models/gemini-2.5-flash%3AgenerateContent?key=x", "gemini-2.5-flash"),
            (
                Google,
                "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
                "gemini-2.5-pro",
            ),
            (Google, "/v1beta/tunedModels/mine:generateContent", "mine"),
            (Google, "/v1beta/models", "in the body"),
            (Google, "/v1beta/models/", "in the body"),
            (Google, "/v1beta/openai/chat/completions", "in the body"),
            (Google, "/v1beta/models/a/models/b:generateContent", "unreadable"),
            (Google, "/v1beta/models/%ff:generateContent", "unreadable"),
            (Azure, "/openai/deployments/gpt-4o/chat/completions?api-version=1", "gpt-4o"),
            (Azure, "/openai/v1/responses", "in the body"),
            (Bedrock, "/model/anthropic.claude-v2%3A1/invoke", "anthropic.claude-v2:1"),
            (Bedrock, "/model/anthropic.claude-v2:1/converse-stream", "anthropic.claude-v2:1"),
            (Bedrock, "/model/arn%3Aaws%3Abedrock%3Aa%2Fb/invoke", "arn:aws:bedrock:a/b"),
            (Bedrock, "/async-invoke", "unreadable"),
            (Bedrock, "/model/%zz/invoke", "unreadable"),
            (InBody, "/v1/models/gpt-5", "in the body"),
        ] {
            assert_eq!(read(source, &at(path), Body::Unread), model, "{source:?} {path}");
        }
    }

    #[test]
    fn a_model_in_the_body_is_the_one_member_of_that_name() {
        for (body, model) in [
            (r#"{"model":"gpt-5"}"#, "gpt-5"),
            (r#" {"a":{"model":"b"},"model":"gpt-5","c":[{"model":1}]} "#, "gpt-5"),
            (r#"{"mod\u0065l":"gpt-5"}"#, "gpt-5"),
            (r#"{"model":"gpt-5","model":"gpt-5"}"#, "unreadable"),
            (r#"{"model":"gpt-5","mod\u0065l":"other"}"#, "unreadable"),
            (r#"{"model":"gpt-5","Model":"other"}"#, "unreadable"),
            (r#"{"MODEL":"gpt-5"}"#, "unreadable"),
            (r#"{"model":["gpt-5"]}"#, "unreadable"),
            (r#"{"model":null}"#, "unreadable"),
            (r#"{"model":""}"#, "unreadable"),
            (r#"{"models":"gpt-5"}"#, "unreadable"),
            (r#"{"model":"gpt-5"}{}"#, "unreadable"),
            (r#"{"model":"gpt-5""#, "unreadable"),
            (r#"["model","gpt-5"]"#, "unreadable"),
            ("\u{feff}{\"model\":\"gpt-5\"}", "unreadable"),
            ("model=gpt-5", "unreadable"),
            ("", "unreadable"),
        ] {
            let got = read(ModelSource::Body, &at("/v1/responses"), Body::Whole(body.as_bytes()));
            assert_eq!(got, model, "{body}");
        }
    }

    #[test]
    fn a_body_that_is_no_plain_json_is_not_waited_for() {
        for (name, value, expected) in [
            ("content-type", "application/json", "in the body"),
            ("content-type", "application/json; charset=UTF-8", "in the body"),
            ("content-type", "application/vnd.api+json", "in the body"),
            ("content-type", "application/json; charset=utf-16", "unreadable"),
            ("content-type", "multipart/form-data; boundary=x", "unreadable"),
            ("Content_Type", "text/plain", "unreadable"),
            ("content-encoding", "identity", "in the body"),
            ("content-encoding", "gzip", "unreadable"),
            ("content-encoding", "identity, gzip", "unreadable"),
        ] {
            let head = Head { headers: vec![(name.as_bytes(), value.as_bytes())], ..at("/v1/responses") };
            assert_eq!(read(ModelSource::Body, &head, Body::Unread), expected, "{name}: {value}");
        }
    }

    #[test]
    fn an_upgrade_names_its_model_in_the_query_and_other_requests_without_a_body_name_none() {
        let upgrade = [(&b"upgrade"[..], &b"websocket"[..])];
        for (path, upgraded, model) in [
            ("/v1/realtime?model=gpt-realtime", true, "gpt-realtime"),
            ("/v1/realtime?m%6fdel=gpt-realtime&a", true, "gpt-realtime"),
            ("/v1/realtime?model=a&model=b", true, "unreadable"),
            ("/v1/realtime?model=a;model=b", true, "unreadable"),
            ("/v1/realtime?model=", true, "unreadable"),
            ("/v1/responses", true, "unreadable"),
            ("/v1/models?model=gpt-5", false, "unreadable"),
        ] {
            let headers = if upgraded { upgrade.to_vec() } else { Vec::new() };
            let head = Head { headers, ..at(path) };
            assert_eq!(read(ModelSource::Body, &head, Body::None), model, "{path}");
        }
    }
}
