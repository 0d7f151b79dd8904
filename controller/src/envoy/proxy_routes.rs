//! `proxy/routes`: what becomes of a request to the proxy port, by host and port alone; endpoint and method of what
//! a tunnel carries are not known yet.

use std::collections::BTreeSet;
use std::net::IpAddr;

use envoy_types::pb::envoy::config::route::v3 as route;

use super::destinations::{self, Hosts};
use super::dns::Cache;
use super::hosts::{self, AUTHORITY, Named};
use super::refusal::Refusal;
use super::route::{
    Route, RouteConfiguration, VirtualHost, connects, end_connect, forward, requests, with_authority,
    without_authority,
};
use super::{allowed, names, tunnel, upstream_proxy};
use crate::destination::{Host, Traffic};
use crate::plan::{DefaultPolicy, GatewayPlan, Passage};

/// The route configuration.
pub(super) fn routes(plan: &GatewayPlan) -> RouteConfiguration {
    let named = Named::of(plan);
    let by_ports = hosts::sharing(&named.exact, |host| &host.ports);
    let virtual_host = |(index, (ports, hosts)): (usize, (&BTreeSet<u16>, Vec<&str>))| {
        let mut routes = denied(plan, |host| hosts.iter().any(|name| host.names(name)));
        if hosts.iter().any(|name| upstream_proxy::is_local(name) && named.alias(name).is_none()) {
            routes.extend(upstream_proxy::refusals(plan));
        }
        routes.extend(credentialed(plan, ports, None));
        VirtualHost::of(&format!("credentialed-{index}"), &hosts, routes)
    };
    let mut virtual_hosts: Vec<VirtualHost> = by_ports.into_iter().enumerate().map(virtual_host).collect();
    virtual_hosts.push(VirtualHost::rest(rest(plan, &named)));
    RouteConfiguration::new(names::PROXY_ROUTES, virtual_hosts)
}

/// Hosts that routes name: intercepted on their ports, refused on others, never in the clear. The hosts are those of
/// the virtual host, or those that an expression matches.
fn credentialed(plan: &GatewayPlan, ports: &BTreeSet<u16>, hosts: Option<&str>) -> [Route; 3] {
    let of_these = |what: route::RouteMatch| match hosts {
        Some(hosts) => with_authority(what, &hosts::any_port(hosts)),
        None => what,
    };
    let served = with_authority(of_these(connects()), &hosts::on(ports));
    [
        Route::to(served, end_connect(names::MITM, plan.request_timeout)),
        Route::refuse(of_these(connects()), Refusal::DeniedByPolicy),
        Route::refuse(of_these(requests()), Refusal::Cleartext),
    ]
}

fn rest(plan: &GatewayPlan, named: &Named) -> Vec<Route> {
    let refuse_malformed =
        |what: route::RouteMatch| Route::refuse(without_authority(what, AUTHORITY), Refusal::BadAuthority);
    let mut routes = vec![refuse_malformed(connects()), refuse_malformed(requests())];
    routes.extend(denied(plan, |_| true));
    routes.extend(upstream_proxy::refusals(plan));
    for (ports, patterns) in named.grouped(|host| &host.ports) {
        routes.extend(credentialed(plan, ports, Some(&patterns)));
    }
    routes.extend(allowed(plan, named));
    if plan.default_policy == DefaultPolicy::AllowAll {
        routes.extend(open(plan, named));
    }
    routes.push(Route::refuse(connects(), Refusal::DeniedByPolicy));
    routes.push(Route::refuse(requests(), Refusal::DeniedByPolicy));
    routes
}

/// What EgressDenyPolicies deny of the hosts concerned: before everything else.
fn denied(plan: &GatewayPlan, concerns: impl Fn(&Host) -> bool) -> Vec<Route> {
    let mut routes = Vec::new();
    for denials in destinations::denials(plan, concerns) {
        let deny =
            |what, expression: &String| Route::deny(with_authority(what, expression), denials.response);
        if denials.tunnels() {
            routes.extend(denials.hosts.authorities().iter().map(|hosts| deny(connects(), hosts)));
        }
        if denials.cleartext() {
            routes.extend(denials.hosts.authorities_or(80).iter().map(|hosts| deny(requests(), hosts)));
        }
    }
    routes
}

/// What EgressL4Routes allow, narrower destinations first.
fn allowed(plan: &GatewayPlan, named: &Named) -> Vec<Route> {
    let client_first = hosts::on(&tunnel::client_first(named));
    let tunnel = |hosts: &str, cluster| {
        Route::to(with_authority(connects(), hosts), end_connect(cluster, plan.request_timeout))
    };
    let mut routes = Vec::new();
    for group in allowed::groups(plan) {
        let mut authorities = group.hosts.authorities();
        if group.hosts.hosts.iter().any(|host| matches!(host, Host::Network(IpAddr::V6(_), _))) {
            authorities.push(destinations::ipv6_on(group.hosts.ports));
        }
        for hosts in &authorities {
            if group.passage == Passage::Untouched {
                let first = with_authority(with_authority(connects(), hosts), &client_first);
                routes.push(Route::to(first, end_connect(names::TUNNEL, plan.request_timeout)));
                routes.push(tunnel(hosts, names::TUNNEL_SERVER_FIRST));
            } else {
                routes.push(tunnel(hosts, names::TUNNEL));
            }
        }
    }
    let in_the_clear = plan.egress.allowed.iter().map(|allowed| &allowed.destination);
    for destination in in_the_clear.filter(|it| it.traffic != Traffic::Tls) {
        // An address never gets past the filter in the clear.
        if !matches!(destination.host, Host::Network(..)) {
            let hosts = Hosts { hosts: vec![&destination.host], ports: &destination.ports };
            let requests =
                hosts.authorities_or(80).into_iter().map(|hosts| with_authority(requests(), &hosts));
            routes.extend(requests.map(|what| cleartext(plan, what)));
        }
    }
    routes
}

fn cleartext(plan: &GatewayPlan, what: route::RouteMatch) -> Route {
    let before_upstream = Cache::Open.filter_of(plan).unwrap_or(upstream_proxy::FILTER);
    Route::to(what, forward(names::OPEN_CLEARTEXT, plan.request_timeout))
        .enabling([names::GUARD, before_upstream])
}

/// Other hosts under `allow-all`, on the ports that some listener serves.
fn open(plan: &GatewayPlan, named: &Named) -> Vec<Route> {
    let tunnels = tunnel::ports(plan, named).into_iter().map(|(ports, cluster)| {
        Route::to(with_authority(connects(), &ports), end_connect(cluster, plan.request_timeout))
    });
    let mut routes: Vec<Route> = tunnels.collect();
    let served =
        hosts::union(&plan.ports.cleartext, &hosts::union(&plan.ports.terminate, &plan.ports.passthrough));
    if let Some(ports) = hosts::any_host(&served) {
        routes.push(cleartext(plan, with_authority(requests(), &ports)));
    }
    // No port in the authority means 80.
    if hosts::contains(&served, 80) {
        routes.push(cleartext(plan, without_authority(requests(), ".*:[0-9]+")));
    }
    routes
}
