//! Access log entries in words: one readable line each, and a remedy where the client is what is wrong.

use policy::record::exchange_quotes;
use serde_json::Value;

use crate::terminal::{Line, Tone};

/// An entry of Envoy's access log.
pub(super) struct Entry(Value);

impl Entry {
    /// Reads a line of Envoy's standard output; `None` where it is not an access log entry. The filter's record,
    /// which the log holds as text, becomes part of the entry.
    pub(super) fn parse(line: &str) -> Option<Entry> {
        let mut value: Value = serde_json::from_str(line).ok()?;
        value.get("log")?;
        if let Some(record) = value.get("record").and_then(Value::as_str) {
            value["record"] = read_record(record).unwrap_or(Value::Null);
        }
        Some(Entry(value))
    }

    /// Whether it is the end of a tunnel that was opened.
    pub(super) fn ends_connect(&self) -> bool {
        self.text("log") == "proxy" && self.text("method") == "CONNECT" && self.number("status") == 200
    }

    /// Whether it is a tunnel into the interception chain, which has entries of its own for what it carried.
    pub(super) fn is_handed_on(&self) -> bool {
        self.text("log") == "tunnel" && self.text("chain").starts_with("intercept")
    }

    /// Whether it is the end of a tunnel whose own entry, about what it carried, may still come.
    pub(super) fn ends_inspected(&self) -> bool {
        self.ends_connect() && self.text("upstream").contains("tunnel")
    }

    /// The line for a tunnel that ended without a request ([`super::peers`]).
    pub(super) fn silent_end(&self, ca: &str) -> Line {
        let hint = remedy("the client hung up after the TLS handshake; perhaps it", ca);
        let target = if self.ends_connect() { self.text("authority") } else { self.target() };
        Line::new(Tone::Refused, format!("{} {target} no request: {hint}", self.time()))
    }

    /// The entry with a `hint` where there is one, for `--json`.
    pub(super) fn into_json(self, ca: &str, hint: Option<String>) -> Value {
        let hint = hint.or_else(|| self.hint(ca));
        let mut value = self.0;
        if let Some(hint) = hint {
            value["hint"] = hint.into();
        }
        value
    }

    /// One line for people; `None` for what no one needs to see (a tunnel whose requests have lines of their own).
    pub(super) fn line(&self, ca: &str) -> Option<Line> {
        match self.text("log") {
            "request" => Some(self.request()),
            "proxy" if self.text("method") == "CONNECT" => self.refused_connect(),
            "proxy" => Some(self.request()),
            "handshake" => self.failed_handshake(ca),
            "tunnel" | "transparent" => self.connection(),
            _ => None,
        }
    }

    pub(super) fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or("-")
    }

    pub(super) fn number(&self, field: &str) -> u64 {
        self.0.get(field).and_then(Value::as_u64).unwrap_or(0)
    }

    fn record(&self, field: &str) -> &str {
        self.0.get("record").and_then(|record| record.get(field)).and_then(Value::as_str).unwrap_or("-")
    }

    fn time(&self) -> &str {
        self.text("start").get(11..19).unwrap_or("--:--:--")
    }

    fn request(&self) -> Line {
        let (decision, reason) = match self.record("decision") {
            "-" => ("refused", self.text("reason")),
            decision => (decision, self.record("reason")),
        };
        let (time, method, host, path) =
            (self.time(), self.text("method"), self.text("authority"), self.text("path"));
        let (status, duration) = (self.number("status"), self.number("duration_ms"));
        let credential = self.0["record"]["credentials"]
            .as_array()
            .map(|ids| ids.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","));
        let detail = credential.filter(|ids| !ids.is_empty()).unwrap_or_else(|| reason.to_owned());
        // An answer that Envoy gave in the provider's place, after the filter had done its part.
        let forwarded = ["injected", "signed", "passed"].contains(&decision);
        let refusal = match self.text("reason") {
            "-" => String::new(),
            reason if detail == reason || !forwarded => String::new(),
            reason => format!(" refused {reason}"),
        };
        let tone = match (decision, status) {
            _ if !forwarded || !refusal.is_empty() => Tone::Refused,
            // Nobody waited for the answer.
            (_, 0 | 400..) => Tone::Failed,
            ("passed", _) => Tone::Passed,
            _ => Tone::Injected,
        };
        let tokens = self.tokens();
        let text = format!(
            "{time} {status} {method} {host}{path} {decision} {detail}{refusal}{tokens} {duration} ms"
        );
        Line::new(tone, text)
    }

    /// The model, and tokens of prompt and answer.
    fn tokens(&self) -> String {
        let count = |field: &str| self.0["record"][field].as_u64();
        match (count("input_tokens"), count("output_tokens")) {
            (None, None) => String::new(),
            (input, output) => {
                let (input, output) = (input.unwrap_or_default(), output.unwrap_or_default());
                format!(" {} {input}+{output} tokens", self.record("model"))
            }
        }
    }

    fn refused_connect(&self) -> Option<Line> {
        let status = self.number("status");
        (status >= 400).then(|| {
            let (time, authority, reason) = (self.time(), self.text("authority"), self.text("reason"));
            Line::new(Tone::Refused, format!("{time} {status} CONNECT {authority} refused {reason}"))
        })
    }

    /// A connection that no request line speaks of: it passed untouched, or was closed.
    fn connection(&self) -> Option<Line> {
        let withdrawn = self.text("closed").contains("filter_chain_is_being_removed");
        let unreached =
            ["UH", "UF", "DF"].iter().any(|flag| self.text("flags").split(',').any(|it| it == *flag));
        let what = match (self.text("chain"), self.text("termination")) {
            _ if withdrawn => "closed: it is no longer allowed",
            (chain, "-") if chain.contains("passthrough") && unreached => {
                "closed: the host could not be reached, or its address is private (allowedPrivateNetworks)"
            }
            (chain, "-") if chain.contains("passthrough") => "passed untouched",
            (chain, details) if chain.contains("passthrough") && details.contains("private-address") => {
                "closed: its address is private (allowedPrivateNetworks)"
            }
            (chain, _) if chain.contains("passthrough") => {
                "closed: the server name is not that of the target"
            }
            ("denied", _) => "closed: an EgressDenyPolicy denies it",
            ("-" | "refused", _) if self.carries_something_else() => {
                "closed: what it carries is not what a route allows there (not TLS, or no HTTP inside)"
            }
            ("-" | "refused", _) => "closed: this gateway takes no connection with this server name",
            _ => return None,
        };
        let tone = if what.starts_with("closed") { Tone::Refused } else { Tone::Passed };
        let text = format!("{} {} {what}, {} ms", self.time(), self.target(), self.number("duration_ms"));
        Some(Line::new(tone, text))
    }

    /// The host and port that a connection was to, or the name that it gave.
    fn target(&self) -> &str {
        match self.text("target") {
            "-" => self.text("sni"),
            target => target,
        }
    }

    /// Whether a tunnel names its target, or nothing, inside: then it was not refused for a name.
    fn carries_something_else(&self) -> bool {
        let host = self.text("target").rsplit_once(':').map_or("-", |(host, _)| host);
        host != "-" && (self.text("sni") == "-" || self.text("sni").eq_ignore_ascii_case(host))
    }

    fn failed_handshake(&self, ca: &str) -> Option<Line> {
        let failure = self.text("tls_failure");
        (failure != "-").then(|| {
            let hint = self.hint(ca).unwrap_or_else(|| failure.to_owned());
            let text = format!("{} {} TLS handshake failed: {hint}", self.time(), self.text("sni"));
            Line::new(Tone::Refused, text)
        })
    }

    fn hint(&self, ca: &str) -> Option<String> {
        // The alert itself, or, where a client sends it in the clear after keys were agreed, what reading it fails with.
        let alerts = ["UNKNOWN_CA", "CERTIFICATE_UNKNOWN", "BAD_CERTIFICATE", "BAD_PACKET_LENGTH"];
        let failure = self.text("tls_failure");
        alerts.iter().any(|alert| failure.contains(alert)).then(|| remedy("the client", ca))
    }
}

/// Filters that have a configuration exchange the quotes ([`policy::wire::RecordText`]); one that has none does not.
fn read_record(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().or_else(|| {
        let mut exchanged = text.as_bytes().to_vec();
        exchange_quotes(&mut exchanged);
        serde_json::from_slice(&exchanged).ok()
    })
}

fn remedy(who: &str, ca: &str) -> String {
    format!(
        "{who} does not trust this gateway's CA; give it {ca}: SSL_CERT_FILE (Python, OpenSSL, Go), \
         NODE_EXTRA_CA_CERTS (Node), REQUESTS_CA_BUNDLE (requests), CURL_CA_BUNDLE (curl)"
    )
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
