//! `mitm/routes`: what becomes of an intercepted request. Every host that a route names meets the bucket that holds
//! its rules, whatever port its authority says; every other host meets the guard.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::route::v3 as route;

use super::destinations::{self, Denials, Hosts};
use super::dns::Cache;
use super::hosts::{self, AUTHORITY, Named};
use super::refusal::Refusal;
use super::route::{
    Route, RouteConfiguration, VirtualHost, forward, requests, upgrade, websocket, with_authority,
    without_authority,
};
use super::{limits, names};
use crate::destination::{Host, PortRanges};
use crate::plan::{Allowed, DefaultPolicy, GatewayPlan, LIGHT_BUCKETS, Passage};

/// The clusters of a host: for requests, and for upgrades.
struct Clusters {
    requests: String,
    upgrades: String,
}

/// The route configuration. Hosts of one bucket that go to the shared cluster share a virtual host: an added host
/// then costs Envoy little.
pub(super) fn routes(plan: &GatewayPlan) -> RouteConfiguration {
    let named = Named::of(plan);
    let (aliased, resolved): (Vec<_>, Vec<_>) =
        named.exact.iter().partition(|(_, host)| host.alias.is_some());
    let mut virtual_hosts: Vec<VirtualHost> = Vec::new();
    for (bucket, hosts) in hosts::sharing(&resolved, |host| host.bucket) {
        virtual_hosts.push(credentialed(plan, &names::bucket(bucket), &hosts, bucket, None));
    }
    for (host, known) in aliased {
        virtual_hosts.push(credentialed(plan, &names::alias(host), &[host], known.bucket, Some(host)));
    }
    virtual_hosts.extend(plan.open_aliases.keys().map(|host| {
        let mut routes = denied(plan, |denied| denied.names(host));
        routes.extend(open(plan, &Clusters::of_alias(host), |allowed| allowed.names(host)));
        VirtualHost::of(&names::alias(host), &[host], routes)
    }));
    virtual_hosts.push(VirtualHost::rest(rest(plan, &named)));
    RouteConfiguration::new(names::MITM_ROUTES, virtual_hosts)
}

fn credentialed(
    plan: &GatewayPlan,
    name: &str,
    hosts: &[&str],
    bucket: usize,
    alias: Option<&str>,
) -> VirtualHost {
    let clusters = alias.map_or_else(|| Clusters::resolved(Cache::Credentialed), Clusters::of_alias);
    let mut routes: Vec<Route> = denied(plan, |host| hosts.iter().any(|name| host.names(name)))
        .into_iter()
        // The guard says nothing of a credential that goes nowhere.
        .map(|route| route.without(&names::bucket(bucket)))
        .collect();
    routes.extend(forwarding(plan, &requests(), &clusters));
    VirtualHost::of(name, hosts, routes)
        .enabling(std::iter::once(names::bucket(bucket).as_str()).chain(Cache::Credentialed.filter_of(plan)))
        .holding(held(plan, bucket))
}

/// What a request to a bucket's hosts may be held back with. The filter refuses what is larger, and says why; Envoy's
/// own limit, which would answer without a reason, is somewhat above.
fn held(plan: &GatewayPlan, bucket: usize) -> Option<u64> {
    (bucket >= LIGHT_BUCKETS).then(|| u64::from(plan.max_held_body) + u64::from(limits::BUFFER))
}

fn rest(plan: &GatewayPlan, named: &Named) -> Vec<Route> {
    let mut routes = vec![
        Route::refuse(without_authority(requests(), AUTHORITY), Refusal::BadAuthority)
            .enabling([names::GUARD]),
    ];
    routes.extend(denied(plan, |_| true));
    for (bucket, patterns) in named.grouped(|host| host.bucket) {
        let what = with_authority(requests(), &hosts::any_port(&patterns));
        let clusters = Clusters::resolved(Cache::Credentialed);
        let filter = names::bucket(bucket);
        routes.extend(
            forwarding(plan, &what, &clusters)
                .map(|route| {
                    route
                        .enabling(std::iter::once(filter.as_str()).chain(Cache::Credentialed.filter_of(plan)))
                })
                .map(|route| route.holding(held(plan, bucket))),
        );
    }
    routes.extend(open(plan, &Clusters::resolved(Cache::Open), |_| true));
    routes
}

/// What EgressDenyPolicies deny of the hosts concerned: withdrawn while a connection to them is open.
fn denied(plan: &GatewayPlan, concerns: impl Fn(&Host) -> bool) -> Vec<Route> {
    let mut routes = Vec::new();
    for denials in destinations::denials(plan, concerns).into_iter().filter(Denials::tunnels) {
        let hosts = denials.hosts.authorities_or(443);
        let what = hosts.iter().map(|hosts| with_authority(requests(), hosts));
        routes.extend(what.map(|what| Route::deny(what, denials.response).enabling([names::GUARD])));
    }
    routes
}

/// A host that no route names. The guard compares the connection's facts first, also where the answer is a refusal.
fn open(plan: &GatewayPlan, clusters: &Clusters, concerns: impl Fn(&Host) -> bool) -> Vec<Route> {
    let routes = match plan.default_policy {
        DefaultPolicy::AllowAll => forwarding(plan, &requests(), clusters).into(),
        DefaultPolicy::DenyAll => {
            let mut routes = allowed(plan, clusters, concerns);
            let refuse = |what| Route::refuse(what, Refusal::DeniedByPolicy);
            routes.extend([websocket(requests()), requests()].map(refuse));
            routes
        }
    };
    routes
        .into_iter()
        .map(|route| route.enabling(std::iter::once(names::GUARD).chain(Cache::Open.filter_of(plan))))
        .collect()
}

/// What EgressL4Routes allow through a listener that ends TLS.
fn allowed(plan: &GatewayPlan, clusters: &Clusters, concerns: impl Fn(&Host) -> bool) -> Vec<Route> {
    let mut by_ports: BTreeMap<&PortRanges, Vec<&Host>> = BTreeMap::new();
    let intercepted = plan.egress.allowed.iter().filter(|allowed| allowed.passage == Passage::Intercepted);
    for Allowed { destination, .. } in intercepted.filter(|allowed| concerns(&allowed.destination.host)) {
        by_ports.entry(&destination.ports).or_default().push(&destination.host);
    }
    let mut routes = Vec::new();
    for (ports, hosts) in by_ports {
        for hosts in (Hosts { hosts, ports }).authorities_or(443) {
            routes.extend(forwarding(plan, &with_authority(requests(), &hosts), clusters));
        }
    }
    routes
}

fn forwarding(plan: &GatewayPlan, what: &route::RouteMatch, clusters: &Clusters) -> [Route; 2] {
    [
        Route::to(websocket(what.clone()), upgrade(&clusters.upgrades, plan.request_timeout)),
        Route::to(what.clone(), forward(&clusters.requests, plan.request_timeout)),
    ]
}

impl Clusters {
    fn resolved(cache: Cache) -> Self {
        let (requests, upgrades) = match cache {
            Cache::Credentialed => (names::CREDENTIALED, names::CREDENTIALED_H1),
            Cache::Open => (names::OPEN, names::OPEN_H1),
        };
        Clusters { requests: requests.to_owned(), upgrades: upgrades.to_owned() }
    }

    fn of_alias(host: &str) -> Self {
        Clusters { requests: names::alias(host), upgrades: names::alias_h1(host) }
    }
}
