//! EgressL4Routes: what each names, and what that comes to at each gateway.
//!
//! A route that is refused allows nothing. One that an EgressDenyPolicy targets denies what of it can be read: ports
//! that cannot be read are all ports, and a host that cannot be read is in no other list.

mod content;
mod served;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use policy::api::Kind;
use policy::api::egress_l4_route::Spec;
use policy::host::HostPattern;

use self::content::content;
use self::served::At;
use super::attach::{self, Gateways, Parent, Standing};
use super::denials::Denials;
use super::verdict::Refusal;
use crate::destination::{Destination, Host, PortRanges, Traffic};
use crate::inputs::{Inputs, Reduced};
use crate::plan::{Alias, Allowed, Denied, Egress, ObjectKey, Passage};

/// A route, read, and how it stands with its gateways.
pub(super) struct Route {
    pub(super) generation: Option<i64>,
    pub(super) parents: Vec<Parent>,
    /// Whether it is refused for its own content.
    pub(super) verdict: Result<(), Refusal>,
    wanted: Vec<Wanted>,
    /// By gateway that it is attached to: what it allows there.
    at: BTreeMap<ObjectKey, Result<Ranked, Refusal>>,
}

/// Destinations with their order. Each order and host stands once.
type Ranked = BTreeMap<(Order, Host), PortRanges>;

/// Which destination goes first: a name, a pattern, a longer network, any host; then what a listener with a port of its
/// own serves; then what is intercepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    kind: u8,
    length: Reverse<u8>,
    /// Hosts that the operator gave an address come before what else the same match covers.
    alias: Reverse<bool>,
    own_port: Reverse<bool>,
    passage: Passage,
    traffic: Traffic,
}

/// One match of a route.
struct Wanted {
    /// Its place in the spec.
    field: String,
    /// Each with its place.
    hosts: Vec<(String, Host)>,
    ports: PortRanges,
    traffic: Traffic,
}

/// The hosts that AIProviderRoutes name at a gateway, and the route that does.
pub(super) type Named = BTreeMap<HostPattern, ObjectKey>;

/// Reads every route and settles it with the gateways. `named` tells which hosts of a gateway get credentials.
pub(super) fn routes(
    inputs: &Inputs,
    gateways: &Gateways<'_>,
    denials: &Denials,
    named: impl Fn(&ObjectKey) -> Named,
) -> BTreeMap<ObjectKey, Route> {
    let mut known: BTreeMap<ObjectKey, Named> = BTreeMap::new();
    let mut named =
        |gateway: &ObjectKey| known.entry(gateway.clone()).or_insert_with(|| named(gateway)).clone();
    let mut routes = BTreeMap::new();
    for (key, reduced) in &inputs.l4_routes {
        let mut route = read(key, reduced, gateways);
        // One that is inverted allows nothing, so nothing can be wrong with what it would allow.
        if denials.policy(Kind::EgressL4Route, key).is_none() {
            route.settle(gateways, &mut named);
        }
        routes.insert(key.clone(), route);
    }
    routes
}

fn read(key: &ObjectKey, route: &Reduced<Spec>, gateways: &Gateways<'_>) -> Route {
    let (wanted, verdict) = content(&route.spec);
    let parents = attach::parents(key, Kind::EgressL4Route, &route.spec.parent_refs, gateways);
    Route { generation: route.generation, parents, verdict, wanted, at: BTreeMap::new() }
}

impl Route {
    /// Works out what it allows at each of its gateways.
    fn settle(&mut self, gateways: &Gateways<'_>, named: &mut impl FnMut(&ObjectKey) -> Named) {
        for gateway in self.parents.iter().map(|parent| parent.gateway.clone()).collect::<BTreeSet<_>>() {
            let attached = self.listeners(&gateway);
            let Some(spec) = gateways.accepted(&gateway) else { continue };
            if !attached.is_empty() {
                let here = At { spec, attached: &attached, named: &named(&gateway) };
                self.at.insert(gateway, here.allowed(&self.wanted));
            }
        }
    }

    /// The listeners of a gateway that it is attached to.
    pub(super) fn listeners(&self, gateway: &ObjectKey) -> BTreeSet<usize> {
        let here = self.parents.iter().filter(|parent| parent.gateway == *gateway);
        let attached = here.filter_map(|parent| match &parent.standing {
            Standing::Attached(listeners) => Some(listeners),
            _ => None,
        });
        attached.flatten().copied().collect()
    }

    /// Why it is refused at a parent.
    pub(super) fn refusal<'a>(&'a self, parent: &'a Parent) -> Option<&'a Refusal> {
        match &parent.standing {
            Standing::Apart(refusal) | Standing::Refused(refusal) => Some(refusal),
            Standing::Attached(_) => {
                let here = self.at.get(&parent.gateway).and_then(|here| here.as_ref().err());
                self.verdict.as_ref().err().or(here)
            }
        }
    }
}

/// What all routes come to at one gateway.
pub(super) fn at(
    gateway: &ObjectKey,
    routes: &BTreeMap<ObjectKey, Route>,
    denials: &Denials,
    aliases: &BTreeMap<String, Alias>,
) -> Egress {
    let (mut allowed, mut denied) = (Ranked::new(), Vec::new());
    for (key, route) in routes.iter().filter(|(_, route)| !route.listeners(gateway).is_empty()) {
        match (denials.response(Kind::EgressL4Route, key), route.at.get(gateway), &route.verdict) {
            (Some(response), ..) => {
                let each = route.wanted.iter().flat_map(Wanted::destinations);
                denied.extend(each.map(|destination| Denied { destination, response: response.clone() }));
            }
            (None, Some(Ok(here)), Ok(())) => {
                for ((order, host), ports) in here {
                    for (order, host) in with_aliases(*order, host, aliases) {
                        add(&mut allowed, order, host, ports);
                    }
                }
            }
            _ => {}
        }
    }
    denied.sort_by(|a, b| a.destination.cmp(&b.destination));
    denied.dedup_by(|a, b| a.destination == b.destination);
    let allowed = allowed.into_iter().map(|((order, host), ports)| Allowed {
        destination: Destination { host, ports, traffic: order.traffic },
        passage: order.passage,
    });
    Egress { denied, allowed: allowed.collect() }
}

/// A host, and the names below it that have an address and a port of their own.
fn with_aliases<'a>(
    order: Order,
    host: &'a Host,
    aliases: &'a BTreeMap<String, Alias>,
) -> impl Iterator<Item = (Order, Host)> + 'a {
    let is_exact = matches!(host, Host::Name(pattern) if pattern.exact().is_some());
    let below = aliases.keys().filter(move |name| !is_exact && host.names(name));
    let below = below.filter_map(|name| HostPattern::parse(name).ok());
    let below = below.map(move |name| (Order { alias: Reverse(true), ..order }, Host::Name(name)));
    below.chain(std::iter::once((order, host.clone())))
}

fn add(all: &mut Ranked, order: Order, host: Host, ports: &PortRanges) {
    let known = all.entry((order, host)).or_insert_with(|| PortRanges::of([]));
    *known = known.union(ports);
}

impl Wanted {
    fn destinations(&self) -> impl Iterator<Item = Destination> + '_ {
        self.hosts.iter().map(|(_, host)| Destination {
            host: host.clone(),
            ports: self.ports.clone(),
            traffic: self.traffic,
        })
    }
}
