//! `proxy/routes`: what becomes of a request to the proxy port, by host and port alone; endpoint and method of what
//! a tunnel carries are not known yet.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::route::v3 as route;

use super::dns::Cache;
use super::hosts::{self, AUTHORITY, Named};
use super::refusal::Refusal;
use super::route::{
    Route, RouteConfiguration, VirtualHost, connects, end_connect, forward, requests, with_authority,
    without_authority,
};
use super::{names, tunnel};
use crate::plan::{DefaultPolicy, GatewayPlan};

/// The route configuration.
pub(super) fn routes(plan: &GatewayPlan) -> RouteConfiguration {
    let named = Named::of(plan);
    let by_ports = hosts::sharing(&named.exact, |host| &host.ports);
    let virtual_host = |(index, (ports, hosts)): (usize, (&BTreeSet<u16>, Vec<&str>))| {
        VirtualHost::of(&format!("credentialed-{index}"), &hosts, credentialed(plan, ports, None).into())
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
    for (ports, patterns) in named.grouped(|host| &host.ports) {
        routes.extend(credentialed(plan, ports, Some(&patterns)));
    }
    if plan.default_policy == DefaultPolicy::AllowAll {
        routes.extend(open(plan, named));
    }
    routes.push(Route::refuse(connects(), Refusal::DeniedByPolicy));
    routes.push(Route::refuse(requests(), Refusal::DeniedByPolicy));
    routes
}

/// Other hosts under `allow-all`, on the ports that some listener serves.
fn open(plan: &GatewayPlan, named: &Named) -> Vec<Route> {
    let tunnels = tunnel::ports(plan, named).into_iter().map(|(ports, cluster)| {
        Route::to(with_authority(connects(), &ports), end_connect(cluster, plan.request_timeout))
    });
    let mut routes: Vec<Route> = tunnels.collect();
    let served =
        hosts::union(&plan.ports.cleartext, &hosts::union(&plan.ports.terminate, &plan.ports.passthrough));
    let cleartext = |what| {
        Route::to(what, forward(names::OPEN_CLEARTEXT, plan.request_timeout))
            .enabling([names::GUARD, Cache::Open.filter()])
    };
    if let Some(ports) = hosts::any_host(&served) {
        routes.push(cleartext(with_authority(requests(), &ports)));
    }
    // No port in the authority means 80.
    if hosts::contains(&served, 80) {
        routes.push(cleartext(without_authority(requests(), ".*:[0-9]+")));
    }
    routes
}
