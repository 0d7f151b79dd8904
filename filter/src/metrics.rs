//! What is counted, among Envoy's statistics.

use std::collections::BTreeMap;

use policy::record::Record;
use policy::usage::{Unknown, Usage};
use policy::{metric, outbox};

use crate::host::{self, MetricKind};

/// Names that a VM counts under at most. Routes come and go; what does not fit is counted for no route in particular.
const MOST: usize = 2_000;

/// Stands for a route where there is none, or too many.
const NONE: &str = "none";

/// The metrics that this VM knows, by name; `None`: the host does not count it, and is not asked again.
#[derive(Default)]
pub(crate) struct Metrics {
    numbers: BTreeMap<String, Option<u32>>,
}

impl Metrics {
    /// Counts a request that is over.
    pub(crate) fn request(&mut self, record: &Record) {
        let decided = record.decided();
        let route = self.route(decided.route);
        let (decision, reason) =
            (decided.decision.as_str(), decided.reason.map_or(NONE, |reason| reason.as_str()));
        self.count(
            metric::name(metric::REQUESTS, &[("route", route), ("decision", decision), ("reason", reason)]),
            1,
        );
        if decided.smuggled {
            self.count(metric::name(metric::SMUGGLE_ATTEMPTS, &[("route", route)]), 1);
        }
    }

    /// Counts what an answer cost.
    pub(crate) fn usage(&mut self, record: &Record, usage: &Result<Usage, Unknown>) {
        let Ok(usage) = usage else { return };
        let route = self.route(record.decided().route);
        for (kind, tokens) in [("input", usage.input), ("output", usage.output)] {
            if let Some(tokens) = tokens.filter(|tokens| *tokens > 0) {
                self.count(metric::name(metric::TOKENS, &[("route", route), ("type", kind)]), tokens);
            }
        }
    }

    /// Counts what became of spans.
    pub(crate) fn export(&mut self, counts: outbox::Counts) {
        let outbox::Counts { sent, dropped, refused, failures } = counts;
        for (outcome, spans) in [("sent", sent), ("dropped", dropped), ("refused", refused)] {
            if spans > 0 {
                self.count(metric::name(metric::EXPORT_SPANS, &[("outcome", outcome)]), spans);
            }
        }
        if failures > 0 {
            self.count(metric::EXPORT_FAILURES.to_owned(), failures);
        }
    }

    /// Notes how long a signature took.
    pub(crate) fn signing(&mut self, microseconds: u64) {
        if let Some(number) = self.number(metric::SIGNING.to_owned(), MetricKind::Histogram) {
            host::record_metric(number, microseconds);
        }
    }

    fn route<'a>(&self, route: Option<&'a str>) -> &'a str {
        route.filter(|_| self.numbers.len() < MOST).unwrap_or(NONE)
    }

    fn count(&mut self, name: String, by: u64) {
        if let Some(number) = self.number(name, MetricKind::Counter) {
            host::increment_metric(number, i64::try_from(by).unwrap_or(i64::MAX));
        }
    }

    fn number(&mut self, name: String, kind: MetricKind) -> Option<u32> {
        *self.numbers.entry(name).or_insert_with_key(|name| host::define_metric(kind, name))
    }
}
