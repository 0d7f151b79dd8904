//! What the connected proxies of one gateway made of what they were sent.

use std::collections::BTreeMap;

use super::session::Event;
use super::{Kind, Snapshot};

/// One stream, numbered in the order in which they opened; a proxy that reconnects gets a new number.
pub type ProxyId = u64;

/// A gateway's proxies and what each holds. Leaves are not kept here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AckState {
    proxies: BTreeMap<ProxyId, BTreeMap<(Kind, String), Answer>>,
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

    /// Each proxy's word on each resource, in order.
    #[must_use]
    pub fn proxies(&self) -> &BTreeMap<ProxyId, BTreeMap<(Kind, String), Answer>> {
        &self.proxies
    }

    /// Whether every connected proxy holds every resource of this snapshot, or of a part of one. A resource that
    /// nothing refers to is never asked for and so never settles. True while no proxy is connected.
    #[must_use]
    pub fn settled(&self, wanted: &Snapshot) -> bool {
        self.proxies.values().all(|answers| {
            wanted.iter().all(|(kind, resource)| {
                let answer = answers.get(&(kind, resource.name.clone()));
                answer.and_then(|answer| answer.acked.as_ref()) == Some(&resource.version)
            })
        })
    }

    /// The resources of this snapshot that some proxy refused in this very version, each once, in order.
    #[must_use]
    pub fn refusals(&self, wanted: &Snapshot) -> Vec<Refusal> {
        let mut refusals: Vec<Refusal> = self
            .proxies
            .values()
            .flatten()
            .filter_map(|((kind, name), answer)| {
                let (version, message) = answer.nacked.as_ref()?;
                let current = wanted.find(*kind, name)?.version == *version;
                current.then(|| Refusal { kind: *kind, name: name.clone(), message: message.clone() })
            })
            .collect();
        refusals.sort();
        refusals.dedup_by(|one, other| (one.kind, &one.name) == (other.kind, &other.name));
        refusals
    }

    pub(crate) fn connect(&mut self, proxy: ProxyId) {
        self.proxies.insert(proxy, BTreeMap::new());
    }

    pub(crate) fn disconnect(&mut self, proxy: ProxyId) {
        self.proxies.remove(&proxy);
    }

    /// Takes in what a session told. Returns whether anything here changed.
    pub(crate) fn apply(&mut self, proxy: ProxyId, event: &Event) -> bool {
        let Some(answers) = self.proxies.get_mut(&proxy) else { return false };
        match event {
            Event::Acked(kind, held) => {
                let kept = held.iter().filter(|(name, _)| !kind.on_demand(name));
                kept.map(|(name, version)| acked(answers, *kind, name, version.as_ref())).count() > 0
            }
            Event::Nacked(kind, versions, message) => {
                let kept = versions.iter().filter(|(name, _)| !kind.on_demand(name));
                kept.map(|(name, version)| {
                    let answer = answers.entry((*kind, name.clone())).or_default();
                    answer.nacked = Some((version.clone(), message.clone()));
                })
                .count()
                    > 0
            }
            Event::Subscribed(_) | Event::Unsubscribed(_) => false,
        }
    }
}

fn acked(answers: &mut BTreeMap<(Kind, String), Answer>, kind: Kind, name: &str, version: Option<&String>) {
    let key = (kind, name.to_owned());
    match version {
        Some(version) => drop(answers.insert(key, Answer { acked: Some(version.clone()), nacked: None })),
        None => drop(answers.remove(&key)),
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

    fn nack(body: &str) -> Event {
        let versions = BTreeMap::from([("b".to_owned(), resource(body).version)]);
        Event::Nacked(Kind::Extension, versions, "no".to_owned())
    }

    #[test]
    fn settled_means_every_connected_proxy() {
        let mut acks = AckState::default();
        assert!(acks.settled(&wanted("1")), "no proxy");
        acks.connect(1);
        acks.connect(2);
        assert!(!acks.settled(&wanted("1")));
        acks.apply(1, &ack("1"));
        assert!(!acks.settled(&wanted("1")));
        acks.apply(2, &ack("1"));
        assert!(acks.settled(&wanted("1")));
        assert!(!acks.settled(&wanted("2")));
        acks.connect(3);
        assert!(!acks.settled(&wanted("1")));
        acks.disconnect(3);
        assert!(acks.settled(&wanted("1")));
    }

    #[test]
    fn a_refusal_shows_while_its_version_is_wanted_and_until_the_next_acknowledgement() {
        let mut acks = AckState::default();
        acks.connect(1);
        acks.connect(2);
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
        assert!(acks.proxies()[&1].is_empty());
    }
}
