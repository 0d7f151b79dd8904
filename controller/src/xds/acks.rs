//! What the connected proxies of one gateway made of what they were sent.

use std::collections::{BTreeMap, BTreeSet};

use super::session::Event;
use super::{Kind, Snapshot};

/// One stream, numbered in the order in which they opened; a proxy that reconnects gets a new number.
pub type ProxyId = u64;

/// A gateway's proxies and what each holds. Leaves are not kept here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AckState {
    proxies: BTreeMap<ProxyId, Proxy>,
}

/// What one proxy asked for by name, and its word on each resource that it was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    asked: BTreeSet<(Kind, String)>,
    answers: BTreeMap<(Kind, String), Answer>,
}

/// A proxy's word on one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The version that it acknowledged and holds.
    pub acked: Option<String>,
    /// The version that it refused since, and why. The next acknowledgement clears it.
    pub nacked: Option<(String, String)>,
}

/// A resource that a proxy refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// Its type.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Envoy's reason.
    pub message: String,
}

impl AckState {
    /// How many proxies are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.proxies.len()
    }

    /// The connected proxies, in the order in which they connected.
    #[must_use]
    pub fn proxies(&self) -> &BTreeMap<ProxyId, Proxy> {
        &self.proxies
    }

    /// Whether every connected proxy holds this snapshot, or a part of one. True while no proxy is connected.
    #[must_use]
    pub fn settled(&self, wanted: &Snapshot) -> bool {
        self.proxies.values().all(|proxy| proxy.settled(wanted))
    }

    /// The resources of this snapshot that some proxy refused in this very version, each once, in order.
    #[must_use]
    pub fn refusals(&self, wanted: &Snapshot) -> Vec<Refusal> {
        let mut refusals: Vec<Refusal> =
            self.proxies.values().flat_map(|proxy| proxy.refusals(wanted)).collect();
        refusals.sort();
        refusals.dedup_by(|one, other| (one.kind, &one.name) == (other.kind, &other.name));
        refusals
    }

    pub(crate) fn connect(&mut self, proxy: ProxyId) {
        self.proxies.insert(proxy, Proxy::default());
    }

    pub(crate) fn disconnect(&mut self, proxy: ProxyId) {
        self.proxies.remove(&proxy);
    }

    /// Takes in what a session told. Returns whether anything here changed.
    pub(crate) fn apply(&mut self, proxy: ProxyId, event: &Event) -> bool {
        self.proxies.get_mut(&proxy).is_some_and(|proxy| proxy.apply(event))
    }
}

impl Proxy {
    /// Its word on each resource that it was sent, in order.
    #[must_use]
    pub fn answers(&self) -> &BTreeMap<(Kind, String), Answer> {
        &self.answers
    }

    /// Whether it holds this snapshot: every cluster and listener, and of the other types what it asked for. Nothing
    /// refers to the rest: Envoy asks for what a listener refers to before it acknowledges the listener.
    #[must_use]
    pub fn settled(&self, wanted: &Snapshot) -> bool {
        wanted.iter().all(|(kind, resource)| {
            let key = (kind, resource.name.clone());
            let held =
                self.answers.get(&key).and_then(|answer| answer.acked.as_ref()) == Some(&resource.version);
            held || !kind.empty_means_all() && !self.asked.contains(&key)
        })
    }

    fn refusals(&self, wanted: &Snapshot) -> impl Iterator<Item = Refusal> {
        self.answers.iter().filter_map(|((kind, name), answer)| {
            let (version, message) = answer.nacked.as_ref()?;
            let current = wanted.find(*kind, name)?.version == *version;
            current.then(|| Refusal { kind: *kind, name: name.clone(), message: message.clone() })
        })
    }

    fn apply(&mut self, event: &Event) -> bool {
        let mut changed = false;
        match event {
            Event::Subscribed(kind, names) => {
                for name in names.iter().filter(|name| !kind.on_demand(name)) {
                    changed |= self.asked.insert((*kind, name.clone()));
                }
            }
            Event::Unsubscribed(kind, names) => {
                for name in names.iter().filter(|name| !kind.on_demand(name)) {
                    let key = (*kind, name.clone());
                    changed |= self.asked.remove(&key) | self.answers.remove(&key).is_some();
                }
            }
            Event::Acked(kind, held) => {
                for (name, version) in held.iter().filter(|(name, _)| !kind.on_demand(name)) {
                    changed = true;
                    self.acked((*kind, name.clone()), version.clone());
                }
            }
            Event::Nacked(kind, versions, message) => {
                for (name, version) in versions.iter().filter(|(name, _)| !kind.on_demand(name)) {
                    changed = true;
                    let answer = self.answers.entry((*kind, name.clone())).or_default();
                    answer.nacked = Some((version.clone(), message.clone()));
                }
            }
        }
        changed
    }

    fn acked(&mut self, key: (Kind, String), version: Option<String>) {
        match version {
            Some(_) => self.answers.insert(key, Answer { acked: version, nacked: None }),
            None => self.answers.remove(&key),
        };
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::google::protobuf::Any;

    use super::super::Resource;
    use super::*;

    fn resource(body: &str) -> Resource {
        Resource::new("b", Any { type_url: String::new(), value: body.as_bytes().to_vec() })
    }

    fn wanted(body: &str) -> Snapshot {
        Snapshot::from_iter([(Kind::Extension, resource(body))])
    }

    fn ack(body: &str) -> Event {
        Event::Acked(Kind::Extension, BTreeMap::from([("b".to_owned(), Some(resource(body).version))]))
    }

    fn ask() -> Event {
        Event::Subscribed(Kind::Extension, ["b".to_owned()].into())
    }

    fn nack(body: &str) -> Event {
        let versions = BTreeMap::from([("b".to_owned(), resource(body).version)]);
        Event::Nacked(Kind::Extension, versions, "no".to_owned())
    }

    #[test]
    fn settled_means_every_connected_proxy() {
        let mut acks = AckState::default();
        assert!(acks.settled(&wanted("1")), "no proxy");
        for proxy in [1, 2] {
            acks.connect(proxy);
            acks.apply(proxy, &ask());
        }
        assert!(!acks.settled(&wanted("1")));
        acks.apply(1, &ack("1"));
        assert!(!acks.settled(&wanted("1")));
        acks.apply(2, &ack("1"));
        assert!(acks.settled(&wanted("1")));
        assert!(!acks.settled(&wanted("2")));
        acks.connect(3);
        acks.apply(3, &ask());
        assert!(!acks.settled(&wanted("1")));
        acks.disconnect(3);
        assert!(acks.settled(&wanted("1")));
    }

    #[test]
    fn what_nothing_refers_to_need_not_be_held_but_every_listener_and_cluster_must() {
        let mut acks = AckState::default();
        acks.connect(1);
        assert!(acks.settled(&wanted("1")), "not asked for");
        for kind in [Kind::Cluster, Kind::Listener] {
            assert!(!acks.settled(&Snapshot::from_iter([(kind, resource("1"))])), "{kind:?}");
        }
        acks.apply(1, &ask());
        assert!(!acks.settled(&wanted("1")));
    }

    #[test]
    fn what_is_not_wanted_any_more_is_not_held() {
        let mut acks = AckState::default();
        acks.connect(1);
        acks.apply(1, &ask());
        acks.apply(1, &ack("1"));
        acks.apply(1, &Event::Unsubscribed(Kind::Extension, ["b".to_owned()].into()));
        acks.apply(1, &ask());
        assert!(!acks.settled(&wanted("1")), "asked for anew");
    }

    #[test]
    fn a_refusal_shows_while_its_version_is_wanted_and_until_the_next_acknowledgement() {
        let mut acks = AckState::default();
        for proxy in [1, 2] {
            acks.connect(proxy);
            acks.apply(proxy, &ask());
        }
        acks.apply(1, &ack("1"));
        acks.apply(1, &nack("2"));
        acks.apply(2, &nack("2"));
        let refusal = Refusal { kind: Kind::Extension, name: "b".to_owned(), message: "no".to_owned() };
        assert_eq!(acks.refusals(&wanted("2")), [refusal]);
        assert_eq!(acks.refusals(&wanted("3")), []);
        assert!(!acks.settled(&wanted("2")));
        acks.apply(1, &ack("3"));
        acks.apply(2, &ack("3"));
        assert_eq!(acks.refusals(&wanted("2")), []);
    }

    #[test]
    fn leaves_and_disconnected_proxies_leave_no_trace() {
        let mut acks = AckState::default();
        let leaf =
            Event::Acked(Kind::Secret, BTreeMap::from([("a.example".to_owned(), Some("1".to_owned()))]));
        assert!(!acks.apply(1, &ack("1")), "not connected");
        acks.connect(1);
        assert!(!acks.apply(1, &leaf));
        assert!(acks.proxies()[&1].answers().is_empty());
    }
}
