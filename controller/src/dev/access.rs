//! Access log entries in words: one readable line each, and a remedy where the client is what is wrong.

use policy::record::exchange_quotes;
use serde_json::Value;

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
    pub(super) fn silent_end(&self, ca: &str) -> String {
        let hint = remedy("the client hung up after the TLS handshake; perhaps it", ca);
        let target = if self.ends_connect() { self.text("authority") } else { self.target() };
        format!("{} {target} no request: {hint}", self.time())
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
    pub(super) fn line(&self, ca: &str) -> Option<String> {
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

    fn request(&self) -> String {
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
        let refusal = match self.text("reason") {
            "-" => String::new(),
            reason if detail == reason || !["injected", "signed", "passed"].contains(&decision) => {
                String::new()
            }
            reason => format!(" refused {reason}"),
        };
        let tokens = self.tokens();
        format!("{time} {status} {method} {host}{path} {decision} {detail}{refusal}{tokens} {duration} ms")
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

    fn refused_connect(&self) -> Option<String> {
        let status = self.number("status");
        (status >= 400).then(|| {
            format!(
                "{} {status} CONNECT {} refused {}",
                self.time(),
                self.text("authority"),
                self.text("reason")
            )
        })
    }

    /// A connection that no request line speaks of: it passed untouched, or was closed.
    fn connection(&self) -> Option<String> {
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
        Some(format!("{} {} {what}, {} ms", self.time(), self.target(), self.number("duration_ms")))
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

    fn failed_handshake(&self, ca: &str) -> Option<String> {
        let failure = self.text("tls_failure");
        (failure != "-").then(|| {
            let hint = self.hint(ca).unwrap_or_else(|| failure.to_owned());
            format!("{} {} TLS handshake failed: {hint}", self.time(), self.text("sni"))
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
mod tests {
    use super::*;

    fn check(entry: &str, expected: Option<&str>) {
        let entry = Entry::parse(entry).expect("an entry");
        assert_eq!(entry.line("/ca.crt").as_deref(), expected);
    }

    #[test]
    fn a_request_is_one_line_with_its_decision() {
        let record =
            r#"{\"decision\":\"injected\",\"reason\":\"matched\",\"credentials\":[\"default/anthropic\"]}"#;
        check(
            &format!(
                r#"{{"log":"request","start":"2026-11-24T10:33:01.123Z","method":"POST","authority":"api.anthropic.com",
                "path":"/v1/messages","status":200,"duration_ms":132,"record":"{record}"}}"#
            ),
            Some("10:33:01 200 POST api.anthropic.com/v1/messages injected default/anthropic 132 ms"),
        );
    }

    #[test]
    fn what_a_request_cost_stands_in_its_line() {
        let line = |cost: &str| {
            let record = format!("{{'decision':'injected','credentials':['default/anthropic']{cost}}}");
            let entry = format!(
                r#"{{"log":"request","start":"2026-11-24T10:33:01.123Z","method":"POST","authority":"a.test","path":"/v1",
                "status":200,"duration_ms":7,"record":"{record}"}}"#
            );
            Entry::parse(&entry).and_then(|entry| entry.line("/ca.crt"))
        };
        for (cost, shown) in [
            ("", ""),
            (",'model':'claude-test'", ""),
            (",'model':'claude-test','input_tokens':12,'output_tokens':6", " claude-test 12+6 tokens"),
            (",'output_tokens':6", " - 0+6 tokens"),
        ] {
            let expected = format!("10:33:01 200 POST a.test/v1 injected default/anthropic{shown} 7 ms");
            assert_eq!(line(cost), Some(expected));
        }
    }

    #[test]
    fn a_request_that_envoy_refused_itself_says_so() {
        check(
            r#"{"log":"request","start":"2026-11-24T10:33:01.123Z","method":"GET","authority":"a.test","path":"/",
            "status":503,"duration_ms":2,"record":null,"reason":"upstream_refused"}"#,
            Some("10:33:01 503 GET a.test/ refused upstream_refused 2 ms"),
        );
    }

    #[test]
    fn a_refused_connect_is_shown_and_an_accepted_one_is_not() {
        check(
            r#"{"log":"proxy","start":"2026-11-24T10:33:01.123Z","method":"CONNECT","authority":"a.test:443",
            "status":403,"reason":"denied_by_policy"}"#,
            Some("10:33:01 403 CONNECT a.test:443 refused denied_by_policy"),
        );
        check(r#"{"log":"proxy","method":"CONNECT","authority":"a.test:443","status":200}"#, None);
    }

    #[test]
    fn a_request_that_the_provider_could_not_be_given_says_so() {
        let record = "{'decision':'injected','credentials':['default/anthropic']}";
        check(
            &format!(
                r#"{{"log":"request","start":"2026-11-24T10:33:01.123Z","method":"POST","authority":"a.test","path":"/v1",
                "status":503,"duration_ms":1,"reason":"upstream_refused","record":"{record}"}}"#
            ),
            Some("10:33:01 503 POST a.test/v1 injected default/anthropic refused upstream_refused 1 ms"),
        );
    }

    #[test]
    fn a_connection_that_is_not_intercepted_says_what_became_of_it() {
        let line = |chain: &str, termination: &str| {
            format!(
                r#"{{"log":"tunnel","start":"2026-11-24T10:33:01.123Z","target":"a.test:443","sni":"b.test",
                "chain":{chain},"termination":{termination},"duration_ms":5}}"#
            )
        };
        check(&line(r#""passthrough""#, "null"), Some("10:33:01 a.test:443 passed untouched, 5 ms"));
        check(
            &line(r#""alias-passthrough/a.test""#, r#""rbac_access_denied""#),
            Some("10:33:01 a.test:443 closed: the server name is not that of the target, 5 ms"),
        );
        let refused =
            "10:33:01 a.test:443 closed: this gateway takes no connection with this server name, 5 ms";
        check(&line(r#""refused""#, "null"), Some(refused));
        check(&line("null", "null"), Some(refused));
        check(&line(r#""intercept""#, "null"), None);
        check(
            &line(
                r#""passthrough/a.test/12345678""#,
                r#""rbac_access_denied_matched_policy[private-address]""#,
            ),
            Some("10:33:01 a.test:443 closed: its address is private (allowedPrivateNetworks), 5 ms"),
        );
        check(
            &line(r#""denied""#, "null"),
            Some("10:33:01 a.test:443 closed: an EgressDenyPolicy denies it, 5 ms"),
        );
        let with = |text: &str, more: &str| {
            text.replace(r#""duration_ms":5"#, &format!(r#""duration_ms":5,{more}"#))
        };
        for chain in [r#""passthrough/a.test/12345678""#, r#""intercept-allowed/a.test/12345678""#] {
            check(
                &with(&line(chain, "null"), r#""closed":"filter_chain_is_being_removed""#),
                Some("10:33:01 a.test:443 closed: it is no longer allowed, 5 ms"),
            );
        }
        check(
            &with(&line(r#""passthrough""#, "null"), r#""flags":"UH""#),
            Some(
                "10:33:01 a.test:443 closed: the host could not be reached, or its address is private \
                 (allowedPrivateNetworks), 5 ms",
            ),
        );
        let carries = "10:33:01 a.test:443 closed: what it carries is not what a route allows there (not TLS, or no HTTP \
                       inside), 5 ms";
        for sni in [r#""a.test""#, "null"] {
            check(&line(r#""refused""#, "null").replace(r#""b.test""#, sni), Some(carries));
        }
    }

    #[test]
    fn a_client_that_does_not_trust_the_ca_is_told_what_to_do() {
        let entry = r#"{"log":"handshake","start":"2026-11-24T10:33:01.123Z","sni":"api.anthropic.com",
            "tls_failure":"TLS_error:|268436504:SSL routines:OPENSSL_internal:TLSV1_ALERT_UNKNOWN_CA:TLS_error_end"}"#;
        let entry = Entry::parse(entry).expect("an entry");
        let line = entry.line("/state/ca.crt").expect("a line");
        assert!(
            line.contains("does not trust")
                && line.contains("SSL_CERT_FILE")
                && line.contains("/state/ca.crt")
        );
        assert!(entry.into_json("/state/ca.crt", None)["hint"].is_string());
    }

    #[test]
    fn other_output_is_not_an_entry() {
        assert!(Entry::parse("[info] starting").is_none());
        assert!(Entry::parse("{\"x\":1}").is_none());
    }
}
