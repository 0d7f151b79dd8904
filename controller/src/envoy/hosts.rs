//! The hosts of a plan as Envoy can match them: exact names, and regular expressions for patterns.
//!
//! Envoy's virtual-host domains take one leading or trailing `*`, and the longest such domain wins even where its
//! routes do not match. So patterns are not domains here: they are routes of the `*` virtual host, each group of
//! patterns that share a destination one expression over `:authority`. Envoy matches expressions in full.

use std::collections::{BTreeMap, BTreeSet};

use policy::host::HostPattern;

use crate::plan::{Alias, GatewayPlan, HostPlan, PortSet};

/// How many patterns one expression holds: RE2 limits the memory of a compiled expression.
const GROUP: usize = 200;

/// An authority that a well-behaved client sends: a name or an address, and perhaps a port without leading zeros.
/// Everything else is refused before a decision rests on it.
///
/// A name whose last label is a number, decimal or `0x` hexadecimal, is an address to some resolvers (the rule of the
/// WHATWG URL standard): only the canonical form, four decimal numbers, can be told from others.
pub(super) const AUTHORITY: &str = concat!(
    r"(?i)(?:(?:[a-z0-9_-]+\.)*(?:[a-z_-][a-z0-9_-]*|[1-9][0-9]*[a-z_-][a-z0-9_-]*|0(?:[0-9]+[a-z_-]|[a-wyz_-])",
    r"[a-z0-9_-]*|0x[0-9a-f]*[g-z_-][a-z0-9_-]*)|(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}|",
    r"\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?",
);

/// The hosts that routes name, by whether they are one name or many.
pub(super) struct Named<'a> {
    pub(super) exact: Vec<(&'a str, &'a HostPlan)>,
    pub(super) patterns: Vec<(&'a HostPattern, &'a HostPlan)>,
}

impl<'a> Named<'a> {
    pub(super) fn of(plan: &'a GatewayPlan) -> Self {
        let mut named = Named { exact: Vec::new(), patterns: Vec::new() };
        for (pattern, host) in &plan.hosts {
            match pattern.exact() {
                Some(name) => named.exact.push((name, host)),
                None => named.patterns.push((pattern, host)),
            }
        }
        named
    }

    /// The exact names.
    pub(super) fn names(&self) -> Vec<String> {
        self.exact.iter().map(|(host, _)| (*host).to_owned()).collect()
    }

    /// Where the operator says that an exact name is.
    pub(super) fn alias(&self, name: &str) -> Option<&'a Alias> {
        self.exact.iter().find(|(host, _)| *host == name).and_then(|(_, plan)| plan.alias.as_ref())
    }

    /// The patterns that share a key, as expressions without anchors.
    pub(super) fn grouped<K: Ord + Clone>(&self, key: impl Fn(&'a HostPlan) -> K) -> Vec<(K, String)> {
        let mut groups: BTreeMap<K, Vec<String>> = BTreeMap::new();
        for (pattern, host) in &self.patterns {
            groups.entry(key(host)).or_default().push(unanchored(pattern));
        }
        groups.into_iter().flat_map(split).collect()
    }

    /// Every port that some named host is intercepted on.
    pub(super) fn ports(&self) -> BTreeSet<u16> {
        let exact = self.exact.iter().flat_map(|(_, host)| &host.ports);
        exact.chain(self.patterns.iter().flat_map(|(_, host)| &host.ports)).copied().collect()
    }
}

/// The exact hosts that share a key, sorted.
pub(super) fn sharing<'a, K: Ord>(
    exact: &[(&'a str, &'a HostPlan)],
    key: impl Fn(&'a HostPlan) -> K,
) -> BTreeMap<K, Vec<&'a str>> {
    let mut groups: BTreeMap<K, Vec<&str>> = BTreeMap::new();
    for (host, known) in exact {
        groups.entry(key(known)).or_default().push(host);
    }
    groups
}

/// Every alias, of named hosts and others, by host.
pub(super) fn aliases(plan: &GatewayPlan) -> BTreeMap<&str, &Alias> {
    let named =
        plan.hosts.iter().filter_map(|(pattern, host)| Some((pattern.exact()?, host.alias.as_ref()?)));
    named.chain(plan.open_aliases.iter().map(|(host, alias)| (host.as_str(), alias))).collect()
}

/// An expression for `:authority`: one of these hosts, with any port or none.
pub(super) fn any_port(hosts: &str) -> String {
    format!("(?i)(?:{hosts})(?::[0-9]*)?")
}

/// An expression for `:authority`: a port of the set, whatever the host. `None` where the set is empty.
pub(super) fn any_host(ports: &PortSet) -> Option<String> {
    match ports {
        PortSet::Any => Some(".*:[0-9]+".to_owned()),
        PortSet::Only(ports) if ports.is_empty() => None,
        PortSet::Only(ports) => Some(on(ports)),
    }
}

/// An expression for `:authority`: one of these ports, whatever the host.
pub(super) fn on(ports: &BTreeSet<u16>) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    format!(".*:(?:{})", ports.join("|"))
}

/// Whether a port belongs to the set.
pub(super) fn contains(set: &PortSet, port: u16) -> bool {
    match set {
        PortSet::Any => true,
        PortSet::Only(ports) => ports.contains(&port),
    }
}

/// The ports of either set.
pub(super) fn union(a: &PortSet, b: &PortSet) -> PortSet {
    match (a, b) {
        (PortSet::Only(a), PortSet::Only(b)) => PortSet::Only(a | b),
        _ => PortSet::Any,
    }
}

/// A name, as part of an expression.
pub(super) fn literal(host: &str) -> String {
    host.replace('.', r"\.")
}

/// A pattern, as part of an expression.
pub(super) fn unanchored(pattern: &HostPattern) -> String {
    pattern.as_regex().trim_start_matches('^').trim_end_matches('$').to_owned()
}

fn split<K: Clone>((key, patterns): (K, Vec<String>)) -> Vec<(K, String)> {
    patterns.chunks(GROUP).map(|chunk| (key.clone(), chunk.join("|"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pattern_is_lost_where_one_expression_cannot_hold_them_all() {
        let known = HostPlan { bucket: 1, ports: BTreeSet::from([443]), alias: None };
        let patterns: Vec<HostPattern> =
            (0..450).map(|n| HostPattern::parse(&format!("*.host-{n}.example")).unwrap()).collect();
        let named =
            Named { exact: Vec::new(), patterns: patterns.iter().map(|pattern| (pattern, &known)).collect() };
        let groups = named.grouped(|host| host.bucket);
        assert_eq!(groups.len(), 3);
        let all: BTreeSet<&str> = groups.iter().flat_map(|(_, hosts)| hosts.split('|')).collect();
        assert_eq!(all.len(), 450);
        assert!(all.contains(r"[a-z0-9-]+\.host-449\.example"));
    }

    #[test]
    fn port_sets_become_expressions_and_unions() {
        let only = |ports: &[u16]| PortSet::Only(ports.iter().copied().collect());
        let table = [
            (PortSet::Any, PortSet::default(), Some(".*:[0-9]+")),
            (only(&[443]), only(&[22, 443]), Some(".*:(?:22|443)")),
            (PortSet::default(), PortSet::default(), None),
        ];
        for (a, b, expected) in table {
            assert_eq!(any_host(&union(&a, &b)).as_deref(), expected);
            assert_eq!(any_host(&union(&b, &a)).as_deref(), expected);
        }
        assert!(contains(&PortSet::Any, 1) && contains(&only(&[1]), 1) && !contains(&only(&[2]), 1));
    }
}
