//! Rules by the hosts that they name, and those of a host with many rules by endpoint: ten thousand routes are looked
//! through in the time of ten.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::Rule;
use crate::host::{HostPattern, Specificity};
use crate::wire::Carriers;

/// With fewer rules than this, looking through them all is faster than an index, and costs no memory.
const MANY: usize = 16;

/// Rules by host.
#[derive(Default)]
pub(super) struct Hosts {
    exact: BTreeMap<String, HostRules>,
    /// Patterns whose one star stands in the first label, by what follows that label.
    by_parent: BTreeMap<String, BTreeMap<HostPattern, HostRules>>,
    /// Other patterns: the providers' own, a handful.
    others: BTreeMap<HostPattern, HostRules>,
}

/// The rules of one pattern.
#[derive(Default)]
pub(crate) struct HostRules {
    rules: Vec<Rc<Rule>>,
    index: Option<Index>,
}

struct Index {
    rests_on_path: bool,
    ports: BTreeSet<u16>,
    carriers: Vec<Rc<Carriers>>,
    /// Rules without endpoints.
    of_any_path: Vec<Rc<Rule>>,
    /// The others, by what each of their endpoints begins with.
    by_prefix: BTreeMap<String, Vec<Rc<Rule>>>,
    /// The lengths of those beginnings.
    lengths: BTreeSet<usize>,
}

impl Hosts {
    pub(super) fn of(rules: impl Iterator<Item = Rc<Rule>>) -> Hosts {
        let mut hosts = Hosts::default();
        for rule in rules {
            for pattern in &rule.hosts {
                hosts.entry(pattern).rules.push(Rc::clone(&rule));
            }
        }
        hosts.each_mut().for_each(HostRules::index);
        hosts
    }

    fn entry(&mut self, pattern: &HostPattern) -> &mut HostRules {
        match (pattern.exact(), parent(pattern.as_str())) {
            (Some(name), _) => self.exact.entry(name.to_owned()).or_default(),
            (None, Some(parent)) if !parent.contains('*') => {
                let siblings = self.by_parent.entry(parent.to_owned()).or_default();
                siblings.entry(pattern.clone()).or_default()
            }
            _ => self.others.entry(pattern.clone()).or_default(),
        }
    }

    fn each_mut(&mut self) -> impl Iterator<Item = &mut HostRules> {
        let below = self.by_parent.values_mut().flat_map(BTreeMap::values_mut);
        self.exact.values_mut().chain(below).chain(self.others.values_mut())
    }

    /// The patterns that a canonical name matches: how narrowly each does, and its rules.
    pub(super) fn matching<'a>(
        &'a self,
        host: &'a str,
    ) -> impl Iterator<Item = (Specificity, &'a HostRules)> {
        let exact = self.exact.get_key_value(host);
        let exact = exact.map(|(name, rules)| (Specificity::of_exact(name), rules));
        let siblings = parent(host).and_then(|parent| self.by_parent.get(parent));
        let patterns = siblings.into_iter().flatten().chain(&self.others);
        let patterns = patterns.filter(move |(pattern, _)| pattern.matches(host));
        exact.into_iter().chain(patterns.map(|(pattern, rules)| (pattern.specificity(), rules)))
    }
}

/// What follows the first label.
fn parent(host: &str) -> Option<&str> {
    host.split_once('.').map(|(_, parent)| parent)
}

impl HostRules {
    fn index(&mut self) {
        if self.rules.len() >= MANY {
            self.index = Some(Index::of(&self.rules));
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Rc<Rule>] {
        &self.rules
    }

    /// Whether some rule is for this port.
    pub(crate) fn serves(&self, port: u16) -> bool {
        match &self.index {
            Some(index) => index.ports.contains(&port),
            None => self.rules.iter().any(|rule| rule.ports.contains(&port)),
        }
    }

    /// Whether it depends on a request's path which rule it is for.
    pub(crate) fn rest_on_path(&self) -> bool {
        match &self.index {
            Some(index) => index.rests_on_path,
            None => self.rules.iter().any(|rule| rule.rests_on_path()),
        }
    }

    /// What carries credentials on the host.
    pub(crate) fn carriers(&self) -> Vec<Rc<Carriers>> {
        match &self.index {
            Some(index) => index.carriers.clone(),
            None => self.rules.iter().map(|rule| Rc::clone(&rule.carriers)).collect(),
        }
    }

    /// Every rule that a request to a canonical path may be for, and others, perhaps twice.
    pub(crate) fn candidates<'a>(&'a self, path: &str) -> impl Iterator<Item = &'a Rule> {
        let (any, index) = match &self.index {
            Some(index) => (&index.of_any_path, Some(index)),
            None => (&self.rules, None),
        };
        let named = index.into_iter().flat_map(move |index| index.named(path));
        any.iter().chain(named).map(Rc::as_ref)
    }
}

impl Index {
    fn of(rules: &[Rc<Rule>]) -> Index {
        let mut index = Index {
            rests_on_path: rules.iter().any(|rule| rule.rests_on_path()),
            ports: rules.iter().flat_map(|rule| rule.ports.iter().copied()).collect(),
            carriers: Vec::new(),
            of_any_path: Vec::new(),
            by_prefix: BTreeMap::new(),
            lengths: BTreeSet::new(),
        };
        for rule in rules {
            if !index.carriers.iter().any(|known| Rc::ptr_eq(known, &rule.carriers)) {
                index.carriers.push(Rc::clone(&rule.carriers));
            }
            let Some(globs) = &rule.endpoints else {
                index.of_any_path.push(Rc::clone(rule));
                continue;
            };
            for prefix in globs.iter().map(|glob| glob.literal_prefix()).collect::<BTreeSet<_>>() {
                index.lengths.insert(prefix.len());
                index.by_prefix.entry(prefix).or_default().push(Rc::clone(rule));
            }
        }
        index
    }

    fn named<'a>(&'a self, path: &str) -> impl Iterator<Item = &'a Rc<Rule>> {
        let prefixes = self.lengths.iter().filter_map(|length| path.get(..*length));
        prefixes.filter_map(|prefix| self.by_prefix.get(prefix)).flatten()
    }
}

#[cfg(test)]
mod tests {

    use crate::rules::fixture::{HOST, compile, config, rule, sealed, texts, vault};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn of_many_rules_of_a_host_those_are_looked_at_whose_endpoint_may_match() {
        let mut many = config();
        many.endpoints = (0..100).map(|number| texts(&[&format!("/v1/tenants/{number:03}/*")])).collect();
        many.endpoints.push(texts(&["/v1/*", "/v1/tenants/007/x"]));
        many.rules = (0..=100)
            .map(|number| crate::wire::Rule {
                endpoints: Some(number),
                ..rule(&format!("default/{number:03}"), &[HOST])
            })
            .collect();
        many.rules.push(crate::wire::Rule { endpoints: None, ..rule("default/any", &[HOST]) });
        let rules = compile(&sealed(many, "sk-ant-0123456789"), &mut vault());
        let (_, of_host) = rules.hosts.matching(HOST).next().unwrap();
        for (path, expected) in [
            ("/v1/tenants/007/x", &["default/any", "default/100", "default/007", "default/100"][..]),
            ("/v1/tenants/007/y", &["default/any", "default/100", "default/007"]),
            ("/v1/other", &["default/any", "default/100"]),
            ("/v2", &["default/any"]),
            ("", &["default/any"]),
        ] {
            let candidates = of_host.candidates(path).map(|rule| rule.route.as_str());
            assert_eq!(candidates.collect::<Vec<_>>(), expected, "{path}");
        }
        assert_eq!(of_host.carriers().len(), 1);
        assert!(of_host.rest_on_path() && of_host.serves(443) && !of_host.serves(8443));
    }

    #[test]
    fn a_host_is_found_by_its_name_by_its_parent_and_by_other_patterns() {
        let mut patterns = config();
        let hosts = ["a.b.c", "*.b.c", "x*.b.c", "a.*.c", "*.*.c", "*.c"];
        patterns.rules = hosts.iter().map(|host| rule(&format!("default/{host}"), &[host])).collect();
        let rules = compile(&sealed(patterns, "sk-ant-0123456789"), &mut vault());
        for (host, expected) in [
            ("a.b.c", &["*.*.c", "*.b.c", "a.*.c", "a.b.c"][..]),
            ("xy.b.c", &["*.*.c", "*.b.c", "x*.b.c"]),
            ("a.d.c", &["*.*.c", "a.*.c"]),
            ("d.c", &["*.c"]),
            ("c", &[]),
            ("a.a.b.c", &[]),
        ] {
            let found = rules.hosts.matching(host).flat_map(|(_, rules)| rules.all());
            let mut found: Vec<_> = found.map(|rule| rule.route.trim_start_matches("default/")).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{host}");
        }
    }
}
