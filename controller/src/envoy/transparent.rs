//! The transparent listener: connections that were redirected here, decided by SNI alone. The verified name is
//! resolved again; the original destination is never dialled. Without an SNI nothing is known, so it is refused.
//!
//! The port counts as 443.

use std::net::SocketAddr;

use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::google::protobuf::Any;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::Predicate;

use super::allowed::{self, Group, open_chain};
use super::any::socket_address;
use super::hosts::{self, Named};
use super::listeners::{chain, inspecting, with_chains};
use super::network::{crossing, limit_rate, note, refuse, resolve_name, to_cluster, to_interception};
use super::sni::{Chains, all_of, alpn, any_of, not, sni};
use super::tunnel::{DENIED, HTTP, INTERCEPT, INTERCEPT_OPEN, NAME, PASS, REFUSED};
use super::{access_log, destinations, limits, names, tunnel, upstream_proxy};
use crate::plan::{DefaultPolicy, GatewayPlan, Interception, Passage};

/// How long a client may take for its first bytes.
const TIMEOUT: u64 = 15;

/// What becomes of hosts that no route names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    Refused,
    Passed,
    Intercepted,
}

/// The listener.
pub(super) fn listener(plan: &GatewayPlan, address: SocketAddr) -> Any {
    let base = listener::Listener {
        address: Some(socket_address(address)),
        listener_specifier: None,
        ..inspecting(names::TRANSPARENT_LISTENER, TIMEOUT, vec![access_log::transparent()])
    };
    let others = others(plan);
    with_chains(base, chains(plan, others), &choice(plan, others))
}

fn others(plan: &GatewayPlan) -> Others {
    let served = hosts::contains(&tunnel::served(plan), 443);
    let terminates = hosts::contains(&plan.ports.terminate, 443);
    match (plan.default_policy, plan.interception) {
        (DefaultPolicy::DenyAll, _) => Others::Refused,
        (DefaultPolicy::AllowAll, _) if !served => Others::Refused,
        (DefaultPolicy::AllowAll, Interception::All) if terminates => Others::Intercepted,
        (DefaultPolicy::AllowAll, _) => Others::Passed,
    }
}

fn chains(plan: &GatewayPlan, others: Others) -> Vec<listener::FilterChain> {
    let mut chains = vec![
        chain(REFUSED, vec![peer(), refuse()]),
        chain(DENIED, vec![peer(), refuse()]),
        chain(INTERCEPT, vec![peer(), to_interception(plan)]),
    ];
    for group in groups(plan) {
        let filters = match group.passage {
            Passage::Intercepted => intercept_slowly(plan),
            Passage::Untouched => pass(plan, group.alias),
        };
        chains.push(chain(&group.chain, filters));
    }
    if others == Others::Intercepted {
        chains.push(chain(INTERCEPT_OPEN, intercept_slowly(plan)));
    }
    if others != Others::Refused {
        chains.push(chain(&open_chain(PASS, plan), pass(plan, None)));
        chains.extend(tunnel::aliases(plan).map(|(host, _)| {
            chain(&open_chain(&names::alias_passthrough(host), plan), pass(plan, Some(host)))
        }));
    }
    chains
}

/// What EgressL4Routes allow by name on 443.
fn groups(plan: &GatewayPlan) -> impl Iterator<Item = Group<'_>> {
    let groups = allowed::groups(plan).into_iter();
    groups.filter(|group| group.hosts.ports.contains(443) && group.hosts.name().is_some())
}

fn peer() -> listener::Filter {
    note(vec![crossing(names::PEER, "%DOWNSTREAM_REMOTE_ADDRESS%")])
}

fn intercept_slowly(plan: &GatewayPlan) -> Vec<listener::Filter> {
    vec![limit_rate(limits::OPEN_NAMES), peer(), to_interception(plan)]
}

fn pass(plan: &GatewayPlan, alias: Option<&str>) -> Vec<listener::Filter> {
    if let Some(host) = alias {
        return vec![peer(), to_cluster(&names::alias_passthrough(host))];
    }
    if plan.upstream_proxy.is_some() {
        return vec![peer(), upstream_proxy::tunnel("%REQUESTED_SERVER_NAME%:443")];
    }
    let [resolve, guard] = resolve_name(plan);
    vec![peer(), resolve, guard, to_cluster(names::PASSTHROUGH)]
}

fn choice(plan: &GatewayPlan, others: Others) -> Chains {
    let named = Named::of(plan);
    let mut rules = vec![(not(sni(NAME)), REFUSED.to_owned())];
    if plan.upstream_proxy.is_some() {
        rules.push((sni(upstream_proxy::LOCAL_NAME), REFUSED.to_owned()));
    }
    let denials = destinations::denials(plan, |_| true);
    let denied = denials.iter().filter(|it| it.tunnels() && it.hosts.ports.contains(443));
    rules.extend(denied.filter_map(|it| Some((it.hosts.name()?, DENIED.to_owned()))));
    rules.extend(named.grouped(|_| ()).into_iter().map(|((), hosts)| (sni(&hosts), INTERCEPT.to_owned())));
    for group in groups(plan) {
        let name = group.hosts.name().into_iter();
        let inside = (group.passage == Passage::Intercepted).then(http);
        rules.push((all_of(name.chain(inside).collect()), group.chain));
    }
    if others == Others::Intercepted {
        rules.push((http(), INTERCEPT_OPEN.to_owned()));
    }
    if others != Others::Refused {
        rules.extend(tunnel::aliases(plan).map(|(host, _)| {
            (sni(&hosts::literal(host)), open_chain(&names::alias_passthrough(host), plan))
        }));
    }
    let otherwise = if others == Others::Refused { REFUSED.to_owned() } else { open_chain(PASS, plan) };
    // What is denied is looked for among the rules.
    let mut names = named.names();
    names.retain(|name| !destinations::is_denied(plan, name, 443));
    if plan.upstream_proxy.is_some() {
        names.retain(|name| !upstream_proxy::is_local(name) || named.alias(name).is_some());
    }
    Chains { names, of_names: INTERCEPT.to_owned(), rules, otherwise }
}

/// TLS that speaks HTTP, which on 443 goes without saying.
fn http() -> Predicate {
    any_of(vec![alpn(HTTP), not(alpn(".+"))])
}
