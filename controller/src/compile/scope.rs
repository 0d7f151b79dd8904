//! The content of an AIProviderRoute: which hosts, endpoints and methods each match speaks of, or why it is refused.

use std::collections::BTreeSet;

use policy::api::ai_provider_route::{Match, Rule, Spec};
use policy::glob::Glob;
use policy::host::HostPattern;
use policy::provider::Provider;
use policy::wire::{ModelSource, Models};

use super::support::{self, Support};
use super::verdict::Refusal;

/// The requests that one match covers. Endpoints and methods that are absent mean any path and the default methods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) provider: Provider,
    pub(super) hosts: BTreeSet<HostPattern>,
    pub(super) endpoints: Option<Vec<String>>,
    pub(super) methods: Option<Vec<String>>,
    pub(super) models: Option<Models>,
}

/// What a route's content comes to. A refused route still has scopes: what it speaks of is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) scopes: Vec<Scope>,
    pub(super) verdict: Result<(), Refusal>,
}

/// Reads a route.
pub(super) fn content(spec: &Spec) -> Content {
    let mut reading = Reading::default();
    if spec.rules.is_empty() {
        reading.faults.push("spec.rules is empty: the route names no host".to_owned());
    }
    for (index, rule) in spec.rules.iter().enumerate() {
        reading.rule(rule, &format!("spec.rules[{index}]"));
    }
    let unsupported = Refusal::unsupported(&reading.unsupported);
    let invalid =
        (!reading.faults.is_empty()).then(|| Refusal::new("UnsupportedValue", reading.faults.join("; ")));
    Content { scopes: reading.scopes, verdict: unsupported.or(invalid).map_or(Ok(()), Err) }
}

#[derive(Default)]
struct Reading {
    scopes: Vec<Scope>,
    faults: Vec<String>,
    unsupported: Vec<String>,
}

impl Reading {
    fn rule(&mut self, rule: &Rule, field: &str) {
        self.unsupported.extend(support::used(support::ROUTE_RULE, Support::Refused, rule, field));
        if rule.matches.is_empty() {
            self.faults.push(format!("{field}.matches is empty: the rule names no host"));
        }
        for (index, one) in rule.matches.iter().enumerate() {
            self.one(one, &format!("{field}.matches[{index}]"));
        }
    }

    fn one(&mut self, one: &Match, field: &str) {
        let provider = Provider::parse(&one.provider);
        if provider.is_none() {
            let known = Provider::ALL.map(Provider::as_str).join(", ");
            self.faults.push(format!("{field}.provider: unknown; write one of {known}"));
        }
        // A host under an unknown provider is still a host that the route means to hold.
        let provider = provider.unwrap_or(Provider::Custom);
        let hosts = self.hosts(one, provider, field);
        let endpoints = self.list(&one.endpoints, field, "endpoints", endpoint_fault);
        let methods = self.list(&one.methods, field, "methods", method_fault);
        let globs = self.list(&one.models, field, "models", model_fault);
        let models = globs.map(|globs| Models { source: model_source(provider), globs });
        if !hosts.is_empty() {
            self.scopes.push(Scope { provider, hosts, endpoints, methods, models });
        }
    }

    fn hosts(&mut self, one: &Match, provider: Provider, field: &str) -> BTreeSet<HostPattern> {
        let known: Vec<HostPattern> =
            provider.hosts().iter().filter_map(|host| HostPattern::parse(host).ok()).collect();
        if one.hosts.is_empty() {
            if known.is_empty() {
                self.faults.push(format!("{field}.hosts: the provider custom needs hosts"));
            }
            return known.into_iter().collect();
        }
        let mut hosts = BTreeSet::new();
        for (index, host) in one.hosts.iter().enumerate() {
            match host_pattern(host) {
                Err(why) => self.faults.push(format!("{field}.hosts[{index}]: {why}")),
                Ok(pattern) => {
                    // A pattern's `*` counts as a character, which only another `*` takes.
                    if !known.is_empty() && !known.iter().any(|known| known.matches(pattern.as_str())) {
                        self.faults.push(format!(
                            "{field}.hosts[{index}]: {pattern} is no host of {}; use provider custom",
                            provider.as_str()
                        ));
                    }
                    hosts.insert(pattern);
                }
            }
        }
        hosts
    }

    /// A list, sorted; `None` where it is empty, or where something in it is wrong: the denial is then the wider one.
    fn list(
        &mut self,
        items: &[String],
        field: &str,
        name: &str,
        fault: fn(&str) -> Option<&'static str>,
    ) -> Option<Vec<String>> {
        let mut sound = true;
        for (index, item) in items.iter().enumerate() {
            if let Some(why) = fault(item) {
                self.faults.push(format!("{field}.{name}[{index}]: {why}"));
                sound = false;
            }
        }
        let sorted: BTreeSet<String> = items.iter().cloned().collect();
        (sound && !sorted.is_empty()).then(|| sorted.into_iter().collect())
    }
}

/// Manifests write exact names, or `*.suffix` for one label.
pub(super) fn host_pattern(text: &str) -> Result<HostPattern, &'static str> {
    let text = text.to_ascii_lowercase();
    let name = text.strip_prefix("*.").unwrap_or(&text);
    let fault = "write a host name, or *.suffix for one label below it; no port, address or trailing dot";
    if name.contains('*') {
        return Err(fault);
    }
    HostPattern::parse(&text).map_err(|_| fault)
}

fn endpoint_fault(text: &str) -> Option<&'static str> {
    if !text.starts_with('/') {
        Some("begin the pattern with /")
    } else if Glob::parse(text).is_err() {
        Some("not a glob as Go's path.Match reads it")
    } else {
        None
    }
}

fn model_fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("the pattern is empty")
    } else if Glob::parse(text).is_err() {
        Some("not a glob as Go's path.Match reads it")
    } else {
        None
    }
}

/// Where the provider has requests name their model.
fn model_source(provider: Provider) -> ModelSource {
    match provider {
        Provider::Google => ModelSource::Google,
        Provider::AzureOpenAi => ModelSource::Azure,
        Provider::Bedrock => ModelSource::Bedrock,
        Provider::Anthropic | Provider::OpenAi | Provider::Custom => ModelSource::Body,
    }
}

fn method_fault(text: &str) -> Option<&'static str> {
    let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte == b'-' || byte == b'_';
    if text.is_empty() || !text.bytes().all(is_plain) {
        Some("a method is upper-case letters, such as POST")
    } else if matches!(text, "TRACE" | "CONNECT") {
        Some("TRACE and CONNECT are never let through")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(one: Match) -> Content {
        content(&Spec { rules: vec![Rule { matches: vec![one], ..Rule::default() }], ..Spec::default() })
    }

    fn texts(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    fn one(provider: &str, hosts: &[&str], endpoints: &[&str], methods: &[&str]) -> Match {
        Match {
            provider: provider.into(),
            hosts: texts(hosts),
            endpoints: texts(endpoints),
            methods: texts(methods),
            models: Vec::new(),
        }
    }

    #[test]
    fn a_match_becomes_sorted_lists_and_the_hosts_of_its_provider() {
        let content = read(one("Anthropic", &[], &["/v1/messages", "/v1/complete"], &["POST", "GET"]));
        assert_eq!(content.verdict, Ok(()));
        let scope = &content.scopes[0];
        assert_eq!(scope.hosts.iter().map(HostPattern::as_str).collect::<Vec<_>>(), ["api.anthropic.com"]);
        assert_eq!(scope.endpoints, Some(texts(&["/v1/complete", "/v1/messages"])));
        assert_eq!(scope.methods, Some(texts(&["GET", "POST"])));
    }

    #[test]
    fn hosts_narrow_a_known_provider_and_may_be_anything_for_custom() {
        for (provider, host, accepted) in [
            ("azure-openai", "team.openai.azure.com", true),
            ("azure-openai", "*.openai.azure.com", true),
            ("bedrock", "bedrock-runtime.us-east-1.amazonaws.com", true),
            ("anthropic", "llm.example.com", false),
            ("anthropic", "*.anthropic.com", false),
            ("custom", "LLM.example.com", true),
            ("custom", "*.example.com", true),
            ("custom", "a.*.example.com", false),
            ("custom", "*", false),
            ("custom", "10.0.0.1", false),
            ("custom", "llm.example.com:8443", false),
            ("custom", "llm.example.com.", false),
            ("custom", "", false),
        ] {
            let content = read(one(provider, &[host], &[], &[]));
            assert_eq!(content.verdict.is_ok(), accepted, "{provider} {host}: {:?}", content.verdict);
        }
    }

    #[test]
    fn a_faulty_list_widens_the_denial_and_names_the_field() {
        for (one, said) in [
            (one("anthropic", &[], &["/v1/["], &[]), "endpoints[0]: not a glob as Go's path.Match reads it"),
            (one("anthropic", &[], &["v1"], &[]), "endpoints[0]: begin the pattern with /"),
            (
                one("anthropic", &[], &["/v1"], &["TRACE"]),
                "methods[0]: TRACE and CONNECT are never let through",
            ),
            (
                one("anthropic", &[], &["/v1"], &["post"]),
                "methods[0]: a method is upper-case letters, such as POST",
            ),
            (one("custom", &[], &[], &[]), "hosts: the provider custom needs hosts"),
            (
                one("anthropc", &["a.example.com"], &[], &[]),
                "provider: unknown; write one of anthropic, openai, google, azure-openai, bedrock, custom",
            ),
        ] {
            let widened = one.endpoints.clone();
            let content = read(one);
            let refusal = content.verdict.unwrap_err();
            assert_eq!(refusal.reason, "UnsupportedValue");
            assert_eq!(refusal.message, format!("spec.rules[0].matches[0].{said}"));
            if said.starts_with("endpoints") {
                assert_eq!(content.scopes[0].endpoints, None, "{widened:?}");
            }
        }
    }
}
