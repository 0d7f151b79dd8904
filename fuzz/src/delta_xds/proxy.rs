//! A proxy as the protocol describes it, which checks what it is sent: that it asked for it, that it comes after what
//! it refers to, that nothing comes twice, and that nothing comes back which it refused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use controller::xds::Kind;
use controller::xds::session::{Event, Refusals, Session};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource,
};
use envoy_types::pb::google::rpc::Status;

use super::is_leaf;

/// What a request says of the response that is outstanding.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Answer {
    Nothing,
    Accept,
    /// With a reason that names one of the resources, or none.
    Refuse(u8),
    /// Accepts what never was, or long ago.
    Late,
}

/// A request.
pub(super) struct Said {
    pub(super) kind: Kind,
    pub(super) subscribe: Vec<&'static str>,
    pub(super) unsubscribe: Vec<&'static str>,
    pub(super) answer: Answer,
}

/// A response.
#[derive(Clone)]
pub(super) struct Heard {
    pub(super) kind: Kind,
    nonce: String,
    pub(super) resources: Vec<Resource>,
    pub(super) removed: Vec<String>,
}

#[derive(Default)]
pub(super) struct Proxy {
    pub(super) session: Session,
    pub(super) names: BTreeSet<(Kind, &'static str)>,
    wildcards: BTreeSet<Kind>,
    started: BTreeSet<Kind>,
    held: BTreeMap<(Kind, String), Resource>,
    unanswered: VecDeque<Heard>,
    /// Versions that must not come again.
    refused: BTreeMap<(Kind, String), String>,
    /// Names that are to be answered whatever was refused: asked for again, or taken back under a wildcard.
    owed: BTreeSet<(Kind, String)>,
    /// What survives the stream, kept as the gateway keeps it.
    refusals: Refusals,
    nonce: u64,
}

impl Proxy {
    pub(super) fn wants(&self, kind: Kind, name: &str) -> bool {
        let covered = self.wildcards.contains(&kind) && !is_leaf(kind, name);
        covered || self.names.iter().any(|wanted| *wanted == (kind, name))
    }

    pub(super) fn started(&self) -> Vec<Kind> {
        self.started.iter().copied().collect()
    }

    pub(super) fn first_unanswered(&self) -> Option<Kind> {
        self.unanswered.front().map(|heard| heard.kind)
    }

    pub(super) fn held(&self) -> BTreeMap<(Kind, &'static str), Vec<u8>> {
        let known =
            |name: &str| super::NAMES.into_iter().find(|known| *known == name).expect("a name of ours");
        let body = |held: &Resource| held.resource.as_ref().expect("a body").value.clone();
        self.held.iter().map(|((kind, name), held)| ((*kind, known(name)), body(held))).collect()
    }

    pub(super) fn say(&mut self, said: &Said) {
        let kind = said.kind;
        let mut request = DeltaDiscoveryRequest { type_url: kind.url().to_owned(), ..Default::default() };
        request.resource_names_subscribe = said.subscribe.iter().map(|name| (*name).to_owned()).collect();
        if self.started.insert(kind) {
            if said.subscribe.is_empty() && matches!(kind, Kind::Cluster | Kind::Listener) {
                self.wildcards.insert(kind);
            }
        } else {
            request.resource_names_unsubscribe =
                said.unsubscribe.iter().map(|name| (*name).to_owned()).collect();
            self.answer(kind, said.answer, &mut request);
            self.unsubscribe(kind, &said.unsubscribe);
        }
        self.subscribe(kind, &said.subscribe);
        self.tell(request);
    }

    fn answer(&mut self, kind: Kind, answer: Answer, request: &mut DeltaDiscoveryRequest) {
        let at = self.unanswered.iter().position(|heard| heard.kind == kind);
        let Some(heard) = at.filter(|_| !matches!(answer, Answer::Nothing | Answer::Late)) else {
            let late = self.nonce.saturating_sub(5).to_string();
            let outstanding = self.unanswered.iter().any(|heard| heard.nonce == late);
            if answer == Answer::Late && !outstanding {
                request.response_nonce = late;
            }
            return;
        };
        let heard = self.unanswered.remove(heard).expect("it was found");
        request.response_nonce.clone_from(&heard.nonce);
        // Envoy removes also when it refuses another resource of the response.
        heard.removed.iter().for_each(|name| drop(self.held.remove(&(kind, name.clone()))));
        match answer {
            Answer::Refuse(blamed) => self.refuse(heard, blamed, request),
            _ => self.take(heard),
        }
    }

    fn take(&mut self, heard: Heard) {
        // What is gone was not refused: it may come back as it was.
        heard.removed.iter().for_each(|name| drop(self.refused.remove(&(heard.kind, name.clone()))));
        for resource in heard.resources {
            self.refused.remove(&(heard.kind, resource.name.clone()));
            self.held.insert((heard.kind, resource.name.clone()), resource);
        }
    }

    fn refuse(&mut self, heard: Heard, blamed: u8, request: &mut DeltaDiscoveryRequest) {
        let named = heard.resources.get(usize::from(blamed));
        let message =
            named.map_or_else(|| "refused".to_owned(), |named| format!("error {}: refused", named.name));
        request.error_detail = Some(Status { message, ..Default::default() });
        let guilty = heard.resources.iter().filter(|resource| named.is_none_or(|named| named == *resource));
        for resource in guilty {
            self.refused.insert((heard.kind, resource.name.clone()), resource.version.clone());
        }
    }

    fn unsubscribe(&mut self, kind: Kind, names: &[&'static str]) {
        if names.contains(&"*") {
            self.wildcards.remove(&kind);
            self.drop_unwanted(kind);
        }
        for name in names.iter().filter(|name| **name != "*") {
            self.names.remove(&(kind, *name));
            if self.wildcards.contains(&kind) {
                self.owed.insert((kind, (*name).to_owned()));
            }
        }
        self.drop_unwanted(kind);
    }

    fn drop_unwanted(&mut self, kind: Kind) {
        let known = self.held.keys().chain(self.refused.keys()).chain(&self.owed);
        let unwanted = known.filter(|(other, name)| *other == kind && !self.wants(kind, name));
        for key in unwanted.cloned().collect::<Vec<_>>() {
            self.held.remove(&key);
            self.refused.remove(&key);
            self.owed.remove(&key);
        }
    }

    fn subscribe(&mut self, kind: Kind, names: &[&'static str]) {
        for name in names {
            if *name == "*" {
                self.wildcards.insert(kind);
            } else {
                self.names.insert((kind, *name));
                self.owed.insert((kind, (*name).to_owned()));
                self.refused.remove(&(kind, (*name).to_owned()));
            }
        }
    }

    fn tell(&mut self, request: DeltaDiscoveryRequest) {
        for event in self.session.request(request) {
            match event {
                Event::Nacked(kind, names, message) => {
                    let refused = |(name, version)| ((kind, name), (version, message.clone()));
                    self.refusals.extend(names.into_iter().map(refused));
                }
                Event::Acked(kind, names) => {
                    self.refusals.retain(|(other, name), _| *other != kind || !names.contains_key(name));
                }
                Event::Subscribed(..) | Event::Unsubscribed(..) => {}
            }
        }
    }

    /// The leaves that the session itself refuses now, because the first of their name was not accepted.
    pub(super) fn refused_leaves(&self) -> Vec<String> {
        let refused = self.session.offers().filter(|(_, leaf)| leaf.is_none());
        refused.map(|(name, _)| name.to_owned()).collect()
    }

    pub(super) fn reconnect(&mut self) {
        self.session = Session::new(self.refusals.clone());
        self.unanswered.clear();
        self.owed.clear();
        self.nonce = 0;
    }

    /// The first request of a type on a new stream: what is wanted, and what is held of it.
    pub(super) fn resume(&mut self, kind: Kind) {
        // Of clusters and listeners an empty first request would ask for everything.
        let idle = !self.wildcards.contains(&kind) && !self.names.iter().any(|(other, _)| *other == kind);
        if idle && matches!(kind, Kind::Cluster | Kind::Listener) {
            self.started.remove(&kind);
            return;
        }
        let of_kind = self.held.iter().filter(|((other, _), _)| *other == kind);
        let versions = of_kind.map(|((_, name), held)| (name.clone(), held.version.clone())).collect();
        let names = self.names.iter().filter(|(other, _)| *other == kind).map(|(_, name)| (*name).to_owned());
        let wildcard = self.wildcards.contains(&kind).then(|| "*".to_owned());
        self.tell(DeltaDiscoveryRequest {
            type_url: kind.url().to_owned(),
            initial_resource_versions: versions,
            resource_names_subscribe: names.chain(wildcard).collect(),
            ..Default::default()
        });
    }

    pub(super) fn hear(&mut self) -> Vec<Heard> {
        let responses: Vec<Heard> = self.session.responses().into_iter().map(read).collect();
        for heard in &responses {
            self.check(heard);
            let said = heard.resources.iter().map(|resource| &resource.name).chain(&heard.removed);
            self.owed.retain(|(kind, name)| *kind != heard.kind || !said.clone().any(|said| said == name));
            // Envoy remembers nothing of a leaf that is not to be had, and takes the next one whatever it is.
            let gone = |key: &(Kind, String)| is_leaf(heard.kind, &key.1) && heard.removed.contains(&key.1);
            self.refused.retain(|key, _| key.0 != heard.kind || !gone(key));
            self.unanswered.push_back(heard.clone());
        }
        responses
    }

    fn check(&mut self, heard: &Heard) {
        let kind = heard.kind;
        let nonce: u64 = heard.nonce.parse().expect("nonces count");
        assert!(nonce > self.nonce, "a nonce comes twice");
        self.nonce = nonce;
        assert!(!self.unanswered.iter().any(|other| other.kind == kind), "two of {kind:?} at a time");
        let updated: BTreeSet<&str> = heard.resources.iter().map(|resource| resource.name.as_str()).collect();
        let removed: BTreeSet<&str> = heard.removed.iter().map(String::as_str).collect();
        assert!(updated.is_disjoint(&removed) && updated.len() == heard.resources.len());
        // Under a wildcard a leaf that was taken back may be said to be gone, but never sent.
        let wildcard = self.wildcards.contains(&kind);
        for (name, is_sent) in
            updated.iter().map(|name| (name, true)).chain(removed.iter().map(|name| (name, false)))
        {
            assert!(self.wants(kind, name) || wildcard && !is_sent, "{kind:?} {name} was not asked for");
        }
        assert!(
            !updated.is_empty() || !removed.is_empty() || self.wildcards.contains(&kind),
            "it says nothing"
        );
        if !matches!(kind, Kind::Cluster | Kind::Listener) {
            assert!(
                updated.len() <= 1 && (updated.is_empty() || removed.is_empty()),
                "{kind:?} travels alone"
            );
        }
        for resource in &heard.resources {
            let key = (kind, resource.name.clone());
            let again = self.refused.get(&key) == Some(&resource.version) && !self.owed.contains(&key);
            assert!(!again, "{kind:?} {} was refused", resource.name);
        }
        self.check_order(heard);
    }

    /// Additions come after what they refer to was answered, removals after what referred to them.
    fn check_order(&self, heard: &Heard) {
        let gates =
            |other: &Heard| other.resources.iter().any(|resource| !is_leaf(other.kind, &resource.name));
        let early = self.unanswered.iter().any(|other| other.kind < heard.kind && gates(other));
        assert!(!gates(heard) || !early, "{:?} before what it refers to", heard.kind);
        let held =
            |name: &String| !is_leaf(heard.kind, name) && self.held.contains_key(&(heard.kind, name.clone()));
        let referring = self.unanswered.iter().any(|other| other.kind > heard.kind);
        assert!(!heard.removed.iter().any(held) || !referring, "{:?} while it is referred to", heard.kind);
    }
}

fn read(response: DeltaDiscoveryResponse) -> Heard {
    Heard {
        kind: Kind::from_url(&response.type_url).expect("a type that is served"),
        nonce: response.nonce,
        resources: response.resources,
        removed: response.removed_resources,
    }
}
