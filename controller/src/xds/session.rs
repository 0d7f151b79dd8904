//! One delta ADS stream as a pure state machine: requests, snapshots and leaves go in, responses and events come out.
//!
//! At most one response of a type is outstanding; what changes meanwhile goes into the next one. Additions go out
//! in the order of [`Kind`], each after what it refers to was acknowledged, removals the other way. Leaves neither
//! wait nor make others wait. Secrets, filter configurations and routes travel one to a response, leaves in the order
//! in which they were decided, those that a handshake may wait for first.
//!
//! Absent on purpose: I/O, clocks, and any decision about which leaf to mint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::google::rpc::Status;

use super::subscription::{Due, Held, Outstanding, Subscription, Wanted};
use super::{Kind, Resource, Snapshot};

/// The explicit form of a subscription to everything.
const WILDCARD: &str = "*";

/// Envoy's reasons can quote configuration at length; this many bytes are kept.
const MESSAGE_LIMIT: usize = 1024;

/// What a request told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// These names were asked for. Each leaf among them is owed a [`Session::offer`].
    Subscribed(Kind, BTreeSet<String>),
    /// These names are not wanted any more, and not held.
    Unsubscribed(Kind, BTreeSet<String>),
    /// The proxy holds these now: name to version, or `None` where it knows that there is none.
    Acked(Kind, BTreeMap<String, Option<String>>),
    /// The proxy refused these versions and keeps what it had.
    Nacked(Kind, BTreeMap<String, String>, String),
}

/// What a proxy refused, by type and name: the version and its reason. It outlives the stream, because Envoy takes
/// bytes that it refused before for bytes that it knows: it acknowledges them without applying them.
pub type Refusals = BTreeMap<(Kind, String), (String, String)>;

/// The state of one stream.
#[derive(Debug, Default)]
pub struct Session {
    snapshot: Option<Arc<Snapshot>>,
    subscriptions: BTreeMap<Kind, Subscription>,
    /// What this proxy refused on earlier streams.
    refusals: Refusals,
    /// Leaves by name; `None` where the name is to be refused or the leaf withdrawn, until that was sent.
    offers: BTreeMap<String, Offer>,
    /// How many offers there were.
    offered: u64,
    nonce: u64,
}

/// What was decided about a leaf.
#[derive(Debug)]
struct Offer {
    leaf: Option<Arc<Resource>>,
    /// Its place among those that wait to be sent.
    turn: u64,
}

impl Session {
    /// A stream that has said nothing yet, of a proxy that refused these before. Nothing is sent before the first
    /// [`Session::publish`].
    #[must_use]
    pub fn new(refusals: Refusals) -> Session {
        Session { refusals, ..Session::default() }
    }

    /// Replaces the snapshot.
    pub fn publish(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshot = Some(snapshot);
        for kind in Kind::ALL {
            self.review(kind);
        }
    }

    fn review(&mut self, kind: Kind) {
        let all = self.snapshot.iter().flat_map(|snapshot| snapshot.of(kind));
        if let Some(subscription) = self.subscriptions.get_mut(&kind) {
            subscription.review(all.map(|resource| resource.name.as_str()));
        }
    }

    /// Decides a leaf that was asked for: the leaf, or `None` to refuse it or to withdraw what was sent. Ignored
    /// for names that nobody asked for.
    pub fn offer(&mut self, name: &str, leaf: Option<Arc<Resource>>) {
        let Some(secrets) = self.subscriptions.get_mut(&Kind::Secret) else { return };
        if secrets.names().contains(name) && Kind::Secret.on_demand(name) {
            secrets.touch(name);
            self.decide(name, leaf);
        }
    }

    /// What is decided anew keeps its turn: the handshake has waited since.
    fn decide(&mut self, name: &str, leaf: Option<Arc<Resource>>) {
        if let Some(offer) = self.offers.get_mut(name) {
            offer.leaf = leaf;
            return;
        }
        self.offered += 1;
        self.offers.insert(name.to_owned(), Offer { leaf, turn: self.offered });
    }

    /// The leaves that were decided, with what was decided.
    pub fn offers(&self) -> impl Iterator<Item = (&str, Option<&Arc<Resource>>)> {
        self.offers.iter().map(|(name, offer)| (name.as_str(), offer.leaf.as_ref()))
    }

    /// The version of this leaf that the proxy is known to hold.
    #[must_use]
    pub fn held_leaf(&self, name: &str) -> Option<&str> {
        self.subscriptions.get(&Kind::Secret)?.held_version(name)
    }

    /// Takes a request in. Types that are not served are ignored.
    pub fn request(&mut self, request: discovery::DeltaDiscoveryRequest) -> Vec<Event> {
        let Some(kind) = Kind::from_url(&request.type_url) else { return Vec::new() };
        let mut events = Vec::new();
        if self.subscriptions.contains_key(&kind) {
            events.extend(self.answer(kind, &request.response_nonce, request.error_detail));
            events.extend(self.unsubscribe(kind, request.resource_names_unsubscribe));
            self.resubscribe(kind, &request.resource_names_subscribe);
        } else {
            events.extend(self.start(kind, &request));
        }
        events.extend(self.demand(kind, &request.resource_names_subscribe));
        events
    }

    fn start(&mut self, kind: Kind, request: &discovery::DeltaDiscoveryRequest) -> Vec<Event> {
        let initial = request.initial_resource_versions.clone().into_iter().collect();
        let names = without_wildcard(&request.resource_names_subscribe);
        let explicit = names.len() < request.resource_names_subscribe.len();
        let implicit = request.resource_names_subscribe.is_empty() && kind.empty_means_all();
        let mut subscription = Subscription::start(&initial, explicit || implicit, &names);
        let held: BTreeMap<_, _> =
            subscription.held().map(|(name, version)| (name.clone(), Some(version.clone()))).collect();
        let mut events = vec![Event::Acked(kind, held)];
        for ((_, name), (version, message)) in
            self.refusals.iter().filter(|((refused, _), _)| *refused == kind)
        {
            subscription.refused_before(name, version);
            events.push(Event::Nacked(kind, [(name.clone(), version.clone())].into(), message.clone()));
        }
        self.subscriptions.insert(kind, subscription);
        self.review(kind);
        events
    }

    /// An ACK or a NACK of the outstanding response. Others are late: they speak of a response that was superseded.
    fn answer(&mut self, kind: Kind, nonce: &str, error: Option<Status>) -> Option<Event> {
        let subscription = self.subscriptions.get_mut(&kind)?;
        let outstanding = subscription.answered(nonce)?;
        let Some(error) = error else {
            subscription.acknowledge(&outstanding.sent);
            return Some(Event::Acked(kind, outstanding.sent.into_iter().map(acked).collect()));
        };
        let guilty = subscription.refuse(outstanding.sent, &error.message);
        // Handshakes wait for a leaf that they have not got: refused, they end at once.
        let in_vain =
            guilty.keys().filter(|name| kind.on_demand(name) && subscription.held_version(name).is_none());
        for name in in_vain.cloned().collect::<Vec<_>>() {
            self.decide(&name, None);
        }
        (!guilty.is_empty()).then(|| Event::Nacked(kind, guilty, shortened(error.message)))
    }

    fn unsubscribe(&mut self, kind: Kind, names: Vec<String>) -> Option<Event> {
        let subscription = self.subscriptions.get_mut(&kind)?;
        let named = without_wildcard(&names);
        if named.len() < names.len() {
            subscription.unsubscribe_all();
        }
        subscription.unsubscribe(&named);
        for name in &named {
            self.offers.remove(name);
        }
        (!named.is_empty()).then(|| Event::Unsubscribed(kind, named.into_iter().collect()))
    }

    fn resubscribe(&mut self, kind: Kind, names: &[String]) {
        let Some(subscription) = self.subscriptions.get_mut(&kind) else { return };
        let named = without_wildcard(names);
        subscription.subscribe(&named);
        if named.len() < names.len() {
            subscription.subscribe_all();
            self.review(kind);
        }
    }

    /// What was decided about leaves that are asked for again counts no more.
    fn demand(&mut self, kind: Kind, names: &[String]) -> Option<Event> {
        let names: BTreeSet<String> = without_wildcard(names).into_iter().collect();
        for name in &names {
            self.offers.remove(name);
        }
        (!names.is_empty()).then_some(Event::Subscribed(kind, names))
    }

    /// The responses that may go out now, in the order in which they should.
    pub fn responses(&mut self) -> Vec<discovery::DeltaDiscoveryResponse> {
        if self.snapshot.is_none() {
            return Vec::new();
        }
        let due: BTreeMap<Kind, Due> =
            Kind::ALL.into_iter().filter_map(|kind| Some((kind, self.due(kind)?))).collect();
        let turn: Vec<(Kind, Due)> =
            Kind::ALL.into_iter().filter_map(|kind| self.allowed(kind, &due)).collect();
        turn.into_iter().map(|(kind, due)| self.respond(kind, due)).collect()
    }

    fn due(&mut self, kind: Kind) -> Option<Due> {
        let (snapshot, offers) = (self.snapshot.as_ref()?, &self.offers);
        let subscription = self.subscriptions.get_mut(&kind)?;
        let wanted = |name: &str| match kind.on_demand(name) {
            true => wanted_leaf(offers, name),
            false => snapshot
                .find(kind, name)
                .map_or(Wanted::Absent, |resource| Wanted::Version(&resource.version)),
        };
        // While a response is on its way nothing of its type goes out, and what others wait for is in the snapshot.
        // An agent that asks for names faster than they are answered must not have all of them compared for each.
        let due = match kind == Kind::Secret && subscription.outstanding.is_some() {
            true => subscription.due_among(snapshot.of(kind).map(|resource| resource.name.as_str()), wanted),
            false => subscription.due(wanted),
        };
        (!due.is_empty()).then_some(due)
    }

    /// The part of what is due that its turn has come for: additions once all that they refer to is acknowledged,
    /// removals once nothing refers to them.
    fn allowed(&self, kind: Kind, due: &BTreeMap<Kind, Due>) -> Option<(Kind, Due)> {
        let own = due.get(&kind)?;
        if self.outstanding(kind).is_some() {
            return None;
        }
        let referred = Kind::ALL.into_iter().take_while(|other| *other < kind);
        let referring = Kind::ALL.into_iter().skip_while(|other| *other <= kind);
        let updates_wait = referred.into_iter().any(|other| self.updating(other, due));
        let removals_wait =
            referring.into_iter().any(|other| self.outstanding(other).is_some() || due.contains_key(&other));
        let now = Due {
            updates: if updates_wait { BTreeSet::new() } else { own.updates.clone() },
            missing: own.missing.clone(),
            removals: own
                .removals
                .iter()
                .filter(|name| !removals_wait || kind.on_demand(name))
                .cloned()
                .collect(),
            greeting: own.greeting && !updates_wait,
        };
        (!now.is_empty()).then_some((kind, now))
    }

    /// Whether something that others refer to is still on its way.
    fn updating(&self, kind: Kind, due: &BTreeMap<Kind, Due>) -> bool {
        let gates = |name: &str| !kind.on_demand(name);
        let underway = self.outstanding(kind).is_some_and(|outstanding| outstanding.updates(gates));
        underway || due.get(&kind).is_some_and(|due| due.updates.iter().any(|name| gates(name)))
    }

    fn outstanding(&self, kind: Kind) -> Option<&Outstanding> {
        self.subscriptions.get(&kind)?.outstanding.as_ref()
    }

    fn respond(&mut self, kind: Kind, due: Due) -> discovery::DeltaDiscoveryResponse {
        self.nonce += 1;
        let nonce = self.nonce.to_string();
        let first = due.updates.iter().min_by_key(|name| self.turn(kind, name)).cloned();
        let Load { updates, removed } = load(kind, due, first);
        let resources: Vec<discovery::Resource> =
            updates.iter().filter_map(|name| self.resource(kind, name)).map(wire).collect();
        let updates = resources.iter().map(|sent| (sent.name.clone(), Held::Version(sent.version.clone())));
        let removals = removed.iter().map(|name| (name.clone(), Held::Absent));
        let sent = updates.chain(removals).collect();
        if let Some(subscription) = self.subscriptions.get_mut(&kind) {
            subscription.sent(Outstanding { nonce: nonce.clone(), sent });
            // Envoy remembers nothing of a leaf that it is refused, and asks again when it needs it.
            for name in removed.iter().filter(|name| kind.on_demand(name)) {
                subscription.forget(name);
                self.offers.remove(name);
            }
        }
        discovery::DeltaDiscoveryResponse {
            type_url: kind.url().to_owned(),
            nonce,
            resources,
            removed_resources: removed.into_iter().collect(),
            ..Default::default()
        }
    }

    /// The order of what travels alone.
    fn turn(&self, kind: Kind, name: &str) -> Turn {
        if !kind.on_demand(name) {
            return Turn::Snapshot;
        }
        let turn = self.offers.get(name).map_or(0, |offer| offer.turn);
        let awaited = self.subscriptions.get(&kind).is_some_and(|leaves| leaves.awaits(name));
        if awaited { Turn::Awaited(turn) } else { Turn::Replaced(turn) }
    }

    fn resource(&self, kind: Kind, name: &str) -> Option<&Resource> {
        match kind.on_demand(name) {
            true => self.offers.get(name)?.leaf.as_deref(),
            false => self.snapshot.as_ref()?.find(kind, name),
        }
    }
}

fn wanted_leaf<'a>(offers: &'a BTreeMap<String, Offer>, name: &str) -> Wanted<'a> {
    match offers.get(name) {
        Some(Offer { leaf: Some(leaf), .. }) => Wanted::Version(&leaf.version),
        Some(Offer { leaf: None, .. }) => Wanted::Absent,
        None => Wanted::Undecided,
    }
}

/// What goes first of resources that travel alone.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Snapshot,
    /// A handshake may wait for it.
    Awaited(u64),
    /// The proxy has a leaf that still serves.
    Replaced(u64),
}

/// What goes into one response.
struct Load {
    updates: BTreeSet<String>,
    removed: BTreeSet<String>,
}

/// `first` is the update whose turn it is. Updates go before refusals where they cannot travel together: their number is bounded, an agent can ask for
/// names to be refused without end.
fn load(kind: Kind, due: Due, first: Option<String>) -> Load {
    let removed = due.missing.into_iter().chain(due.removals).collect();
    match first.filter(|_| kind.travels_alone()) {
        Some(update) => Load { updates: [update].into(), removed: BTreeSet::new() },
        None => Load { updates: due.updates, removed },
    }
}

fn wire(resource: &Resource) -> discovery::Resource {
    discovery::Resource {
        name: resource.name.clone(),
        version: resource.version.clone(),
        resource: Some(resource.body.clone()),
        ..Default::default()
    }
}

fn acked((name, held): (String, Held)) -> (String, Option<String>) {
    match held {
        Held::Version(version) => (name, Some(version)),
        Held::Absent => (name, None),
    }
}

fn without_wildcard(names: &[String]) -> Vec<String> {
    names.iter().filter(|name| *name != WILDCARD).cloned().collect()
}

fn shortened(mut message: String) -> String {
    let end = (0..=MESSAGE_LIMIT.min(message.len())).rev().find(|end| message.is_char_boundary(*end));
    message.truncate(end.unwrap_or(0));
    message
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
