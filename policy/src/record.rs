//! The record of one request: what was decided and why, with everything secret taken out.
//!
//! One compact JSON object of at most [`MAX_BYTES`], which Envoy's access log prints. The request in it is the one that
//! went upstream. Values are redacted by name and by value; there is no switch that turns this off.

mod headers;

use serde::Serialize;

use crate::decide::{Decision, Edit, Facts, Head, Plan, Smuggle};
use crate::denial::{Denial, Reason};
use crate::query;
use crate::rules::RuleSet;
use crate::scrub::Scrubber;
use headers::{clean, clean_all, cut, injected, query_names};

/// The size of a record at most, in bytes.
pub const MAX_BYTES: usize = 4096;

/// What may stay when a record is too large: the length of each value, and of each header list.
const CUTS: &[(usize, usize)] = &[(256, 64), (64, 24), (32, 8), (32, 0)];

/// The record of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    gateway: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    credentials: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    smuggle_attempt: bool,
    method: String,
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    request_headers: Vec<(String, String)>,
    response_headers: Vec<(String, String)>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    /// Names that were injected: nothing under them is shown in the response either.
    #[serde(skip)]
    secret_headers: Vec<String>,
}

impl Record {
    /// The record of a request that is forwarded.
    #[must_use]
    pub fn forwarded(
        rules: &RuleSet,
        facts: &Facts<'_>,
        head: &Head<'_>,
        plan: &Plan,
        scrubber: &Scrubber,
    ) -> Self {
        let sent = injected(head, plan);
        let mut record = Record::of_head(rules.gateway(), facts, &sent, &plan.secret_query, scrubber);
        record.decision = plan.decision.as_str();
        record.reason = plan.reason.map(Reason::as_str);
        record.route.clone_from(&plan.route);
        record.credentials = plan.credentials.iter().map(|credential| credential.id().to_owned()).collect();
        record.smuggle_attempt = plan.smuggle == Smuggle::Attempted;
        record.secret_headers =
            plan.credentials.iter().map(|credential| credential.header().to_owned()).collect();
        let set = plan.edits.iter().filter_map(|edit| match edit {
            Edit::SetHeader { name, .. } => Some((name.clone(), query::REDACTED.to_owned())),
            Edit::RemoveHeader(_) | Edit::SetPath(_) => None,
        });
        record.request_headers.extend(set);
        record
    }

    /// The record of a request that is refused; `gateway` is empty where there is no configuration.
    #[must_use]
    pub fn refused(
        gateway: &str,
        facts: &Facts<'_>,
        head: &Head<'_>,
        denial: &Denial,
        scrubber: &Scrubber,
    ) -> Self {
        let mut record = Record::of_head(gateway, facts, head, &[], scrubber);
        record.reason = Some(denial.reason.as_str());
        record.route.clone_from(&denial.route);
        record.status = Some(denial.status());
        record
    }

    fn of_head(
        gateway: &str,
        facts: &Facts<'_>,
        head: &Head<'_>,
        secret_query: &[String],
        scrubber: &Scrubber,
    ) -> Self {
        let authority = crate::decide::authority_for_record(facts, head);
        let path = head.path.split(|b| *b == b'?').next().unwrap_or(head.path);
        Record {
            decision: Decision::Denied.as_str(),
            reason: None,
            gateway: gateway.to_owned(),
            route: None,
            credentials: Vec::new(),
            smuggle_attempt: false,
            method: clean(head.method, scrubber),
            host: authority
                .as_ref()
                .map_or_else(|| clean(head.authority, scrubber), |known| known.host.clone()),
            port: authority.map(|known| known.port),
            path: clean(path, scrubber),
            query: query::redact(head.path, &query_names(secret_query)).map(|query| clean(&query, scrubber)),
            status: None,
            request_headers: clean_all(&head.headers, &[], scrubber),
            response_headers: Vec::new(),
            truncated: false,
            secret_headers: Vec::new(),
        }
    }

    /// Adds the response's head, `:status` included.
    pub fn answered(&mut self, headers: &[(&[u8], &[u8])], scrubber: &Scrubber) {
        let status = headers.iter().find(|(name, _)| *name == b":status").map(|(_, value)| *value);
        self.status = status.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()).or(self.status);
        let secret: Vec<_> = self.secret_headers.iter().map(String::as_str).collect();
        self.response_headers = clean_all(headers, &secret, scrubber);
    }

    /// The record as JSON, cut until it fits into [`MAX_BYTES`].
    #[must_use]
    pub fn to_json(&self) -> String {
        let whole = std::iter::once_with(|| json(self));
        let cut = CUTS.iter().map(|(value, list)| json(&self.cut(*value, *list)));
        whole.chain(cut).find(|json| json.len() <= MAX_BYTES).unwrap_or_else(|| TOO_LARGE.to_owned())
    }

    fn cut(&self, value: usize, list: usize) -> Record {
        let mut record = self.clone();
        let texts = [&mut record.gateway, &mut record.method, &mut record.host, &mut record.path];
        let texts = texts
            .into_iter()
            .chain(&mut record.route)
            .chain(&mut record.query)
            .chain(&mut record.credentials);
        let mut truncated = false;
        texts.for_each(|text| truncated |= cut(text, value));
        for headers in [&mut record.request_headers, &mut record.response_headers] {
            truncated |= headers.len() > list;
            headers.truncate(list);
            for (name, text) in headers {
                truncated |= cut(name, value) | cut(text, value);
            }
        }
        record.truncated |= truncated;
        record
    }
}

fn json(record: &Record) -> String {
    // A struct of texts and numbers always serializes.
    serde_json::to_string(record).unwrap_or_else(|_| TOO_LARGE.to_owned())
}

/// Stands for a record that no cut makes small enough (thousands of credentials on one request).
const TOO_LARGE: &str = r#"{"truncated":true}"#;

#[cfg(test)]
mod tests;
