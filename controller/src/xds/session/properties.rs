//! A model of a proxy that does everything in any order: whatever happened, it ends up with what was published.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::google::protobuf::Any;
use envoy_types::pb::google::rpc::Status;
use proptest::prelude::*;

use super::*;

/// What can happen, on one of a few types and names.
#[derive(Debug, Clone)]
enum Step {
    Publish(Vec<(usize, usize, u8)>),
    Subscribe(usize, usize),
    Unsubscribe(usize, usize),
    Answer(usize, bool),
    Reconnect,
}

const NAMES: [&str; 3] = ["x/a", "x/b", "x/c"];

#[derive(Default)]
struct Model {
    session: Session,
    snapshot: BTreeMap<(Kind, &'static str), String>,
    wildcards: BTreeSet<Kind>,
    names: BTreeSet<(Kind, &'static str)>,
    started: BTreeSet<Kind>,
    held: BTreeMap<(Kind, String), (String, Vec<u8>)>,
    unanswered: VecDeque<discovery::DeltaDiscoveryResponse>,
}

impl Model {
    fn publish(&mut self, resources: &[(usize, usize, u8)], run: usize) {
        self.snapshot = resources
            .iter()
            .map(|(kind, name, body)| ((Kind::ALL[*kind], NAMES[*name]), format!("{run}-{body}")))
            .collect();
        self.publish_again();
    }

    fn publish_again(&mut self) {
        let resources = self.snapshot.iter().map(|((kind, name), body)| {
            let body = Any { type_url: kind.url().to_owned(), value: body.as_bytes().to_vec() };
            (*kind, Resource::new(*name, body))
        });
        self.session.publish(Arc::new(resources.collect()));
    }

    fn say(&mut self, request: discovery::DeltaDiscoveryRequest) {
        self.session.request(request);
    }

    fn subscribe(&mut self, kind: Kind, name: &'static str) {
        self.names.insert((kind, name));
        let first = self.first(kind);
        self.say(discovery::DeltaDiscoveryRequest {
            resource_names_subscribe: vec![name.to_owned()],
            ..first
        });
    }

    /// A request of a type that starts it where it has to be: clusters and listeners with a wildcard beside names.
    fn first(&mut self, kind: Kind) -> discovery::DeltaDiscoveryRequest {
        let request =
            discovery::DeltaDiscoveryRequest { type_url: kind.url().to_owned(), ..Default::default() };
        if self.started.insert(kind) && kind.empty_means_all() {
            self.wildcards.insert(kind);
            self.say(request.clone());
        }
        request
    }

    fn unsubscribe(&mut self, kind: Kind, name: &'static str) {
        if self.names.remove(&(kind, name)) {
            if !self.wildcards.contains(&kind) {
                self.held.remove(&(kind, name.to_owned()));
            }
            self.say(discovery::DeltaDiscoveryRequest {
                type_url: kind.url().to_owned(),
                resource_names_unsubscribe: vec![name.to_owned()],
                ..Default::default()
            });
        }
    }

    /// Takes what comes, and checks that nothing comes before what it refers to was answered.
    fn hear(&mut self) {
        for response in self.session.responses() {
            let kind = Kind::from_url(&response.type_url).unwrap();
            assert!(
                !self.unanswered.iter().any(|other| other.type_url == response.type_url),
                "two of {kind:?}"
            );
            if !response.resources.is_empty() {
                let early = self.unanswered.iter().find(|other| {
                    Kind::from_url(&other.type_url).unwrap() < kind && !other.resources.is_empty()
                });
                assert!(early.is_none(), "{kind:?} before what it refers to");
            }
            self.unanswered.push_back(response);
        }
    }

    fn answer(&mut self, at: usize, accept: bool) {
        if self.unanswered.is_empty() {
            return;
        }
        let response = self.unanswered.remove(at % self.unanswered.len()).unwrap();
        let kind = Kind::from_url(&response.type_url).unwrap();
        // Envoy removes clusters and listeners also when it refuses another resource of the response.
        for name in &response.removed_resources {
            self.held.remove(&(kind, name.clone()));
        }
        if accept {
            self.take(kind, &response);
        }
        self.say(discovery::DeltaDiscoveryRequest {
            type_url: response.type_url,
            response_nonce: response.nonce,
            error_detail: (!accept).then(Status::default),
            ..Default::default()
        });
    }

    fn take(&mut self, kind: Kind, response: &discovery::DeltaDiscoveryResponse) {
        for resource in &response.resources {
            if self.wants(kind, &resource.name) {
                let body = resource.resource.clone().unwrap().value;
                self.held.insert((kind, resource.name.clone()), (resource.version.clone(), body));
            }
        }
    }

    fn wants(&self, kind: Kind, name: &str) -> bool {
        self.wildcards.contains(&kind) || self.names.iter().any(|wanted| *wanted == (kind, name))
    }

    /// The stream is lost; the next one says what is held.
    fn reconnect(&mut self) {
        self.session = Session::default();
        self.unanswered.clear();
        self.publish_again();
        for kind in self.started.clone() {
            let held = self.held.iter().filter(|((other, _), _)| *other == kind);
            let versions = held.map(|((_, name), (version, _))| (name.clone(), version.clone())).collect();
            let names =
                self.names.iter().filter(|(other, _)| *other == kind).map(|(_, name)| (*name).to_owned());
            let wildcard = self.wildcards.contains(&kind).then(|| "*".to_owned());
            self.say(discovery::DeltaDiscoveryRequest {
                type_url: kind.url().to_owned(),
                initial_resource_versions: versions,
                resource_names_subscribe: names.chain(wildcard).collect(),
                ..Default::default()
            });
        }
    }

    fn step(&mut self, step: &Step, run: usize) {
        match step {
            Step::Publish(resources) => self.publish(resources, run),
            Step::Subscribe(kind, name) => self.subscribe(Kind::ALL[*kind], NAMES[*name]),
            Step::Unsubscribe(kind, name) => self.unsubscribe(Kind::ALL[*kind], NAMES[*name]),
            Step::Answer(at, accept) => self.answer(*at, *accept),
            Step::Reconnect => self.reconnect(),
        }
        self.hear();
    }

    /// Accepts everything until nothing more comes.
    fn settle(&mut self) {
        for _ in 0..100 {
            if self.unanswered.is_empty() {
                return;
            }
            self.answer(0, true);
            self.hear();
        }
        panic!("it never ends");
    }

    fn wanted(&self) -> BTreeMap<(Kind, String), Vec<u8>> {
        let wanted = self.snapshot.iter().filter(|((kind, name), _)| self.wants(*kind, name));
        wanted.map(|((kind, name), body)| ((*kind, (*name).to_owned()), body.as_bytes().to_vec())).collect()
    }
}

fn resources() -> impl Strategy<Value = Vec<(usize, usize, u8)>> {
    prop::collection::vec((0..5usize, 0..3usize, 0..3u8), 0..12)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => resources().prop_map(Step::Publish),
        2 => (0..5usize, 0..3usize).prop_map(|(kind, name)| Step::Subscribe(kind, name)),
        1 => (0..5usize, 0..3usize).prop_map(|(kind, name)| Step::Unsubscribe(kind, name)),
        4 => (0..5usize, prop::bool::weighted(0.7)).prop_map(|(at, accept)| Step::Answer(at, accept)),
        1 => Just(Step::Reconnect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_a_proxy_ends_up_with_what_was_published(
        steps in prop::collection::vec(step(), 0..60),
        last in resources(),
    ) {
        let mut model = Model::default();
        model.publish(&[], 0);
        for (run, step) in steps.iter().enumerate() {
            model.step(step, run);
        }
        // Bodies of a run of its own: none was refused before.
        model.step(&Step::Publish(last), usize::MAX);
        model.settle();
        let held: BTreeMap<_, _> = model.held.iter().map(|(key, (_, body))| (key.clone(), body.clone())).collect();
        prop_assert_eq!(held, model.wanted());
        model.session.publish(model.session.snapshot.clone().unwrap());
        prop_assert!(model.session.responses().is_empty(), "settled means silent");
    }
}
