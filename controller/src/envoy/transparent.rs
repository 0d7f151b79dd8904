//! The transparent listener: connections that were redirected here, decided by SNI alone. The verified name is
//! resolved again; the original destination is never dialled. Without an SNI nothing is known, so it is refused.
//!
//! The port counts as 443.

use std::net::SocketAddr;

use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::google::protobuf::Any;

use super::any::socket_address;
use super::hosts::{self, Named};
use super::listeners::{chain, inspecting, with_chains};
use super::network::{crossing, limit_rate, note, refuse, resolve_name, to_cluster};
use super::sni::{Chains, alpn, any_of, not, sni};
use super::tunnel::{HTTP, INTERCEPT, INTERCEPT_OPEN, NAME, PASS, REFUSED};
use super::{access_log, limits, names, tunnel};
use crate::plan::{DefaultPolicy, GatewayPlan, Interception};

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
    let peer = || note(vec![crossing(names::PEER, "%DOWNSTREAM_REMOTE_ADDRESS%")]);
    let mut chains =
        vec![chain(REFUSED, vec![peer(), refuse()]), chain(INTERCEPT, vec![peer(), to_cluster(names::MITM)])];
    if others == Others::Intercepted {
        let slowly = limit_rate(limits::OPEN_NAMES);
        chains.push(chain(INTERCEPT_OPEN, vec![slowly, peer(), to_cluster(names::MITM)]));
    }
    if others != Others::Refused {
        let [resolve, guard] = resolve_name(plan);
        chains.push(chain(PASS, vec![peer(), resolve, guard, to_cluster(names::PASSTHROUGH)]));
    }
    if others != Others::Refused {
        chains.extend(tunnel::aliases(plan).map(|(host, _)| {
            let cluster = names::alias_passthrough(host);
            chain(&cluster, vec![peer(), to_cluster(&cluster)])
        }));
    }
    chains
}

fn choice(plan: &GatewayPlan, others: Others) -> Chains {
    let named = Named::of(plan);
    let mut rules = vec![(not(sni(NAME)), REFUSED.to_owned())];
    rules.extend(named.grouped(|_| ()).into_iter().map(|((), hosts)| (sni(&hosts), INTERCEPT.to_owned())));
    if others == Others::Intercepted {
        rules.push((any_of(vec![alpn(HTTP), not(alpn(".+"))]), INTERCEPT_OPEN.to_owned()));
    }
    if others != Others::Refused {
        rules.extend(
            tunnel::aliases(plan)
                .map(|(host, _)| (sni(&hosts::literal(host)), names::alias_passthrough(host))),
        );
    }
    let otherwise = if others == Others::Refused { REFUSED } else { PASS };
    Chains { names: named.names(), of_names: INTERCEPT.to_owned(), rules, otherwise: otherwise.to_owned() }
}
