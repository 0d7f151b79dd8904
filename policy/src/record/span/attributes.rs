//! Attributes of a span or of an event, as OTLP's `common.proto` has them.

use std::borrow::Cow;

use super::LONGEST;
use crate::genai;
use crate::protobuf::Message;
use crate::record::line::Line;
use crate::usage::{Asked, Usage};

/// Fields of OTLP's `common.proto`: of `KeyValue`, of `AnyValue`, of `ArrayValue`.
const KEY: u32 = 1;
const VALUE: u32 = 2;
const TEXT: u32 = 1;
const FLAG: u32 = 2;
const NUMBER: u32 = 3;
const LIST: u32 = 5;
const VALUES: u32 = 1;

/// Writes attributes into a span, or an event, which has them in this field.
pub(super) struct Attributes<'a> {
    pub(super) of: &'a mut Message,
    pub(super) field: u32,
}

impl Attributes<'_> {
    fn put(&mut self, key: &str, write: impl FnOnce(&mut Message)) {
        self.of.message(self.field, |attribute| {
            attribute.text(KEY, key);
            attribute.message(VALUE, write);
        });
    }

    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.put(key, |value| value.text(TEXT, text));
    }

    pub(super) fn flag(&mut self, key: &str, flag: bool) {
        self.put(key, |value| value.number(FLAG, flag.into()));
    }

    pub(super) fn number(&mut self, key: &str, number: Option<u64>) {
        if let Some(number) = number {
            // Of type `int64`.
            self.put(key, |value| value.number(NUMBER, number.min(i64::MAX.unsigned_abs())));
        }
    }

    /// A list of texts, each cut where it is too long; nothing where there are none.
    pub(super) fn texts<'t>(&mut self, key: &str, texts: impl IntoIterator<Item = &'t Cow<'t, str>>) {
        let mut texts = texts.into_iter().peekable();
        if texts.peek().is_none() {
            return;
        }
        self.put(key, |value| {
            value.message(LIST, |list| {
                texts.for_each(|text| list.message(VALUES, |value| value.text(TEXT, cut_short(text))));
            });
        });
    }

    /// <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>
    pub(super) fn of_http(&mut self, line: &Line<'_>) {
        self.text("http.request.method", &line.method);
        self.text("server.address", &line.host);
        self.number("server.port", line.port.map(u64::from));
        self.text("url.scheme", "https");
        self.text("url.path", &line.path);
        if let Some(query) = &line.query {
            self.text("url.query", query);
        }
        self.number("http.response.status_code", line.status.map(u64::from));
    }

    /// <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>
    pub(super) fn of_genai(&mut self, line: &Line<'_>, operation: Option<&'static str>, asked: &Asked) {
        if let Some(provider) = genai::provider_name(&line.host) {
            self.text("gen_ai.provider.name", provider);
            // What it was called until version 1.37 of the conventions.
            self.text("gen_ai.system", provider);
        }
        if let Some(operation) = operation {
            self.text("gen_ai.operation.name", operation);
        }
        if let Some(model) = &asked.model {
            self.text("gen_ai.request.model", model);
        }
        if asked.stream {
            self.flag("gen_ai.request.stream", true);
        }
    }

    /// The same page.
    pub(super) fn of_usage(&mut self, usage: &Usage) {
        if let Some(model) = &usage.model {
            self.text("gen_ai.response.model", model);
        }
        self.number("gen_ai.usage.input_tokens", usage.input);
        self.number("gen_ai.usage.output_tokens", usage.output);
        self.number("gen_ai.usage.cache_read.input_tokens", usage.cache_read);
        self.number("gen_ai.usage.cache_creation.input_tokens", usage.cache_write);
        self.number("gen_ai.usage.reasoning.output_tokens", usage.reasoning);
    }

    pub(super) fn of_decision(&mut self, line: &Line<'_>) {
        let route = line.route.as_deref().and_then(|route| route.split_once('/'));
        self.flag("clrk.aiproviderroute.matched", route.is_some());
        if let Some((namespace, name)) = route {
            self.text("clrk.aiproviderroute.namespace", namespace);
            self.text("clrk.aiproviderroute.name", name);
        }
        self.text("keyward.gateway", &line.gateway);
        self.text("keyward.decision", line.decision);
        if let Some(reason) = line.reason {
            self.text("keyward.reason", reason);
        }
        self.texts("keyward.credential", &line.credentials);
        self.flag("keyward.smuggle_attempt", line.smuggle_attempt);
    }
}

fn cut_short(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default()
}
