//! What a route allows at a gateway: which of its listeners serve a destination, and what becomes of it there.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use policy::api::egress_gateway::{self, Listener, Protocol};

use super::super::gateway::terminates;
use super::super::verdict::Refusal;
use super::{Named, Order, Ranked, Wanted, add};
use crate::destination::{Host, PortRanges, Traffic};
use crate::plan::Passage;

/// A gateway as a route sees it.
pub(super) struct At<'a> {
    pub(super) spec: &'a egress_gateway::Spec,
    pub(super) attached: &'a BTreeSet<usize>,
    pub(super) named: &'a Named,
}

impl At<'_> {
    /// What it allows of what the route names.
    ///
    /// # Errors
    /// No listener that the route attaches to serves a destination, or it contradicts an AIProviderRoute.
    pub(super) fn allowed(&self, wanted: &[Wanted]) -> Result<Ranked, Refusal> {
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
