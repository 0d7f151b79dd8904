//! The record as a span of OpenTelemetry, with what was seen of the bodies.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use super::Record;
use super::headers::{self, clean, cut};
use super::line::{Line, Texts};
use crate::bodies::Shown;
use crate::decide::{Head, Plan};
use crate::genai;
use crate::trace::Trace;
use crate::usage::{Asked, Unknown, Usage};

/// The longest that a name or value of a span's may be, in bytes.
const LONGEST: usize = 8 << 10;

/// The parent's flags say that it came from elsewhere (`SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`,
/// `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK` of OTLP's `trace.proto`).
const IS_REMOTE: u32 = 0x300;

/// What is known of a request besides its record.
pub struct Observed {
    /// When its head arrived, since the Unix epoch.
    pub started: Duration,
    /// When it ended.
    pub ended: Duration,
    /// Bytes that the agent sent, as far as they are known.
    pub request_bytes: Option<u64>,
    /// Bytes that it got.
    pub response_bytes: Option<u64>,
    /// What its body asks for.
    pub asked: Asked,
    /// What the answer cost; `None`: it is of no kind that says so.
    pub usage: Option<Result<Usage, Unknown>>,
    /// What is shown of its body.
    pub request_body: Option<Shown>,
    /// What is shown of the answer's.
    pub response_body: Option<Shown>,
}

impl Record {
    /// The span of this request, in this trace. What is shown of bodies is the last thing in it, so that it can be left out.
    #[must_use]
    pub fn span(&self, trace: Trace, observed: Observed) -> Span {
        let Observed { started, ended, request_bytes, response_bytes, asked, usage, .. } = observed;
        let head = Head::of(&self.request);
        let plan = self.verdict.as_ref().ok();
        let path = plan.and_then(Plan::path).unwrap_or(head.path);
        let line = Line::of(self, plan, &head, path);
        let operation = genai::operation(line.path.as_bytes());
        let asked = genai::asked(&line.path, asked);
        let asked = Asked { model: asked.model.map(|model| self.told(&model)), ..asked };
        let name = match (operation, &asked.model) {
            (Some(operation), Some(model)) => format!("{operation} {model}"),
            (Some(operation), None) => operation.to_owned(),
            (None, _) => format!("{} {}", line.method, line.host),
        };
        let mut attributes = Attributes::default();
        attributes.of_http(&line);
        attributes.of_genai(&line, operation, &asked);
        match usage {
            Some(Ok(usage)) => {
                let usage = Usage { model: usage.model.map(|model| self.told(&model)), ..usage };
                attributes.of_usage(usage);
            }
            Some(Err(unknown)) => attributes.text("keyward.usage.unknown", unknown.as_str()),
            None => {}
        }
        attributes.of_decision(&line);
        let (removed, set) = headers::changed(&head, plan, &self.scrubber);
        attributes.names("keyward.request.headers_removed", removed);
        attributes.names("keyward.request.headers_set", set);
        attributes.number("clrk.req.bytes", request_bytes);
        attributes.number("clrk.resp.bytes", response_bytes);
        let (started, ended) = (nanoseconds(started), nanoseconds(ended));
        let bodies =
            [("http.request.body", observed.request_body), ("http.response.body", observed.response_body)];
        let bodies = bodies.into_iter().filter_map(|(event, shown)| Some(self.body(event, shown?, ended)));
        let mut events = vec![
            header_event("http.request.headers", "http.request.header.", line.request_headers, started),
            header_event("http.response.headers", "http.response.header.", line.response_headers, ended),
        ];
        events.extend(bodies);
        Span {
            trace_id: trace.trace_id.to_vec(),
            span_id: trace.span_id.to_vec(),
            trace_state: self.told(&trace.state),
            parent_span_id: trace.parent.map(|id| id.to_vec()).unwrap_or_default(),
            flags: u32::from(trace.flags) | if trace.parent.is_some() { IS_REMOTE } else { 0 },
            name,
            kind: SpanKind::Server.into(),
            start_time_unix_nano: started,
            end_time_unix_nano: ended,
            attributes: attributes.0,
            dropped_attributes_count: 0,
            events,
            dropped_events_count: 0,
            links: Vec::new(),
            dropped_links_count: 0,
            // <https://opentelemetry.io/docs/specs/semconv/http/http-spans/#status>
            status: line.status.filter(|status| *status >= 500).map(|_| Status {
                message: line.reason.unwrap_or_default().to_owned(),
                code: StatusCode::Error.into(),
            }),
        }
    }

    /// A text of the agent's or the provider's as it may be shown.
    fn told(&self, text: &str) -> String {
        let mut text = clean(text.as_bytes(), &self.scrubber);
        cut(&mut text, LONGEST);
        text.into_owned()
    }

    fn body(&self, event: &str, shown: Shown, time_unix_nano: u64) -> Event {
        let mut attributes = Attributes::default();
        attributes.number("clrk.body.bytes", Some(shown.bytes()));
        attributes.put("clrk.body.truncated", Value::BoolValue(shown.is_truncated()));
        if let Some(encoding) = shown.encoding() {
            attributes.text("clrk.body.content_encoding", self.told(encoding));
        }
        attributes.text("clrk.body.b64", BASE64_STANDARD.encode(shown.text(&self.scrubber)));
        let attributes = attributes.0;
        Event { time_unix_nano, name: event.to_owned(), attributes, dropped_attributes_count: 0 }
    }
}

/// Leaves out what is shown of bodies, and says that it is missing.
pub fn leave_out_bodies(span: &mut Span) {
    let before = span.events.len();
    span.events.retain(|event| !event.name.ends_with(".body"));
    span.dropped_events_count = u32::try_from(before - span.events.len()).unwrap_or(u32::MAX);
}

/// An event with headers as its attributes. Values of one name are one list, as the conventions want it.
fn header_event(event: &str, prefix: &str, headers: Texts<'_>, time_unix_nano: u64) -> Event {
    let mut values: BTreeMap<String, Vec<AnyValue>> = BTreeMap::new();
    for (name, mut value) in headers {
        cut(&mut value, LONGEST);
        values.entry(format!("{prefix}{}", name.to_ascii_lowercase())).or_default().push(text(value));
    }
    let mut attributes = Attributes::default();
    for (key, values) in values {
        attributes.put(&key, Value::ArrayValue(ArrayValue { values }));
    }
    let attributes = attributes.0;
    Event { time_unix_nano, name: event.to_owned(), attributes, dropped_attributes_count: 0 }
}

/// Nanoseconds since the Unix epoch; they fit until the year 2554.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn text(text: impl Into<String>) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(text.into())) }
}

fn number(number: u64) -> Value {
    Value::IntValue(i64::try_from(number).unwrap_or(i64::MAX))
}

#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn put(&mut self, key: &str, value: Value) {
        let value = Some(AnyValue { value: Some(value) });
        self.0.push(KeyValue { key: key.to_owned(), value, ..KeyValue::default() });
    }

    fn text(&mut self, key: &str, value: impl Into<String>) {
        self.put(key, Value::StringValue(value.into()));
    }

    fn names(&mut self, key: &str, names: Vec<Cow<'_, str>>) {
        if !names.is_empty() {
            let cut_short = |mut name: Cow<'_, str>| {
                cut(&mut name, LONGEST);
                text(name)
            };
            let values = names.into_iter().map(cut_short).collect();
            self.put(key, Value::ArrayValue(ArrayValue { values }));
        }
    }

    fn number(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.put(key, number(value));
        }
    }

    /// <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>
    fn of_http(&mut self, line: &Line<'_>) {
        self.text("http.request.method", &*line.method);
        self.text("server.address", &*line.host);
        self.number("server.port", line.port.map(u64::from));
        self.text("url.scheme", "https");
        self.text("url.path", &*line.path);
        if let Some(query) = &line.query {
            self.text("url.query", &**query);
        }
        self.number("http.response.status_code", line.status.map(u64::from));
    }

    /// <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>
    fn of_genai(&mut self, line: &Line<'_>, operation: Option<&'static str>, asked: &Asked) {
        if let Some(provider) = genai::provider_name(&line.host) {
            self.text("gen_ai.provider.name", provider);
            // What it was called until version 1.37 of the conventions.
            self.text("gen_ai.system", provider);
        }
        if let Some(operation) = operation {
            self.text("gen_ai.operation.name", operation);
        }
        if let Some(model) = &asked.model {
            self.text("gen_ai.request.model", &**model);
        }
        if asked.stream {
            self.put("gen_ai.request.stream", Value::BoolValue(true));
        }
    }

    /// The same page.
    fn of_usage(&mut self, usage: Usage) {
        if let Some(model) = usage.model {
            self.text("gen_ai.response.model", model);
        }
        self.number("gen_ai.usage.input_tokens", usage.input);
        self.number("gen_ai.usage.output_tokens", usage.output);
        self.number("gen_ai.usage.cache_read.input_tokens", usage.cache_read);
        self.number("gen_ai.usage.cache_creation.input_tokens", usage.cache_write);
        self.number("gen_ai.usage.reasoning.output_tokens", usage.reasoning);
    }

    fn of_decision(&mut self, line: &Line<'_>) {
        let route = line.route.as_deref().and_then(|route| route.split_once('/'));
        self.put("clrk.aiproviderroute.matched", Value::BoolValue(route.is_some()));
        if let Some((namespace, name)) = route {
            self.text("clrk.aiproviderroute.namespace", namespace);
            self.text("clrk.aiproviderroute.name", name);
        }
        self.text("keyward.gateway", &*line.gateway);
        self.text("keyward.decision", line.decision);
        if let Some(reason) = line.reason {
            self.text("keyward.reason", reason);
        }
        if !line.credentials.is_empty() {
            let values = line.credentials.iter().map(|id| text(&**id)).collect();
            self.put("keyward.credential", Value::ArrayValue(ArrayValue { values }));
        }
        self.put("keyward.smuggle_attempt", Value::BoolValue(line.smuggle_attempt));
    }
}
