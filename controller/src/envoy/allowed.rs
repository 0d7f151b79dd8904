//! The filter chains that allowed destinations go through.
//!
//! A chain is named after what it allows and what of that is denied. What is withdrawn takes its chain along, and Envoy
//! closes the connections of a chain that goes, and no others (`docs/decisions/0014-egress-policy.md`).

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::destinations::Hosts;
use crate::destination::{Host, PortRanges, Traffic};
use crate::plan::{Allowed, GatewayPlan, Passage};

/// Into how many chains names with equal ports are divided, by a hash of each: a name that comes or goes replaces one
/// chain, and ten thousand names cost no more than these.
const SHARDS: u8 = 128;

/// Allowed destinations that share a chain.
pub(super) struct Group<'a> {
    /// The name of their chain.
    pub(super) chain: String,
    /// Which hosts, on which ports.
    pub(super) hosts: Hosts<'a>,
    pub(super) traffic: Traffic,
    pub(super) passage: Passage,
    /// The host, where it is one that the operator gave an address.
    pub(super) alias: Option<&'a str>,
}

/// What a plan allows through tunnels, in the order in which it is tried.
pub(super) fn groups(plan: &GatewayPlan) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut shards: BTreeMap<(&PortRanges, Traffic, Passage, bool, u8), usize> = BTreeMap::new();
    for Allowed { destination, passage } in &plan.egress.allowed {
        let (host, ports, traffic) = (&destination.host, &destination.ports, destination.traffic);
        if traffic == Traffic::Cleartext {
            continue;
        }
        let alias = alias(host, plan);
        let shard = shard(host).filter(|_| alias.is_none());
        let place = shard.map(|(exact, shard)| (ports, traffic, *passage, exact, shard));
        match place.and_then(|place| shards.get(&place)).and_then(|known| groups.get_mut(*known)) {
            Some(group) => group.hosts.hosts.push(host),
            None => {
                if let Some(place) = place {
                    shards.insert(place, groups.len());
                }
                let hosts = Hosts { hosts: vec![host], ports };
                groups.push(Group { chain: String::new(), hosts, traffic, passage: *passage, alias });
            }
        }
    }
    for group in &mut groups {
        group.chain = chain(group, plan);
    }
    groups
}

/// The alias that a host leads to.
fn alias<'p>(host: &Host, plan: &'p GatewayPlan) -> Option<&'p str> {
    let Host::Name(pattern) = host else { return None };
    plan.open_aliases.get_key_value(pattern.exact()?).map(|(host, _)| host.as_str())
}

/// Whether a name is exact, and its shard. Names of one kind do not overlap, so their order means nothing; that of
/// networks does.
fn shard(host: &Host) -> Option<(bool, u8)> {
    let Host::Name(pattern) = host else { return None };
    let hash = Sha256::digest(pattern.as_str()).first().copied().unwrap_or_default();
    Some((pattern.exact().is_some(), hash % SHARDS))
}

/// The name of a chain: in words where it is for one host, and a digest of all that it rests on.
fn chain(group: &Group<'_>, plan: &GatewayPlan) -> String {
    let kind = match group.passage {
        Passage::Intercepted => "intercept-allowed",
        Passage::Untouched => "passthrough",
    };
    let mut digest = Sha256::new();
    digest.update(format!("{} {:?} {:?}", group.hosts.ports, group.traffic, group.alias));
    for host in &group.hosts.hosts {
        digest.update(format!("\n{host}"));
    }
    for denied in &plan.egress.denied {
        let ports = denied.destination.ports.intersect(group.hosts.ports);
        if !ports.is_empty() && group.hosts.hosts.iter().any(|host| host.overlaps(&denied.destination.host)) {
            digest.update(format!("\nwithout {} {}", denied.destination.host, denied.destination.ports));
        }
    }
    let what = match group.hosts.hosts.as_slice() {
        [host] => host.to_string(),
        hosts => format!("{} names", hosts.len()),
    };
    format!("{kind}/{what}/{}", short(digest))
}

/// The name of the chain for what nothing speaks of: other denials make another chain of it.
pub(super) fn open_chain(name: &str, plan: &GatewayPlan) -> String {
    if plan.egress.denied.is_empty() {
        return name.to_owned();
    }
    let mut digest = Sha256::new();
    for denied in &plan.egress.denied {
        digest.update(format!("\nwithout {} {}", denied.destination.host, denied.destination.ports));
    }
    format!("{name}/{}", short(digest))
}

fn short(digest: Sha256) -> String {
    digest.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
