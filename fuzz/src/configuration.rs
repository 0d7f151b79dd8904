//! A configuration compiles whole or not at all, to the same verdicts each time, whatever the order of its rules and
//! whatever was there before.
//!
//! Input: the JSON document, and after a NUL byte a request as [`crate::head`] reads it. A sealed value written
//! `plain:TEXT` is sealed before it is compiled, so that inputs can be written by hand.

use std::rc::Rc;
use std::time::Duration;

use policy::decide::{self, Edit, Facts, Head, Plan, Step};
use policy::denial::Denial;
use policy::model::Body;
use policy::rules::{ConfigError, RETIRED_FOR, RuleSet, Vault};
use policy::wire::{AgentSide, Config, Injection, Rule};

use crate::head::{Request, keyring, seal};

/// The verdict of one set of rules, without a type that nothing can be compared with.
type Verdict = Result<String, Denial>;

/// The bytes as they are, then with what was to be sealed.
pub fn holds(input: &[u8]) {
    let (document, request) = match input.iter().position(|b| *b == 0) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[][..]),
    };
    let first = RuleSet::compile(document, &mut Vault::new(Some(keyring()))).map(drop);
    assert_eq!(
        first,
        RuleSet::compile(document, &mut Vault::default()).map(drop),
        "the keyring decides what is valid"
    );
    if let Err(error) = &first {
        check_error(error, document);
    }
    let Ok(config) = serde_json::from_slice::<Config>(document) else {
        assert!(first.is_err());
        return;
    };
    check_round_trip(&config);
    if first.is_ok() {
        check_verdicts(with_seals(config), &Request::read(request));
    }
}

/// Where, and which fault: an error quotes no value. (Names of fields that should not be there it does quote.)
fn check_error(error: &ConfigError, document: &[u8]) {
    let shown = error.to_string();
    assert!(!shown.is_empty());
    let count = |text: &[u8]| document.windows(text.len()).filter(|window| *window == text).count();
    let only_as_values = count(b"plain:") == count(br#""sealed":"plain:"#);
    assert!(!only_as_values || !error.at.contains("plain:"), "{shown:?} quotes a value");
}

fn check_round_trip(config: &Config) {
    let written = serde_json::to_vec(config).expect("a configuration can be written");
    assert_eq!(serde_json::from_slice::<Config>(&written).as_ref().ok(), Some(config), "not read as written");
}

fn with_seals(mut config: Config) -> Config {
    let plain =
        |injection: &Injection| injection.sealed.strip_prefix("plain:").map(|text| text.as_bytes().to_vec());
    seal(&mut config, plain);
    config
}

fn check_verdicts(config: Config, request: &Request<'_>) {
    let mut vault = Vault::new(Some(keyring()));
    let rules = compiled(&config, &mut vault);
    let turned = compiled(
        &Config { rules: config.rules.iter().rev().cloned().collect(), ..config.clone() },
        &mut vault,
    );
    let after = compiled_after(&turned, &config, &mut vault);
    let judge = |facts: &Facts<'_>, head: &Head<'_>| {
        let verdict = verdict(decided(&rules, facts, head));
        assert_eq!(
            verdict,
            self::verdict(decided(&after, facts, head)),
            "another verdict with rules taken over"
        );
        // Rules that differ in nothing but what they inject are a fault of whoever wrote them.
        if are_told_apart(&config.rules) {
            assert_eq!(
                verdict,
                self::verdict(decided(&turned, facts, head)),
                "the order of the rules matters"
            );
        }
    };
    judge(&request.facts(), &request.head());
    for rule in &config.rules {
        each_request(&config, rule, judge);
    }
    drop((rules, turned, after));
    vault.sweep(Duration::ZERO);
    vault.sweep(RETIRED_FOR);
    assert!(vault.is_empty(), "a value outlives its time");
}

/// The verdict on a request whose body names a model.
fn decided(rules: &RuleSet, facts: &Facts<'_>, head: &Head<'_>) -> decide::Verdict {
    rules.decide(facts, head, Body::Whole(br#"{"model":"x"}"#)).and_then(Step::plan)
}

fn compiled(config: &Config, vault: &mut Vault) -> Rc<RuleSet> {
    let bytes = serde_json::to_vec(config).expect("a configuration can be written");
    let Ok(rules) = RuleSet::compile(&bytes, vault) else { panic!("sealing made it invalid") };
    Rc::new(rules)
}

/// The configuration in the place of rules that were there before.
fn compiled_after(before: &RuleSet, config: &Config, vault: &mut Vault) -> Rc<RuleSet> {
    let bytes = serde_json::to_vec(config).expect("a configuration can be written");
    let Ok(rules) = RuleSet::compile_after(before, &bytes, vault) else { panic!("valid alone, not after") };
    Rc::new(rules)
}

fn are_told_apart(rules: &[Rule]) -> bool {
    let mut names: Vec<_> = rules.iter().map(|rule| (&rule.route, rule.rank)).collect();
    names.sort();
    names.windows(2).all(|pair| pair[0] != pair[1])
}

/// Requests that meet the rule: each host, with stars as letters, each port, each endpoint as it is written.
fn each_request(config: &Config, rule: &Rule, judge: impl Fn(&Facts<'_>, &Head<'_>)) {
    let endpoints = rule.endpoints.and_then(|index| config.endpoints.get(index as usize));
    let paths = endpoints
        .map_or(vec!["/".to_owned()], |globs| globs.iter().map(|glob| glob.replace('*', "x")).collect());
    let method = rule.methods.and_then(|index| config.methods.get(index as usize)?.first());
    for host in rule.hosts.iter().map(|host| host.replace('*', "x")) {
        for port in &rule.ports {
            let authority = format!("{host}:{port}");
            for path in &paths {
                let head = Head {
                    method: method.map_or("POST", String::as_str).as_bytes(),
                    scheme: b"https",
                    authority: authority.as_bytes(),
                    path: path.as_bytes(),
                    ..Head::default()
                };
                let own = Facts::Tls { sni: Some(host.as_bytes()), target: Some(authority.as_bytes()) };
                judge(&own, &head);
                if let AgentSide::TrustedPlaintext { clusters } = &config.agent_side {
                    clusters.iter().for_each(|cluster| judge(&Facts::Cluster(cluster.as_bytes()), &head));
                }
            }
        }
    }
}

fn verdict(result: Result<Plan, Denial>) -> Verdict {
    result.map(|plan| {
        let edits = plan.edits.iter().map(|edit| match edit {
            Edit::RemoveHeader(name) => format!("-{name}"),
            // Exposed to be compared.
            Edit::SetPath(path) => format!("path={}", String::from_utf8_lossy(path.expose())),
            Edit::SetHeader { name, value } => format!("{name}={}", String::from_utf8_lossy(value.expose())),
        });
        let edits: Vec<String> = edits.collect();
        format!("{} {:?} {:?} {edits:?}", plan.decision.as_str(), plan.reason, plan.route)
    })
}
