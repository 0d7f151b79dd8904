//! The internal listeners behind CONNECT for hosts that no route names, under `allow-all`.
//!
//! What a tunnel carries is not known when CONNECT is answered, so every such tunnel crosses a TLS inspector:
//! TLS that speaks HTTP is intercepted where the gateway intercepts everything; the rest passes untouched, unless its
//! SNI is one that a route names or differs from the CONNECT target.
//!
//! A client could hide its SNI by waiting until the inspector gives up. So on port 443 and wherever a route's host is
//! served the inspector never gives up; on other ports it does, because a server may speak first there.

use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::google::protobuf::Any;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::Predicate;

use super::hosts::{self, Named};
use super::listeners::{chain, inspecting, with_chains};
use super::network::{expected_name, fact, hand_on, limit_rate, note, refuse, resolve_name, to_cluster};
use super::sni::{Chains, all_of, alpn, any_of, not, protocol, sni, state};
use super::{access_log, limits, names};
use crate::plan::{Alias, DefaultPolicy, GatewayPlan, Interception, PortSet};

/// Chain that closes the connection.
pub(super) const REFUSED: &str = "refused";
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

/// Whether there are tunnels: under `deny-all` none is opened.
pub(super) fn exists(plan: &GatewayPlan) -> bool {
    plan.default_policy == DefaultPolicy::AllowAll
}

/// The tunnel for each authority, as an expression and a cluster; the first that matches counts.
pub(super) fn ports(plan: &GatewayPlan, named: &Named) -> Vec<(String, &'static str)> {
    let served = served(plan);
    let mut client_first = named.ports();
    client_first.insert(443);
    client_first.retain(|port| hosts::contains(&served, *port));
    let client_first = hosts::any_host(&PortSet::Only(client_first)).map(|ports| (ports, names::TUNNEL));
    let others = hosts::any_host(&served).map(|ports| (ports, names::TUNNEL_SERVER_FIRST));
    client_first.into_iter().chain(others).collect()
}

/// Every port that some listener of the gateway serves.
pub(super) fn served(plan: &GatewayPlan) -> PortSet {
    hosts::union(&plan.ports.cleartext, &hosts::union(&plan.ports.terminate, &plan.ports.passthrough))
}

/// Hosts that pass untouched to an address that the operator wrote.
pub(super) fn aliases(plan: &GatewayPlan) -> impl Iterator<Item = (&String, &Alias)> {
    plan.open_aliases.iter().filter(|_| exists(plan))
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
    let [note_name, compare] = expected_name();
    let dial = note(vec![
        fact("envoy.upstream.dynamic_host", "%FILTER_STATE(keyward.target_host:PLAIN)%"),
        fact("envoy.upstream.dynamic_port", "%FILTER_STATE(keyward.target_port:PLAIN)%"),
    ]);
    let [resolve, guard] = resolve_name(plan);
    let pass = vec![note_name.clone(), compare.clone(), dial, resolve, guard, to_cluster(names::PASSTHROUGH)];
    let mut chains = vec![chain(REFUSED, vec![refuse()]), chain(PASS, pass)];
    if plan.interception == Interception::All {
        let slowly = limit_rate(limits::OPEN_NAMES);
        chains.push(chain(INTERCEPT, vec![hand_on(), to_cluster(names::MITM)]));
        chains.push(chain(INTERCEPT_OPEN, vec![slowly, hand_on(), to_cluster(names::MITM)]));
    }
    for (host, _) in aliases(plan) {
        let cluster = names::alias_passthrough(host);
        chains.push(chain(&cluster, vec![note_name.clone(), compare.clone(), to_cluster(&cluster)]));
    }
    chains
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
    if plan.interception == Interception::All {
        rules.push((intercepted(plan), INTERCEPT_OPEN.to_owned()));
    }
    for (host, _) in aliases(plan) {
        let this = state(names::TARGET_HOST, &format!("(?i){}", hosts::literal(host)));
        rules.push((this, names::alias_passthrough(host)));
    }
    Chains { names: named.names(), of_names: misdirected.to_owned(), rules, otherwise: PASS.to_owned() }
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
