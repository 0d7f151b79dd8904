//! Names of the metrics that the filter counts among Envoy's statistics, and how labels stand in them.
//!
//! A statistic of Envoy's has a name and nothing else, so labels are written into it: `NAME|LABEL=VALUE|…`. Envoy takes
//! them out again where its bootstrap says how (`stats_tags`, with [`label_pattern`]), and shows Prometheus labels.
//! No label holds anything that an agent or a provider chooses.

/// Requests that are over, by route, decision and reason.
pub const REQUESTS: &str = "keyward_requests_total";

/// Of these, requests in which the agent sent a credential of its own, by route.
pub const SMUGGLE_ATTEMPTS: &str = "keyward_smuggle_attempts_total";

/// Tokens, by route and type.
pub const TOKENS: &str = "keyward_tokens_total";

/// How long signatures took, in microseconds.
pub const SIGNING: &str = "keyward_signing_microseconds";

/// Spans that a collector took (`sent`), did not take (`refused`), or that found no room (`dropped`), by outcome.
pub const EXPORT_SPANS: &str = "keyward_export_spans_total";

/// Attempts to send spans that failed.
pub const EXPORT_FAILURES: &str = "keyward_export_failures_total";

/// Every label of them.
pub const LABELS: [&str; 5] = ["decision", "outcome", "reason", "route", "type"];

/// The name of a metric with these labels.
#[must_use]
pub fn name(metric: &str, labels: &[(&str, &str)]) -> String {
    // Room for the usual one: this is done for each request.
    let mut name = String::with_capacity(128);
    name.push_str(metric);
    for (label, value) in labels {
        name.extend(["|", label, "=", value]);
    }
    name
}

/// The regular expression of `stats_tags` for a label: what is taken out of the name, and in it the value.
#[must_use]
pub fn label_pattern(label: &str) -> String {
    format!(r"(\|{label}=([^|]*))")
}
