//! A span to what the page shows of it. Total: what is missing or of another type is left out.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Otlp;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use serde::Serialize;
use serde_json::Value;

/// All that is known of a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Told {
    #[serde(flatten)]
    pub(super) row: Row,
    pub(super) trace_id: String,
    pub(super) span_id: String,
    /// Attributes of the span, by name.
    attributes: Vec<(String, Value)>,
    /// As they went upstream, or as they came where the request was refused.
    request_headers: Vec<(String, String)>,
    response_headers: Vec<(String, String)>,
    /// Names of headers that the agent sent and that went no further.
    headers_removed: Vec<String>,
    /// Names of headers that the gateway set.
    headers_set: Vec<String>,
    request_body: Option<Body>,
    response_body: Option<Body>,
    /// Bodies that a span had no room for.
    bodies_left_out: bool,
}

/// What the list shows of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Row {
    /// Since the Unix epoch.
    started_us: u64,
    duration_us: u64,
    gateway: String,
    method: String,
    host: String,
    pub(super) path: String,
    status: Option<i64>,
    decision: String,
    reason: Option<String>,
    model: Option<String>,
    stream: bool,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    smuggle_attempt: bool,
}

/// What a span shows of a body.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct Body {
    base64: String,
    /// How long it is, decoded.
    bytes: Option<i64>,
    truncated: bool,
    encoding: Option<String>,
}

impl Told {
    pub(super) fn of(span: &Span) -> Told {
        let of = Attributes(&span.attributes);
        let path = of.text("url.path").unwrap_or_default();
        let query = of.text("url.query").map(|query| format!("?{query}")).unwrap_or_default();
        let row = Row {
            started_us: span.start_time_unix_nano / 1_000,
            duration_us: span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano) / 1_000,
            gateway: of.text("keyward.gateway").unwrap_or_default(),
            method: of.text("http.request.method").unwrap_or_default(),
            host: host(&of),
            path: path + &query,
            status: of.number("http.response.status_code"),
            decision: of.text("keyward.decision").unwrap_or_default(),
            reason: of.text("keyward.reason"),
            model: of.text("gen_ai.response.model").or_else(|| of.text("gen_ai.request.model")),
            stream: of.truth("gen_ai.request.stream"),
            input_tokens: of.number("gen_ai.usage.input_tokens"),
            output_tokens: of.number("gen_ai.usage.output_tokens"),
            smuggle_attempt: of.truth("keyward.smuggle_attempt"),
        };
        let event = |name: &str| span.events.iter().find(|event| event.name == name);
        Told {
            row,
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            attributes: span.attributes.iter().map(|it| (it.key.clone(), plain(it.value.as_ref()))).collect(),
            request_headers: headers(event("http.request.headers"), "http.request.header."),
            response_headers: headers(event("http.response.headers"), "http.response.header."),
            headers_removed: of.texts("keyward.request.headers_removed"),
            headers_set: of.texts("keyward.request.headers_set"),
            request_body: event("http.request.body").map(Body::of),
            response_body: event("http.response.body").map(Body::of),
            bodies_left_out: span.dropped_events_count > 0,
        }
    }
}

impl Body {
    fn of(event: &Event) -> Body {
        let of = Attributes(&event.attributes);
        Body {
            base64: of.text("clrk.body.b64").unwrap_or_default(),
            bytes: of.number("clrk.body.bytes"),
            truncated: of.truth("clrk.body.truncated"),
            encoding: of.text("clrk.body.content_encoding"),
        }
    }
}

/// The port of TLS is not said.
fn host(of: &Attributes<'_>) -> String {
    let name = of.text("server.address").unwrap_or_default();
    match of.number("server.port") {
        None | Some(443) => name,
        Some(port) => format!("{name}:{port}"),
    }
}

/// Header lines in the order of the event: a list of values is as many lines.
fn headers(event: Option<&Event>, prefix: &str) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for attribute in event.map(|event| &event.attributes[..]).unwrap_or_default() {
        let Some(name) = attribute.key.strip_prefix(prefix) else { continue };
        match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Otlp::ArrayValue(list)) => {
                lines.extend(list.values.iter().map(|value| (name.to_owned(), shown(value))));
            }
            _ => lines.extend(attribute.value.as_ref().map(|value| (name.to_owned(), shown(value)))),
        }
    }
    lines
}

fn shown(value: &AnyValue) -> String {
    match plain(Some(value)) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

struct Attributes<'a>(&'a [KeyValue]);

impl Attributes<'_> {
    fn value(&self, key: &str) -> Option<&Otlp> {
        let found = self.0.iter().find(|attribute| attribute.key == key)?;
        found.value.as_ref()?.value.as_ref()
    }

    fn text(&self, key: &str) -> Option<String> {
        match self.value(key)? {
            Otlp::StringValue(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> Option<i64> {
        match self.value(key)? {
            Otlp::IntValue(number) => Some(*number),
            _ => None,
        }
    }

    fn truth(&self, key: &str) -> bool {
        matches!(self.value(key), Some(Otlp::BoolValue(true)))
    }

    fn texts(&self, key: &str) -> Vec<String> {
        match self.value(key) {
            Some(Otlp::ArrayValue(list)) => list.values.iter().map(shown).collect(),
            _ => Vec::new(),
        }
    }
}

/// A value as JSON has it. Values inside values are as deep as the decoder lets them be.
fn plain(value: Option<&AnyValue>) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Otlp::StringValue(text)) => text.as_str().into(),
        Some(Otlp::BoolValue(truth)) => (*truth).into(),
        Some(Otlp::IntValue(number)) => (*number).into(),
        Some(Otlp::DoubleValue(number)) => (*number).into(),
        Some(Otlp::BytesValue(bytes)) => BASE64_STANDARD.encode(bytes).into(),
        Some(Otlp::ArrayValue(list)) => list.values.iter().map(|value| plain(Some(value))).collect(),
        Some(Otlp::KvlistValue(list)) => {
            let members = list.values.iter().map(|it| (it.key.clone(), plain(it.value.as_ref())));
            Value::Object(members.collect())
        }
        _ => Value::Null,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::ArrayValue;

    use super::*;

    fn value(value: Otlp) -> Option<AnyValue> {
        Some(AnyValue { value: Some(value) })
    }

    fn text(text: &str) -> Otlp {
        Otlp::StringValue(text.to_owned())
    }

    fn list(texts: &[&str]) -> Otlp {
        Otlp::ArrayValue(ArrayValue { values: texts.iter().filter_map(|it| value(text(it))).collect() })
    }

    fn attributes(of: Vec<(&str, Otlp)>) -> Vec<KeyValue> {
        of.into_iter()
            .map(|(key, it)| KeyValue { key: key.to_owned(), value: value(it), ..KeyValue::default() })
            .collect()
    }

    #[test]
    fn a_span_is_shown_as_a_request() {
        let event =
            |name: &str, of| Event { name: name.to_owned(), attributes: attributes(of), ..Event::default() };
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![0xab; 8],
            start_time_unix_nano: 5_000_000,
            end_time_unix_nano: 9_000_999,
            attributes: attributes(vec![
                ("http.request.method", text("POST")),
                ("server.address", text("api.example")),
                ("server.port", Otlp::IntValue(8443)),
                ("url.path", text("/v1")),
                ("url.query", text("a=1")),
                ("http.response.status_code", Otlp::IntValue(200)),
                ("keyward.decision", text("injected")),
                ("gen_ai.request.model", text("asked")),
                ("gen_ai.response.model", text("answered")),
                ("gen_ai.usage.input_tokens", Otlp::IntValue(12)),
                ("keyward.request.headers_removed", list(&["x-api-key"])),
                ("keyward.request.headers_set", list(&["x-api-key", ":path"])),
            ]),
            events: vec![
                event("http.request.headers", vec![("http.request.header.a", list(&["1", "2"]))]),
                event(
                    "http.response.body",
                    vec![
                        ("clrk.body.bytes", Otlp::IntValue(9)),
                        ("clrk.body.truncated", Otlp::BoolValue(true)),
                        ("clrk.body.b64", text("e30=")),
                    ],
                ),
            ],
            ..Span::default()
        };
        let told = Told::of(&span);
        let row = &told.row;
        assert_eq!((row.started_us, row.duration_us), (5_000, 4_000));
        assert_eq!(
            (row.method.as_str(), row.host.as_str(), row.path.as_str()),
            ("POST", "api.example:8443", "/v1?a=1")
        );
        assert_eq!((row.status, row.model.as_deref()), (Some(200), Some("answered")));
        assert_eq!((row.input_tokens, row.output_tokens, row.reason.as_deref()), (Some(12), None, None));
        assert_eq!(
            (told.headers_removed.len(), told.headers_set.join(" ")),
            (1, "x-api-key :path".to_owned())
        );
        assert_eq!(
            told.request_headers,
            [("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())]
        );
        let body = told.response_body.expect("a body");
        assert_eq!((body.base64.as_str(), body.bytes, body.truncated), ("e30=", Some(9), true));
        assert!(told.request_body.is_none() && !told.bodies_left_out);
        assert_eq!((told.trace_id.len(), told.span_id.as_str()), (32, "abababababababab"));
    }

    #[test]
    fn a_span_of_anything_is_shown_as_far_as_it_goes() {
        let span = Span {
            start_time_unix_nano: u64::MAX,
            attributes: attributes(vec![
                ("http.response.status_code", text("200")),
                ("keyward.decision", Otlp::DoubleValue(f64::NAN)),
                ("keyward.request.headers_set", text("x")),
                ("a", Otlp::BytesValue(vec![0xff])),
            ]),
            events: vec![Event { name: "http.request.headers".to_owned(), ..Event::default() }],
            ..Span::default()
        };
        let told = Told::of(&span);
        assert_eq!((told.row.duration_us, told.row.status, told.row.decision.as_str()), (0, None, ""));
        assert!(serde_json::to_string(&told).is_ok());
        assert_eq!(Told::of(&Span::default()).row, Row::default());
    }
}
