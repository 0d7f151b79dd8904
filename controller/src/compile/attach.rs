//! Which listeners of which gateways a route attaches to.

use std::collections::{BTreeMap, BTreeSet};

use policy::api::egress_gateway::{FromNamespaces, Listener, Spec};
use policy::api::label_selector::{LabelSelector, Labels};
use policy::api::namespace::NAME_LABEL;
use policy::api::reference::ParentReference;
use policy::api::status::StatusReference;
use policy::api::{GROUP, Kind};

use super::gateway::terminates;
use super::verdict::Refusal;
use crate::plan::ObjectKey;

/// How a route stands with one parent.
pub(super) struct Parent {
    /// The reference, as the spec spells it.
    pub(super) to: StatusReference,
    /// The gateway that it names.
    pub(super) gateway: ObjectKey,
    /// What came of it.
    pub(super) standing: Standing,
}

/// Whether a route has anything to say at a parent.
pub(super) enum Standing {
    /// It never attached: it has no effect.
    Apart(Refusal),
    /// It attached, but cannot be served: what it speaks of is denied.
    Refused(Refusal),
    /// It attached to these listeners, by index.
    Attached(BTreeSet<usize>),
}

/// The gateways that routes may attach to.
pub(super) struct Gateways<'a> {
    /// The spec of each, or why it is refused.
    pub(super) specs: BTreeMap<ObjectKey, Result<&'a Spec, Refusal>>,
    /// Labels of Namespaces, by name.
    pub(super) namespaces: &'a BTreeMap<String, Labels>,
}

impl Gateways<'_> {
    /// The spec of a gateway that is not refused.
    pub(super) fn accepted(&self, gateway: &ObjectKey) -> Option<&Spec> {
        self.specs.get(gateway)?.as_ref().ok().copied()
    }

    /// Whether a selector selects a namespace. Where its object is not there, or cannot be read, nothing is known of it
    /// but its name: whoever asks for another label, or for its absence, does not select it.
    fn select(&self, selector: &LabelSelector, namespace: &str) -> bool {
        let known = self.namespaces.get(namespace);
        let mut labels = known.cloned().unwrap_or_default();
        labels.insert(NAME_LABEL.to_owned(), namespace.to_owned());
        (known.is_some() || selector.keys().all(|key| key == NAME_LABEL)) && selector.selects(&labels)
    }
}

/// The parents of a route that are ours. A reference without group and kind means a Gateway: not ours.
pub(super) fn parents(
    route: &ObjectKey,
    kind: Kind,
    references: &[ParentReference],
    gateways: &Gateways<'_>,
) -> Vec<Parent> {
    let mut parents: Vec<Parent> = references
        .iter()
        .filter(|reference| is_gateway(reference))
        .map(|reference| parent(route, kind, reference, gateways))
        .collect();
    if kind == Kind::AiProviderRoute {
        refuse_partial(&mut parents, gateways);
    }
    parents
}

fn is_gateway(reference: &ParentReference) -> bool {
    reference.group.as_deref() == Some(GROUP)
        && reference.kind.as_deref() == Some(Kind::EgressGateway.as_str())
}

fn parent(route: &ObjectKey, kind: Kind, reference: &ParentReference, gateways: &Gateways<'_>) -> Parent {
    let namespace = reference.namespace.as_ref().unwrap_or(&route.namespace).clone();
    let gateway = ObjectKey { namespace, name: reference.name.clone() };
    let standing = match gateways.specs.get(&gateway) {
        None => Standing::Apart(no_parent(format!("there is no EgressGateway {gateway}"))),
        Some(Err(refusal)) => Standing::Apart(no_parent(format!(
            "EgressGateway {gateway} is refused itself ({}); correct it first",
            refusal.reason
        ))),
        Some(Ok(spec)) => stand(route, kind, reference, &gateway, spec, gateways),
    };
    Parent { to: status_reference(reference), gateway, standing }
}

fn no_parent(message: String) -> Refusal {
    Refusal::new("NoMatchingParent", message)
}

fn stand(
    route: &ObjectKey,
    kind: Kind,
    reference: &ParentReference,
    gateway: &ObjectKey,
    spec: &Spec,
    gateways: &Gateways<'_>,
) -> Standing {
    let named: Vec<(usize, &Listener)> =
        spec.listeners.iter().enumerate().filter(|(_, listener)| names(reference, listener)).collect();
    if named.is_empty() {
        let message = format!("no listener of EgressGateway {gateway} has that sectionName and port");
        return Standing::Apart(no_parent(message));
    }
    let allowing: Vec<(usize, &Listener)> =
        named.into_iter().filter(|(_, listener)| allows(listener, gateway, route, kind, gateways)).collect();
    if allowing.is_empty() {
        let message = "allowedRoutes of the listeners does not admit this route (default: same namespace)";
        return Standing::Apart(Refusal::new("NotAllowedByListeners", message));
    }
    if kind == Kind::EgressL4Route {
        return Standing::Attached(allowing.into_iter().map(|(index, _)| index).collect());
    }
    let terminating: BTreeSet<usize> =
        allowing.into_iter().filter(|(_, listener)| terminates(listener)).map(|(index, _)| index).collect();
    if terminating.is_empty() {
        let message = "a credential needs a listener with tls.mode: Terminate";
        return Standing::Refused(Refusal::new("NoTerminateListener", message));
    }
    Standing::Attached(terminating)
}

fn names(reference: &ParentReference, listener: &Listener) -> bool {
    reference.section_name.as_ref().is_none_or(|name| *name == listener.name)
        && reference.port.is_none_or(|port| listener.port == Some(port))
}

fn allows(
    listener: &Listener,
    gateway: &ObjectKey,
    route: &ObjectKey,
    kind: Kind,
    gateways: &Gateways<'_>,
) -> bool {
    let allowed = listener.allowed_routes.as_ref();
    let namespaces = allowed.and_then(|allowed| allowed.namespaces.as_ref());
    let selector = namespaces.and_then(|namespaces| namespaces.selector.as_ref());
    let namespace = match namespaces.map(|namespaces| namespaces.from).unwrap_or_default() {
        FromNamespaces::Same => route.namespace == gateway.namespace,
        FromNamespaces::All => true,
        FromNamespaces::None => false,
        FromNamespaces::Selector => {
            selector.is_some_and(|selector| gateways.select(selector, &route.namespace))
        }
    };
    let kinds = allowed.map(|allowed| allowed.kinds.as_slice()).unwrap_or_default();
    let is_kind = kinds.is_empty()
        || kinds.iter().any(|one| one.group.as_deref() == Some(GROUP) && one.kind == kind.as_str());
    namespace && is_kind
}

/// Rules are a gateway's, not a listener's: a route that may use some of the Terminate listeners only would reach the
/// others, so it is refused.
fn refuse_partial(parents: &mut [Parent], gateways: &Gateways<'_>) {
    let mut attached: BTreeMap<ObjectKey, BTreeSet<usize>> = BTreeMap::new();
    for parent in parents.iter() {
        if let Standing::Attached(listeners) = &parent.standing {
            attached.entry(parent.gateway.clone()).or_default().extend(listeners);
        }
    }
    for parent in parents {
        let Some(spec) = gateways.accepted(&parent.gateway) else { continue };
        let all = spec.listeners.iter().filter(|listener| terminates(listener)).count();
        let some = attached.get(&parent.gateway).map_or(0, BTreeSet::len);
        if matches!(parent.standing, Standing::Attached(_)) && some < all {
            let message = "attaching to some of a gateway's Terminate listeners is not supported yet; attach to all of them";
            parent.standing = Standing::Refused(Refusal::new("Unsupported", message));
        }
    }
}

/// A reference as a status repeats it.
pub(super) fn status_reference(reference: &ParentReference) -> StatusReference {
    StatusReference {
        group: reference.group.clone().unwrap_or_default(),
        kind: reference.kind.clone().unwrap_or_default(),
        namespace: reference.namespace.clone(),
        name: reference.name.clone(),
        section_name: reference.section_name.clone(),
    }
}
