//! What happened on the way, counted from the entries of the access log, to be said at the end.

use std::collections::BTreeMap;

use serde_json::Value;

/// Hosts that are named of those that passed untouched; the rest is counted.
const NAMED: usize = 8;

/// Hosts that are told apart, and models. Agents choose their names, and providers those of models.
const HOSTS: usize = 1000;
const MODELS: usize = 100;

/// What became of a request or a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was forwarded, and this is what the filter did: injected, signed, passed.
    Forwarded(String),
    /// It was not, for this reason.
    Denied(String),
    /// The connection passed as it was.
    Untouched,
    /// The client broke the handshake off.
    Distrusted,
}

/// Reads an entry: the host and what became of it. `None` for what other entries speak of.
fn outcome(entry: &Value) -> Option<(String, Outcome)> {
    let text = |field: &str| entry.get(field).and_then(Value::as_str).filter(|text| *text != "-");
    let host = |field: &str| without_port(text(field).unwrap_or("-")).to_owned();
    let refused = || Outcome::Denied(text("reason").unwrap_or("refused").to_owned());
    match text("log")? {
        "proxy" if text("method") == Some("CONNECT") => {
            let status = entry.get("status").and_then(Value::as_u64).unwrap_or(0);
            (status >= 400).then(|| (host("authority"), refused()))
        }
        "request" | "proxy" => {
            let record = |field: &str| entry.get("record")?.get(field)?.as_str();
            let outcome = match (record("decision"), text("reason")) {
                (None, _) => refused(),
                // Envoy answered in the provider's place after the filter had done its part.
                (Some("injected" | "signed" | "passed"), Some(reason))
                    if Some(reason) != record("reason") =>
                {
                    Outcome::Denied(reason.to_owned())
                }
                (Some(decision @ ("injected" | "signed" | "passed")), _) => {
                    Outcome::Forwarded(decision.to_owned())
                }
                (Some(decision), reason) => {
                    Outcome::Denied(record("reason").or(reason).unwrap_or(decision).to_owned())
                }
            };
            Some((host("authority"), outcome))
        }
        "handshake" => text("tls_failure").map(|_| (host("sni"), Outcome::Distrusted)),
        "tunnel" | "transparent" => {
            let named = if text("target").is_some() { host("target") } else { host("sni") };
            let closed = || Outcome::Denied("server_name".to_owned());
            match (text("chain"), text("termination")) {
                (Some(chain), None) if chain.contains("passthrough") => Some((named, Outcome::Untouched)),
                (Some(chain), Some(_)) if chain.contains("passthrough") => Some((named, closed())),
                (None | Some("refused"), _) => Some((named, closed())),
                _ => None,
            }
        }
        _ => None,
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port == "443" || port == "80" => host,
        _ => authority,
    }
}

/// Counts by host.
#[derive(Default)]
pub(crate) struct Summary {
    hosts: BTreeMap<String, Host>,
    untouched: BTreeMap<String, u64>,
    models: BTreeMap<String, Tokens>,
}

/// What requests to one model cost.
#[derive(Default)]
struct Tokens {
    requests: u64,
    input: u64,
    output: u64,
}

#[derive(Default)]
struct Host {
    forwarded: BTreeMap<String, u64>,
    denied: BTreeMap<String, u64>,
    distrusted: u64,
}

impl Summary {
    /// Counts what an entry speaks of, and says it.
    pub(crate) fn count(&mut self, entry: &Value) -> Option<(String, Outcome)> {
        self.add_tokens(entry);
        let (host, outcome) = outcome(entry)?;
        self.add(&host, outcome.clone());
        Some((host, outcome))
    }

    fn add(&mut self, host: &str, outcome: Outcome) {
        let count = match outcome {
            Outcome::Untouched => named(&mut self.untouched, host, HOSTS, "other hosts"),
            Outcome::Forwarded(decision) => self.host(host).forwarded.entry(decision).or_default(),
            Outcome::Denied(reason) => self.host(host).denied.entry(reason).or_default(),
            Outcome::Distrusted => &mut self.host(host).distrusted,
        };
        *count += 1;
    }

    /// Counts what an entry says of tokens.
    fn add_tokens(&mut self, entry: &Value) {
        let count = |field: &str| entry.get("record")?.get(field)?.as_u64();
        let (input, output) = (count("input_tokens"), count("output_tokens"));
        if input.or(output).is_none() {
            return;
        }
        let model = entry["record"]["model"].as_str().unwrap_or("unknown model");
        let tokens = named(&mut self.models, model, MODELS, "other models");
        tokens.requests += 1;
        tokens.input = tokens.input.saturating_add(input.unwrap_or_default());
        tokens.output = tokens.output.saturating_add(output.unwrap_or_default());
    }

    fn host(&mut self, name: &str) -> &mut Host {
        named(&mut self.hosts, name, HOSTS, "other hosts")
    }

    /// One line for each host, for each model, and one for what passed untouched. None where nothing happened.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.hosts.iter().map(|(name, host)| host.line(name)).collect();
        lines.extend(self.models.iter().map(|(model, tokens)| tokens.line(model)));
        if !self.untouched.is_empty() {
            lines.push(self.untouched_line());
        }
        lines
    }

    fn untouched_line(&self) -> String {
        let mut hosts: Vec<_> = self.untouched.iter().collect();
        hosts.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
        let total: u64 = self.untouched.values().sum();
        let named: Vec<_> = hosts.iter().take(NAMED).map(|(name, count)| format!("{name} {count}")).collect();
        let more = match hosts.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} hosts more"),
        };
        format!("{total} {} passed untouched: {}{more}", plural(total, "connection"), named.join(", "))
    }
}

/// What is counted under this name, or under `others` where too many have names already.
fn named<'a, T: Default>(
    counts: &'a mut BTreeMap<String, T>,
    name: &str,
    most: usize,
    others: &str,
) -> &'a mut T {
    let is_told_apart = counts.contains_key(name) || counts.len() < most;
    counts.entry(if is_told_apart { name } else { others }.to_owned()).or_default()
}

impl Host {
    fn line(&self, name: &str) -> String {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(self.forwarded.iter().map(|(decision, count)| format!("{count} {decision}")));
        let denied: u64 = self.denied.values().sum();
        if denied > 0 {
            let reasons: Vec<_> =
                self.denied.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            parts.push(format!("{denied} denied ({})", reasons.join(", ")));
        }
        if self.distrusted > 0 {
            parts.push(format!("{} broken off by a client that does not trust the CA", self.distrusted));
        }
        format!("{name}: {}", parts.join(", "))
    }
}

impl Tokens {
    fn line(&self, model: &str) -> String {
        let Tokens { requests, input, output } = self;
        format!("{model}: {requests} {}, {input} tokens in, {output} out", plural(*requests, "request"))
    }
}

fn plural(count: u64, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(entry: &Value, host: &str, expected: Outcome) {
        assert_eq!(outcome(entry), Some((host.to_owned(), expected)), "{entry}");
    }

    #[test]
    fn each_entry_says_what_became_of_it() {
        let forwarded = |what: &str| Outcome::Forwarded(what.to_owned());
        let denied = |why: &str| Outcome::Denied(why.to_owned());
        let request = |decision: &str, reason: &str, envoy: Option<&str>| {
            json!({"log": "request", "authority": "a.test:443", "reason": envoy,
                   "record": {"decision": decision, "reason": reason}})
        };
        check(&request("injected", "matched", None), "a.test", forwarded("injected"));
        check(&request("passed", "no_route", Some("-")), "a.test", forwarded("passed"));
        check(&request("signed", "matched", Some("upstream_refused")), "a.test", denied("upstream_refused"));
        check(&request("denied", "endpoint", None), "a.test", denied("endpoint"));
        let without = json!({"log": "request", "authority": "a.test", "reason": "no_filter", "record": null});
        check(&without, "a.test", denied("no_filter"));
        let connect = json!({"log": "proxy", "method": "CONNECT", "authority": "a.test:8443", "status": 403,
                             "reason": "denied_by_policy"});
        check(&connect, "a.test:8443", denied("denied_by_policy"));
        let handshake = json!({"log": "handshake", "sni": "a.test", "tls_failure": "UNKNOWN_CA"});
        check(&handshake, "a.test", Outcome::Distrusted);
        let tunnel = |chain: Option<&str>, termination: Option<&str>| json!({"log": "tunnel", "target": "a.test:443", "chain": chain, "termination": termination});
        check(&tunnel(Some("passthrough"), None), "a.test", Outcome::Untouched);
        check(&tunnel(Some("passthrough"), Some("rbac")), "a.test", denied("server_name"));
        check(&tunnel(None, None), "a.test", denied("server_name"));
    }

    #[test]
    fn what_other_entries_speak_of_is_not_counted() {
        for entry in [
            json!({"log": "proxy", "method": "CONNECT", "authority": "a.test:443", "status": 200}),
            json!({"log": "tunnel", "target": "a.test:443", "chain": "intercept"}),
            json!({"log": "handshake", "sni": "a.test", "tls_failure": null}),
            json!({"event": "x"}),
        ] {
            assert_eq!(outcome(&entry), None, "{entry}");
        }
    }

    #[test]
    fn tokens_are_counted_by_model_and_few_models_are_told_apart() {
        let mut summary = Summary::default();
        let entry = |record: Value| json!({"log": "request", "record": record});
        summary.add_tokens(&entry(json!({"decision": "injected", "model": "claude-test"})));
        for _ in 0..2 {
            let record = json!({"model": "claude-test", "input_tokens": 12, "output_tokens": 6});
            summary.add_tokens(&entry(record));
        }
        summary.add_tokens(&entry(json!({"output_tokens": u64::MAX})));
        summary.add_tokens(&entry(json!({"output_tokens": u64::MAX})));
        summary.add_tokens(&json!({"log": "request", "record": null}));
        let lines = summary.lines();
        assert_eq!(lines[0], "claude-test: 2 requests, 24 tokens in, 12 out");
        assert_eq!(lines[1], format!("unknown model: 2 requests, 0 tokens in, {} out", u64::MAX));
        for number in 0..200 {
            summary.add_tokens(&entry(json!({"model": format!("m{number}"), "input_tokens": 1})));
        }
        assert_eq!(summary.lines().len(), MODELS + 1);
        assert!(summary.lines().contains(&"other models: 102 requests, 102 tokens in, 0 out".to_owned()));
    }

    #[test]
    fn few_hosts_are_told_apart() {
        let mut summary = Summary::default();
        for number in 0..HOSTS + 7 {
            summary.add(&format!("h{number}.test"), Outcome::Forwarded("passed".to_owned()));
            summary.add(&format!("h{number}.test"), Outcome::Untouched);
        }
        assert_eq!(summary.lines().len(), HOSTS + 2);
        assert!(summary.lines().contains(&"other hosts: 7 passed".to_owned()));
        assert_eq!(summary.untouched.len(), HOSTS + 1);
    }

    #[test]
    fn the_lines_count_by_host_and_nothing_gives_none() {
        let mut summary = Summary::default();
        assert!(summary.lines().is_empty());
        summary.add("b.test", Outcome::Denied("endpoint".to_owned()));
        for _ in 0..2 {
            summary.add("b.test", Outcome::Forwarded("injected".to_owned()));
            summary.add("a.test", Outcome::Distrusted);
        }
        for host in ["h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8", "h9", "h9"] {
            summary.add(host, Outcome::Untouched);
        }
        assert_eq!(
            summary.lines(),
            [
                "a.test: 2 broken off by a client that does not trust the CA",
                "b.test: 2 injected, 1 denied (endpoint 1)",
                "10 connections passed untouched: h9 2, h1 1, h2 1, h3 1, h4 1, h5 1, h6 1, h7 1 and 1 hosts more",
            ]
        );
    }
}
