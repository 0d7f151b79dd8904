//! EgressL4Routes: what each names, and what that comes to at each gateway.
//!
//! A route that is refused allows nothing. One that an EgressDenyPolicy targets denies what of it can be read: ports
//! that cannot be read are all ports, and a host that cannot be read is in no other list.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use policy::api::egress_gateway::{Listener, Protocol};
use policy::api::egress_l4_route::{Match, PortMatch, Rule, Spec};
use policy::api::{Kind, egress_gateway};
use policy::host::HostPattern;

use super::attach::{self, Gateways, Parent, Standing};
use super::denials::Denials;
use super::gateway::terminates;
use super::scope::host_pattern;
use super::support::{self, Support};
use super::values::network;
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
            let Some(Ok(spec)) = gateways.get(&gateway) else { continue };
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

/// A gateway as a route sees it.
struct At<'a> {
    spec: &'a egress_gateway::Spec,
    attached: &'a BTreeSet<usize>,
    named: &'a Named,
}

impl At<'_> {
    fn allowed(&self, wanted: &[Wanted]) -> Result<Ranked, Refusal> {
        let mut all = Ranked::new();
        for one in wanted {
            for (field, host) in &one.hosts {
                let before = all.len();
                let mut served = false;
                for (index, listener) in self.listeners() {
                    let ports = one.ports.intersect(&self.ports(index, listener));
                    let Some((passage, traffic)) = treatment(listener, host, one.traffic) else { continue };
                    if self.spec.upstream_proxy.is_some() && matches!(host, Host::Network(..)) {
                        continue;
                    }
                    if ports.is_empty() {
                        continue;
                    }
                    served = true;
                    if passage == Passage::Untouched && traffic != Traffic::Cleartext {
                        self.check_conflict(field, host)?;
                    }
                    let own_port = Reverse(listener.port.is_some());
                    let (kind, length) = rank(host);
                    let order = Order { kind, length, alias: Reverse(false), own_port, passage, traffic };
                    add(&mut all, order, host.clone(), &ports);
                }
                if !served {
                    debug_assert_eq!(before, all.len());
                    return Err(self.not_served(one, field, host));
                }
            }
        }
        Ok(all)
    }

    fn listeners(&self) -> impl Iterator<Item = (usize, &Listener)> {
        self.spec.listeners.iter().enumerate().filter(|(index, _)| self.attached.contains(index))
    }

    /// The ports that a listener serves for this route: one without a port leaves those of the others alone.
    fn ports(&self, index: usize, listener: &Listener) -> PortRanges {
        match listener.port {
            Some(port) => PortRanges::of([(port, port)]),
            None if listener.protocol == Protocol::Http => PortRanges::all(),
            None => {
                let others =
                    self.listeners().filter(|(other, it)| *other != index && it.protocol != Protocol::Http);
                let taken = others.filter_map(|(_, other)| other.port);
                taken.fold(PortRanges::all(), |ports, port| ports.without(port))
            }
        }
    }

    /// A host that gets a credential is always intercepted.
    fn check_conflict(&self, field: &str, host: &Host) -> Result<(), Refusal> {
        let Host::Name(name) = host else { return Ok(()) };
        // A pattern's `*` counts as a character, which only another `*` takes.
        let mut covering = self.named.iter().filter(|(pattern, _)| pattern.matches(name.as_str()));
        covering.next().map_or(Ok(()), |(pattern, route)| {
            let message = format!(
                "{field}: AIProviderRoute {route} names {pattern}, which is always intercepted; name a listener with \
                 tls.mode: Terminate by sectionName, or remove the name"
            );
            Err(Refusal::new("Conflicted", message))
        })
    }

    fn not_served(&self, wanted: &Wanted, field: &str, host: &Host) -> Refusal {
        let passes =
            |(_, listener): (usize, &Listener)| listener.protocol != Protocol::Http && !terminates(listener);
        let message = if matches!(host, Host::Network(..)) && self.spec.upstream_proxy.is_some() {
            format!(
                "{field}: the gateway has an upstreamProxy, which is never asked for an address; name the hosts"
            )
        } else if matches!(host, Host::Network(..)) && !self.listeners().any(passes) {
            format!(
                "{field}: a connection to an address can only be passed on; attach to a listener with protocol TCP, or \
                 TLS with tls.mode: Passthrough"
            )
        } else {
            format!(
                "{}: no listener that the route attaches to serves port {} for what is spoken there; add a listener for \
                 it, or one without a port",
                wanted.field, wanted.ports
            )
        };
        Refusal::new("NoMatchingListener", message)
    }
}

/// What becomes of traffic at a listener; `None` where it takes none of it.
fn treatment(listener: &Listener, host: &Host, traffic: Traffic) -> Option<(Passage, Traffic)> {
    let is_network = matches!(host, Host::Network(..));
    match (listener.protocol, traffic) {
        // No request in the clear gets past the filter to an address.
        (_, Traffic::Cleartext) | (Protocol::Http, Traffic::Any) if is_network => None,
        (Protocol::Http, Traffic::Tls) => None,
        (Protocol::Http, Traffic::Any) | (_, Traffic::Cleartext) => {
            Some((Passage::Untouched, Traffic::Cleartext))
        }
        _ if !terminates(listener) => Some((Passage::Untouched, traffic)),
        // A leaf is for a name.
        _ if is_network => None,
        _ => Some((Passage::Intercepted, traffic)),
    }
}

fn rank(host: &Host) -> (u8, Reverse<u8>) {
    match host {
        Host::Name(pattern) if pattern.exact().is_some() => (0, Reverse(0)),
        Host::Name(_) => (1, Reverse(0)),
        Host::Network(_, length) => (2, Reverse(*length)),
        Host::Any => (3, Reverse(0)),
    }
}

fn content(spec: &Spec) -> (Vec<Wanted>, Result<(), Refusal>) {
    let mut reading = Reading::default();
    reading.unsupported.extend(support::used(support::L4_ROUTE, Support::Refused, spec, "spec"));
    if spec.rules.is_empty() {
        reading.faults.push("spec.rules is empty: the route names no destination".to_owned());
    }
    for (index, rule) in spec.rules.iter().enumerate() {
        reading.rule(rule, &format!("spec.rules[{index}]"));
    }
    let unsupported = Refusal::unsupported(&reading.unsupported);
    let invalid =
        (!reading.faults.is_empty()).then(|| Refusal::new("UnsupportedValue", reading.faults.join("; ")));
    (reading.wanted, unsupported.or(invalid).map_or(Ok(()), Err))
}

#[derive(Default)]
struct Reading {
    wanted: Vec<Wanted>,
    faults: Vec<String>,
    unsupported: Vec<String>,
}

impl Reading {
    fn rule(&mut self, rule: &Rule, field: &str) {
        self.unsupported.extend(support::used(support::L4_RULE, Support::Refused, rule, field));
        if rule.matches.is_empty() {
            self.faults.push(format!(
                "{field}.matches is empty: name the destinations, or write matches: [{{}}] for every one"
            ));
        }
        for (index, one) in rule.matches.iter().enumerate() {
            self.one(one, format!("{field}.matches[{index}]"));
        }
    }

    fn one(&mut self, one: &Match, field: String) {
        self.unsupported.extend(support::used(support::L4_MATCH, Support::Refused, one, &field));
        let mut hosts = Vec::new();
        for (index, text) in one.destination_cidrs.iter().enumerate() {
            let at = format!("{field}.destinationCIDRs[{index}]");
            match network(text) {
                Some((address, length)) => hosts.push((at, Host::Network(address, length))),
                None => self.faults.push(format!("{at}: write a CIDR, such as 10.0.0.0/8")),
            }
        }
        for (index, text) in one.destination_hostnames.iter().enumerate() {
            let at = format!("{field}.destinationHostnames[{index}]");
            match host_pattern(text) {
                Ok(pattern) => hosts.push((at, Host::Name(pattern))),
                Err(why) => self.faults.push(format!("{at}: {why} (addresses belong into destinationCIDRs)")),
            }
        }
        if one.destination_cidrs.is_empty() && one.destination_hostnames.is_empty() {
            hosts.push((field.clone(), Host::Any));
        }
        let (ports, traffic) = (self.ports(&one.ports, &field), self.traffic(one, &field));
        self.wanted.push(Wanted { field, hosts, ports, traffic });
    }

    fn ports(&mut self, ports: &[PortMatch], field: &str) -> PortRanges {
        let before = self.faults.len();
        let mut ranges = Vec::new();
        for (index, one) in ports.iter().enumerate() {
            match range(one) {
                Ok(range) => ranges.push(range),
                Err(why) => self.faults.push(format!("{field}.ports[{index}]: {why}")),
            }
        }
        let sound = before == self.faults.len();
        if sound && !ranges.is_empty() { PortRanges::of(ranges) } else { PortRanges::all() }
    }

    fn traffic(&mut self, one: &Match, field: &str) -> Traffic {
        match one.protocol.as_deref() {
            None | Some("TCP") => Traffic::Any,
            Some("TLS" | "HTTPS") => Traffic::Tls,
            Some("HTTP") => Traffic::Cleartext,
            Some("UDP") => {
                self.faults
                    .push(format!("{field}.protocol: UDP is not served; write TCP, TLS, HTTPS or HTTP"));
                Traffic::Any
            }
            Some(_) => {
                self.faults.push(format!("{field}.protocol: unknown; write TCP, TLS, HTTPS or HTTP"));
                Traffic::Any
            }
        }
    }
}

fn range(ports: &PortMatch) -> Result<(u16, u16), &'static str> {
    match (ports.port, ports.start_port, ports.end_port) {
        (Some(0), None, None) | (None, Some(0), Some(_)) => Err("use 1 to 65535"),
        (Some(port), None, None) => Ok((port, port)),
        (None, Some(first), Some(last)) if first <= last => Ok((first, last)),
        (None, Some(_), Some(_)) => Err("endPort is below startPort"),
        _ => Err("write port, or startPort and endPort"),
    }
}
