//! A record as it is serialized, borrowed from what it is written from.

use std::borrow::Cow;

use serde::Serialize;

use super::headers::{self, clean, cut};
use super::{MAX_BYTES, Record, exchange_quotes};
use crate::authority::Authority;
use crate::decide::{Head, Plan};
use crate::denial::Reason;
use crate::query;
use crate::wire::RecordText;

/// Names with values.
pub(super) type Texts<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// What may stay when a record is too large: the length of each value, and of each header list.
const CUTS: &[(usize, usize)] = &[(256, 64), (64, 24), (32, 8), (32, 0)];

/// Stands for a record that no cut makes small enough (thousands of credentials on one request).
const TOO_LARGE: &[u8] = br#"{"truncated":true}"#;

/// What may be seen of a record.
#[derive(Clone, Serialize)]
pub struct Line<'a> {
    #[serde(skip)]
    written: RecordText,
    pub(super) decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    pub(super) gateway: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) route: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) credentials: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) smuggle_attempt: bool,
    pub(super) method: Cow<'a, str>,
    pub(super) host: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u16>,
    pub(super) path: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) query: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output_tokens: Option<u64>,
    pub(super) request_headers: Texts<'a>,
    pub(super) response_headers: Texts<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) truncated: bool,
}

impl<'a> Line<'a> {
    pub(super) fn of(record: &'a Record) -> Self {
        let head = Head::of(&record.request);
        let plan = record.verdict.as_ref().ok();
        // The path and query with which the request went upstream, if it did.
        let target = plan.and_then(Plan::path).unwrap_or(head.path);
        let (scrubber, places) = (&record.scrubber, record.places());
        let decided = record.decided();
        let cost = record.cost.as_ref();
        let authority = Authority::parse_or(head.authority, record.default_port).ok();
        let path = target.split(|b| *b == b'?').next().unwrap_or(target);
        Line {
            written: record.text,
            decision: decided.decision.as_str(),
            reason: decided.reason.map(Reason::as_str),
            gateway: Cow::Borrowed(&record.gateway),
            route: decided.route.map(Cow::Borrowed),
            credentials: plan.iter().flat_map(|plan| &plan.credentials).map(|c| c.id().into()).collect(),
            smuggle_attempt: decided.smuggled,
            method: clean(head.method, scrubber),
            port: authority.as_ref().map(|known| known.port),
            host: authority.map_or_else(|| clean(head.authority, scrubber), |known| Cow::Owned(known.host)),
            path: clean(path, scrubber),
            query: query::redact(target, |name| headers::is_secret_parameter(name, places))
                .map(|query| Cow::Owned(clean(&query, scrubber).into_owned())),
            status: status(record),
            model: cost.and_then(|cost| Some(clean(cost.model.as_ref()?.as_bytes(), scrubber))),
            input_tokens: cost.and_then(|cost| cost.input),
            output_tokens: cost.and_then(|cost| cost.output),
            request_headers: headers::request(&head, plan, places, scrubber),
            response_headers: headers::response(&record.response, places, scrubber),
            truncated: false,
        }
    }

    /// As its configuration wants it written.
    #[must_use]
    pub fn to_text(&self) -> Vec<u8> {
        let mut text = self.to_json();
        if self.written == RecordText::Exchanged {
            exchange_quotes(&mut text);
        }
        text
    }

    /// As JSON, cut until it fits into [`MAX_BYTES`].
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let whole = std::iter::once_with(|| self.serialized());
        let cut = CUTS.iter().map(|(value, list)| self.cut(*value, *list).serialized());
        whole.chain(cut).find(|json| json.len() <= MAX_BYTES).unwrap_or_else(|| TOO_LARGE.into())
    }

    fn serialized(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(MAX_BYTES / 2);
        // A struct of texts and numbers always serializes.
        serde_json::to_writer(&mut json, self).map_or_else(|_| TOO_LARGE.into(), |()| json)
    }

    /// With values of at most `value` bytes, and header lists of at most `list` entries.
    fn cut(&self, value: usize, list: usize) -> Line<'a> {
        let mut line = self.clone();
        let texts = [&mut line.gateway, &mut line.method, &mut line.host, &mut line.path];
        let texts = texts
            .into_iter()
            .chain(&mut line.route)
            .chain(&mut line.query)
            .chain(&mut line.model)
            .chain(&mut line.credentials);
        let mut truncated = false;
        texts.for_each(|text| truncated |= cut(text, value));
        for headers in [&mut line.request_headers, &mut line.response_headers] {
            truncated |= headers.len() > list;
            headers.truncate(list);
            for (name, text) in headers {
                truncated |= cut(name, value) | cut(text, value);
            }
        }
        line.truncated |= truncated;
        line
    }
}

/// Of the answer, or of the refusal.
fn status(record: &Record) -> Option<u16> {
    if let Some(reason) = record.withheld {
        return Some(reason.coarse().status());
    }
    let answer = record.response.first(":status");
    let answer = answer.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    answer.or_else(|| Some(record.verdict.as_ref().err()?.status()))
}
