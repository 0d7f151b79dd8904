//! The record as a span of OpenTelemetry, with what was seen of the bodies.

mod attributes;

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use self::attributes::Attributes;
use super::Record;
use super::headers::{clean, cut};
use super::line::{Line, Texts};
use crate::bodies::Shown;
use crate::genai;
use crate::outbox::LARGEST;
use crate::protobuf::Message;
use crate::trace::Trace;
use crate::usage::{Asked, Unknown, Usage};

/// The longest that a name or value of a span's may be, in bytes.
const LONGEST: usize = 8 << 10;

/// The parent's flags say that it came from elsewhere (`SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`,
/// `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK` of OTLP's `trace.proto`).
const IS_REMOTE: u32 = 0x300;

/// The events with headers, and how the names of their attributes begin.
const REQUEST_HEADERS: (&str, &str) = ("http.request.headers", "http.request.header.");
const RESPONSE_HEADERS: (&str, &str) = ("http.response.headers", "http.response.header.");

/// Fields of OTLP's `trace.proto`.
mod field {
    pub(super) const TRACE_ID: u32 = 1;
    pub(super) const SPAN_ID: u32 = 2;
    pub(super) const TRACE_STATE: u32 = 3;
    pub(super) const PARENT_SPAN_ID: u32 = 4;
    pub(super) const NAME: u32 = 5;
    pub(super) const KIND: u32 = 6;
    pub(super) const STARTED: u32 = 7;
    pub(super) const ENDED: u32 = 8;
    pub(super) const ATTRIBUTES: u32 = 9;
    pub(super) const EVENTS: u32 = 11;
    pub(super) const DROPPED_EVENTS: u32 = 12;
    pub(super) const STATUS: u32 = 15;
    pub(super) const FLAGS: u32 = 16;

    pub(super) const EVENT_TIME: u32 = 1;
    pub(super) const EVENT_NAME: u32 = 2;
    pub(super) const EVENT_ATTRIBUTES: u32 = 3;

    pub(super) const STATUS_MESSAGE: u32 = 2;
    pub(super) const STATUS_CODE: u32 = 3;
}

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
    /// The span of this request in this trace, encoded. Where it is larger than [`LARGEST`], what is shown of bodies is left out, and
    /// how much is said.
    #[must_use]
    pub fn span(&self, line: &Line<'_>, trace: &Trace, observed: Observed) -> Vec<u8> {
        let (started, ended) = (nanoseconds(observed.started), nanoseconds(observed.ended));
        let operation = genai::operation(line.path.as_bytes());
        let asked = genai::asked(&line.path, observed.asked);
        let asked = Asked { model: asked.model.map(|model| self.told(&model)), ..asked };
        let name = match (operation, &asked.model) {
            (Some(operation), Some(model)) => format!("{operation} {model}"),
            (Some(operation), None) => operation.to_owned(),
            (None, _) => format!("{} {}", line.method, line.host),
        };
        let mut span = Message::default();
        span.bytes(field::TRACE_ID, &trace.trace_id);
        span.bytes(field::SPAN_ID, &trace.span_id);
        span.text(field::TRACE_STATE, &self.told(&trace.state));
        if let Some(parent) = &trace.parent {
            span.bytes(field::PARENT_SPAN_ID, parent);
        }
        let remote = if trace.parent.is_some() { IS_REMOTE } else { 0 };
        span.fixed32(field::FLAGS, u32::from(trace.flags) | remote);
        span.text(field::NAME, &name);
        span.number(field::KIND, SpanKind::Server as u64);
        span.fixed64(field::STARTED, started);
        span.fixed64(field::ENDED, ended);
        // <https://opentelemetry.io/docs/specs/semconv/http/http-spans/#status>
        if line.status.is_some_and(|status| status >= 500) {
            span.message(field::STATUS, |status| {
                status.text(field::STATUS_MESSAGE, line.reason.unwrap_or_default());
                status.number(field::STATUS_CODE, StatusCode::Error as u64);
            });
        }
        let mut attributes = Attributes { of: &mut span, field: field::ATTRIBUTES };
        attributes.of_http(line);
        attributes.of_genai(line, operation, &asked);
        match observed.usage {
            Some(Ok(usage)) => {
                let model = usage.model.as_ref().map(|model| self.told(model));
                attributes.of_usage(&Usage { model, ..usage });
            }
            Some(Err(unknown)) => attributes.text("keyward.usage.unknown", unknown.as_str()),
            None => {}
        }
        attributes.of_decision(line);
        let (removed, set) = self.changed();
        attributes.texts("keyward.request.headers_removed", &removed);
        attributes.texts("keyward.request.headers_set", &set);
        attributes.number("clrk.req.bytes", observed.request_bytes);
        attributes.number("clrk.resp.bytes", observed.response_bytes);
        put_headers(&mut span, REQUEST_HEADERS, started, &line.request_headers);
        put_headers(&mut span, RESPONSE_HEADERS, ended, &line.response_headers);
        let bodies =
            [("http.request.body", observed.request_body), ("http.response.body", observed.response_body)];
        self.put_bodies(&mut span, ended, bodies);
        span.into_bytes()
    }

    /// A text of the agent's or the provider's as it may be shown.
    fn told(&self, text: &str) -> String {
        let mut text = clean(text.as_bytes(), &self.scrubber);
        cut(&mut text, LONGEST);
        text.into_owned()
    }

    /// What is shown of bodies is the last thing in a span, so that it can be taken back.
    fn put_bodies(&self, span: &mut Message, time: u64, bodies: [(&str, Option<Shown>); 2]) {
        let (without, mut events) = (span.len(), 0);
        for (event, shown) in bodies {
            let Some(shown) = shown else { continue };
            events += 1;
            put_event(span, event, time, |mut attributes| {
                attributes.number("clrk.body.bytes", Some(shown.bytes()));
                attributes.flag("clrk.body.truncated", shown.is_truncated());
                if let Some(encoding) = shown.encoding() {
                    attributes.text("clrk.body.content_encoding", &self.told(encoding));
                }
                attributes.text("clrk.body.b64", &BASE64_STANDARD.encode(shown.text(&self.scrubber)));
            });
        }
        if span.len() > LARGEST {
            span.truncate(without);
            span.number(field::DROPPED_EVENTS, events);
        }
    }
}

/// An event with headers as its attributes. Values of one name are one list, as the conventions want it.
fn put_headers(span: &mut Message, (event, prefix): (&str, &str), time: u64, headers: &Texts<'_>) {
    let mut sorted: Vec<_> = headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    put_event(span, event, time, |mut attributes| {
        for same in sorted.chunk_by(|(one, _), (other, _)| one == other) {
            let name = same.first().map(|(name, _)| name.as_str()).unwrap_or_default();
            attributes.texts(&[prefix, name].concat(), same.iter().map(|(_, value)| *value));
        }
    });
}

fn put_event(span: &mut Message, name: &str, time: u64, write: impl FnOnce(Attributes<'_>)) {
    span.message(field::EVENTS, |event| {
        event.fixed64(field::EVENT_TIME, time);
        event.text(field::EVENT_NAME, name);
        write(Attributes { of: event, field: field::EVENT_ATTRIBUTES });
    });
}

/// Nanoseconds since the Unix epoch; they fit until the year 2554.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
