//! Configurations for tests: a gateway with one route to `api.anthropic.com`, and what to change about it.

use crate::decide::{Facts, Head, Step, Verdict};
use crate::model::Body;
use crate::rules::{RuleSet, Vault};
use crate::seal::Keyring;
use crate::secret::Secret;
use crate::wire::{
    AgentSide, Carriers, Config, ConnectionFacts, Injection, Outcome, RecordText, Rule, Scrub, Target,
    Unlisted, VERSION,
};

pub(crate) const HOST: &str = "api.anthropic.com";
pub(crate) const KEY: &str = "sk-ant-0123456789";

pub(crate) fn keyring() -> Keyring {
    Keyring::parse("k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap()
}

pub(crate) fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

/// One route, `default/anthropic`, for two endpoints; its key is not sealed yet ([`sealed`]).
pub(crate) fn config() -> Config {
    Config {
        version: VERSION,
        gateway: "default/echo-bot".to_owned(),
        agent_side: AgentSide::Tls,
        connection_facts: ConnectionFacts::FilterState,
        record: RecordText::Json,
        telemetry: None,
        scrub: Scrub::default(),
        unlisted: Unlisted::Pass,
        other_hosts: Unlisted::Pass,
        endpoints: vec![texts(&["/v1/complete", "/v1/messages"])],
        methods: vec![texts(&["POST", "PROPFIND"])],
        carriers: vec![Carriers {
            headers: texts(&["authorization", "cookie", "x-api-key"]),
            query: texts(&["api_key", "key"]),
            members: Vec::new(),
        }],
        models: Vec::new(),
        max_held_body: 8 << 20,
        targets: vec![target("x-api-key", "")],
        rules: vec![rule("default/anthropic", &[HOST])],
    }
}

pub(crate) fn rule(route: &str, hosts: &[&str]) -> Rule {
    Rule {
        route: route.to_owned(),
        rank: 0,
        hosts: texts(hosts),
        ports: vec![443],
        endpoints: Some(0),
        methods: None,
        models: None,
        carriers: 0,
        then: Outcome::Inject(vec![injection(route, 0)]),
    }
}

pub(crate) fn target(name: &str, prefix: &str) -> Target {
    Target::Header { name: name.to_owned(), prefix: prefix.to_owned() }
}

/// An injection by the policy of the route's name into the target of that index.
pub(crate) fn injection(policy: &str, target: u32) -> Injection {
    Injection { policy: policy.to_owned(), target, sealed: String::new() }
}

/// The configuration with `value` sealed into every injection.
pub(crate) fn sealed(config: Config, value: &str) -> Config {
    sealed_where(config, value, |_| true)
}

/// The configuration with `value` sealed into the injections of the policies chosen.
pub(crate) fn sealed_where(mut config: Config, value: &str, chosen: fn(&str) -> bool) -> Config {
    let before = config.clone();
    for (rule, same) in config.rules.iter_mut().zip(&before.rules) {
        let Outcome::Inject(injections) = &mut rule.then else { continue };
        for injection in injections.iter_mut().filter(|injection| chosen(&injection.policy)) {
            let binding = before.binding(same, injection).unwrap();
            injection.sealed = keyring().seal(&binding, &Secret::new(value.as_bytes().to_vec())).unwrap();
        }
    }
    config
}

pub(crate) fn bytes(config: &Config) -> Vec<u8> {
    serde_json::to_vec(config).unwrap()
}

/// The verdict on a request whose body was not read, and is not needed.
pub(crate) fn verdict(rules: &RuleSet, facts: &Facts<'_>, head: &Head<'_>) -> Verdict {
    rules.decide(facts, head, Body::Unread).and_then(Step::plan)
}

/// A vault that opens what [`sealed`] seals.
pub(crate) fn vault() -> Vault {
    Vault::new(Some(keyring()))
}

pub(crate) fn compile(config: &Config, vault: &mut Vault) -> RuleSet {
    match RuleSet::compile(&bytes(config), vault) {
        Ok(rules) => rules,
        Err(error) => panic!("{error}"),
    }
}
