//! The internal listeners behind CONNECT for hosts that no AIProviderRoute names: under `allow-all`, and for what an
//! EgressL4Route allows.
//!
//! What a tunnel carries is not known when CONNECT is answered, so every such tunnel crosses a TLS inspector:
//! TLS that speaks HTTP is intercepted where the gateway intercepts everything; the rest passes untouched, unless its
//! SNI is one that a route names or differs from the CONNECT target.
//!
//! A client could hide its SNI by waiting until the inspector gives up. So on port 443 and wherever a route's host is
//! served the inspector never gives up; on other ports it does, because a server may speak first there.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::google::protobuf::Any;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::Predicate;

use super::allowed::{self, open_chain};
use super::destinations;
use super::hosts::{self, Named};
use super::listeners::{chain, inspecting, with_chains};
use super::network::{
    expected_name, fact, hand_on, limit_rate, note, refuse, resolve_name, to_cluster, to_interception,
};
use super::sni::{Chains, all_of, alpn, any_of, not, protocol, sni, state};
use super::{access_log, limits, names, upstream_proxy};
use crate::destination::Traffic;
use crate::plan::{Alias, Allowed, DefaultPolicy, GatewayPlan, Interception, Passage, PortSet};

/// Chain that closes the connection.
pub(super) const REFUSED: &str = "refused";
/// Chain that closes what an EgressDenyPolicy denies.
pub(super) const DENIED: &str = "denied";
/// Chain into the interception listener.
pub(super) const INTERCEPT: &str = "intercept";
/// The same for names that no route has.
pub(super) const INTERCEPT_OPEN: &str = "intercept-open";
/// Chain that passes bytes untouched.
pub(super) const PASS: &str = "passthrough";

/// An SNI that can be a host name. Envoy shows it in lower case, with odd bytes replaced.
pub(super) const NAME: &str = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*";
/// An ALPN list that offers HTTP over TCP.
pub(super) const HTTP: &str = r".*'(?:h2|http/1\.[01])'.*";

/// How long a client may stay silent before its server may speak.
const SERVER_FIRST: u64 = 1;
/// How long the inspector waits where only the client speaks first.
const CLIENT_FIRST: u64 = 15;

/// Whether there are tunnels: under `deny-all` none is opened but for what an EgressL4Route allows.
pub(super) fn exists(plan: &GatewayPlan) -> bool {
    let is_tunnelled = |allowed: &Allowed| allowed.destination.traffic != Traffic::Cleartext;
    is_open(plan) || plan.egress.allowed.iter().any(is_tunnelled)
}

/// Whether what nothing speaks of gets through.
fn is_open(plan: &GatewayPlan) -> bool {
    plan.default_policy == DefaultPolicy::AllowAll
}

/// The ports where the client speaks first: the inspector never gives up there.
pub(super) fn client_first(named: &Named) -> BTreeSet<u16> {
    named.ports().into_iter().chain([443]).collect()
}

/// The tunnel for each authority, as an expression and a cluster; the first that matches counts.
pub(super) fn ports(plan: &GatewayPlan, named: &Named) -> Vec<(String, &'static str)> {
    let served = served(plan);
    let mut client_first = client_first(named);
    client_first.retain(|port| hosts::contains(&served, *port));
    let client_first = hosts::any_host(&PortSet::Only(client_first)).map(|ports| (ports, names::TUNNEL));
    let others = hosts::any_host(&served).map(|ports| (ports, names::TUNNEL_SERVER_FIRST));
    client_first.into_iter().chain(others).collect()
}

/// Every port that some listener of the gateway serves.
pub(super) fn served(plan: &GatewayPlan) -> PortSet {
    hosts::union(&plan.ports.cleartext, &hosts::union(&plan.ports.terminate, &plan.ports.passthrough))
}

/// Hosts that may pass untouched to an address that the operator wrote.
pub(super) fn aliases(plan: &GatewayPlan) -> impl Iterator<Item = (&String, &Alias)> {
    let passes = |host: &str| {
        let mut allowed = plan.egress.allowed.iter().filter(|one| one.passage == Passage::Untouched);
        is_open(plan) || allowed.any(|one| one.destination.host.names(host))
    };
    plan.open_aliases.iter().filter(move |(host, _)| passes(host))
}

/// Both listeners.
pub(super) fn listeners(plan: &GatewayPlan) -> Vec<(&'static str, Any)> {
    if !exists(plan) {
        return Vec::new();
    }
    let client_first = inspecting(names::TUNNEL, CLIENT_FIRST, vec![access_log::tunnel()]);
    let server_first = listener::Listener {
        continue_on_listener_filters_timeout: true,
        ..inspecting(names::TUNNEL_SERVER_FIRST, SERVER_FIRST, vec![access_log::tunnel()])
    };
    [(names::TUNNEL, client_first), (names::TUNNEL_SERVER_FIRST, server_first)]
        .map(|(name, base)| (name, with_chains(base, chains(plan), &choice(plan))))
        .into()
}

fn chains(plan: &GatewayPlan) -> Vec<listener::FilterChain> {
    let mut chains = vec![chain(REFUSED, vec![refuse()]), chain(DENIED, vec![refuse()])];
    if plan.interception == Interception::All && is_open(plan) {
        chains.push(chain(INTERCEPT_OPEN, intercept_slowly(plan)));
    }
    if plan.interception == Interception::All {
        chains.push(chain(INTERCEPT, vec![hand_on(), to_interception(plan)]));
    }
    for group in allowed::groups(plan) {
        let filters = match group.passage {
            Passage::Intercepted => intercept_slowly(plan),
            Passage::Untouched => pass(plan, group.alias),
        };
        chains.push(chain(&group.chain, filters));
    }
    if is_open(plan) {
        chains.push(chain(&open_chain(PASS, plan), pass(plan, None)));
        for (host, _) in aliases(plan) {
            let name = open_chain(&names::alias_passthrough(host), plan);
            chains.push(chain(&name, pass(plan, Some(host))));
        }
    }
    chains
}

/// Into the interception listener, no faster than handshakes for names of the agent's own choice may come.
fn intercept_slowly(plan: &GatewayPlan) -> Vec<listener::Filter> {
    vec![limit_rate(limits::OPEN_NAMES), hand_on(), to_interception(plan)]
}

/// Untouched to the target, or to the address that the operator wrote for it, if the name inside is the target's.
fn pass(plan: &GatewayPlan, alias: Option<&str>) -> Vec<listener::Filter> {
    let [note_name, compare] = expected_name();
    if let Some(host) = alias {
        return vec![note_name, compare, to_cluster(&names::alias_passthrough(host))];
    }
    if plan.upstream_proxy.is_some() {
        return vec![note_name, compare, upstream_proxy::tunnel("%FILTER_STATE(keyward.target:PLAIN)%")];
    }
    let dial = note(vec![
        fact("envoy.upstream.dynamic_host", "%FILTER_STATE(keyward.target_dialled:PLAIN)%"),
        fact("envoy.upstream.dynamic_port", "%FILTER_STATE(keyward.target_port:PLAIN)%"),
    ]);
    let [resolve, guard] = resolve_name(plan);
    vec![note_name, compare, dial, resolve, guard, to_cluster(names::PASSTHROUGH)]
}

fn choice(plan: &GatewayPlan) -> Chains {
    let named = Named::of(plan);
    // A name of a route inside a tunnel to somewhere else: the filter tells the agent that it is misdirected, where
    // it is intercepted; else the tunnel is closed.
    let misdirected = match plan.interception {
        Interception::All => INTERCEPT,
        Interception::Routes => REFUSED,
    };
    let mut rules = vec![(all_of(vec![sni(".+"), not(sni(NAME))]), REFUSED.to_owned())];
    rules.extend(named.grouped(|_| ()).into_iter().map(|((), hosts)| (sni(&hosts), misdirected.to_owned())));
    for denials in destinations::denials(plan, |_| true).iter().filter(|denials| denials.tunnels()) {
        rules.extend(denials.of_tunnels().into_iter().map(|what| (what, DENIED.to_owned())));
    }
    for group in allowed::groups(plan) {
        let mut all = vec![group.hosts.target()];
        match (group.passage, group.traffic) {
            (Passage::Intercepted, _) => {
                all.extend([protocol("tls"), any_of(vec![alpn(HTTP), not(alpn(".+"))])])
            }
            (Passage::Untouched, Traffic::Tls) => all.push(protocol("tls")),
            (Passage::Untouched, _) => {}
        }
        rules.push((all_of(all), group.chain));
    }
    if is_open(plan) {
        rules.extend(open(plan));
    }
    let otherwise = if is_open(plan) { open_chain(PASS, plan) } else { REFUSED.to_owned() };
    Chains { names: named.names(), of_names: misdirected.to_owned(), rules, otherwise }
}

/// What nothing speaks of, under `allow-all`, but what passes untouched by its name.
fn open(plan: &GatewayPlan) -> Vec<(Predicate, String)> {
    let mut rules = Vec::new();
    if plan.interception == Interception::All {
        rules.push((intercepted(plan), INTERCEPT_OPEN.to_owned()));
    }
    for (host, _) in aliases(plan) {
        let this = state(names::TARGET_HOST, &format!("(?i){}", hosts::literal(host)));
        rules.push((this, open_chain(&names::alias_passthrough(host), plan)));
    }
    rules
}

/// TLS that speaks HTTP (which on 443 goes without saying), to a port that a terminating listener serves.
fn intercepted(plan: &GatewayPlan) -> Predicate {
    let unsaid = all_of(vec![not(alpn(".+")), state(names::TARGET, ".*:443")]);
    let mut all = vec![protocol("tls"), any_of(vec![alpn(HTTP), unsaid])];
    match &plan.ports.terminate {
        PortSet::Only(_) => {
            all.push(
                hosts::any_host(&plan.ports.terminate)
                    .map_or_else(|| sni("$^"), |on| state(names::TARGET, &on)),
            );
        }
        // A listener with a port of its own goes before one for any port.
        PortSet::Any => {
            let others = hosts::union(&plan.ports.passthrough, &plan.ports.cleartext);
            if let (PortSet::Only(_), Some(on)) = (&others, hosts::any_host(&others)) {
                all.push(not(state(names::TARGET, &on)));
            }
        }
    }
    all_of(all)
}
