//! Whatever a proxy says and whatever is published, a stream keeps the protocol and ends with what was published.
//!
//! Input: bytes, read as steps: what is published, what the proxy says, which leaves are decided, a lost stream.

mod proxy;

use std::collections::BTreeMap;
use std::sync::Arc;

use controller::xds::{Kind, Resource, Snapshot};
use envoy_types::pb::google::protobuf::Any;

use crate::input::Choices;
use proxy::{Answer, Proxy, Said};

/// Secrets without a slash in their name are leaves; other types know no such difference.
const NAMES: [&str; 5] = ["x/a", "x/b", "x/c", "a.example", "b.example"];

/// The bit after the names.
const WILDCARD: u8 = 1 << NAMES.len();

/// More than any input needs: settling takes a few rounds of each type.
const ROUNDS: usize = 200;

/// What there is of each type and name.
type Published = BTreeMap<(Kind, &'static str), Vec<u8>>;

/// Runs the steps, checking each response, then lets the proxy accept everything.
pub fn holds(input: &[u8]) {
    let mut choices = Choices(&input[..input.len().min(400)]);
    let mut world = World::default();
    while !choices.is_over() {
        world.run += 1;
        world.step(&mut choices);
        world.hear();
    }
    world.settle();
}

#[derive(Default)]
struct World {
    proxy: Proxy,
    published: Published,
    /// The leaves decided: a body, or a refusal.
    leaves: BTreeMap<&'static str, Option<Vec<u8>>>,
    /// Makes bodies differ from all earlier ones.
    run: u32,
}

impl World {
    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.below(8) {
            0 | 1 => self.publish(choices),
            2..=4 => {
                let (kind, subscribe, unsubscribe) = (kind(choices), choices.next(), choices.next());
                // Most requests take nothing back.
                let unsubscribe = if unsubscribe > 127 { unsubscribe & 0x7f } else { 0 };
                self.say(kind, subscribe, unsubscribe, answer(choices));
            }
            5 => self.say(kind(choices), 0, 0, Answer::Accept),
            6 => self.offer(NAMES[3 + choices.below(2)], choices.below(3)),
            _ => self.reconnect(),
        }
    }

    fn publish(&mut self, choices: &mut Choices<'_>) {
        self.published.clear();
        for _ in 0..choices.below(9) {
            let (kind, name, body) = (kind(choices), NAMES[choices.below(NAMES.len())], choices.below(3));
            if !is_leaf(kind, name) {
                // Of three bodies, so that versions come back.
                self.published.insert((kind, name), vec![b'0' + body as u8]);
            }
        }
        self.publish_again();
    }

    fn publish_again(&mut self) {
        let resources =
            self.published.iter().map(|((kind, name), body)| (*kind, resource(*kind, name, body)));
        self.proxy.session.publish(Arc::new(resources.collect::<Snapshot>()));
    }

    fn say(&mut self, kind: Kind, subscribe: u8, unsubscribe: u8, answer: Answer) {
        let said = Said { kind, subscribe: named(subscribe), unsubscribe: named(unsubscribe), answer };
        self.proxy.say(&said);
        // What was decided of a leaf counts no more when it is asked for again, or taken back.
        if kind == Kind::Secret {
            let again =
                |name: &&'static str| said.subscribe.contains(name) || said.unsubscribe.contains(name);
            self.leaves.retain(|name, _| !again(name));
        }
        for name in self.proxy.refused_leaves() {
            self.leaves.insert(NAMES.into_iter().find(|known| *known == name).expect("a name of ours"), None);
        }
    }

    fn offer(&mut self, name: &'static str, decision: usize) {
        let body = (decision > 0).then(|| format!("leaf-{decision}").into_bytes());
        self.offer_body(name, body);
    }

    fn offer_body(&mut self, name: &'static str, body: Option<Vec<u8>>) {
        let leaf = body.as_deref().map(|body| Arc::new(resource(Kind::Secret, name, body)));
        self.proxy.session.offer(name, leaf);
        if self.proxy.names.contains(&(Kind::Secret, name)) {
            self.leaves.insert(name, body);
        }
    }

    /// The stream is lost; on the next one every leaf is decided again.
    fn reconnect(&mut self) {
        self.proxy.reconnect();
        self.leaves.clear();
        self.publish_again();
        for kind in self.proxy.started() {
            self.proxy.resume(kind);
        }
    }

    fn hear(&mut self) {
        for response in self.proxy.hear() {
            for sent in &response.resources {
                let body = sent.resource.as_ref().expect("a body");
                let there =
                    self.there(response.kind, &sent.name).expect("it was taken back, or never was there");
                assert_eq!(&body.value, there, "{:?} {} is another one", response.kind, sent.name);
                assert_eq!(sent.version, resource(response.kind, &sent.name, there).version);
            }
            for name in &response.removed {
                assert!(self.there(response.kind, name).is_none(), "{:?} {name} is there", response.kind);
                self.leaves.retain(|leaf, _| response.kind != Kind::Secret || leaf != name);
            }
        }
        assert!(self.proxy.session.responses().is_empty(), "it says more without having heard anything");
    }

    fn there(&self, kind: Kind, name: &str) -> Option<&Vec<u8>> {
        match is_leaf(kind, name) {
            true => self.leaves.get(name)?.as_ref(),
            false => self.published.get(&(kind, NAMES.into_iter().find(|known| *known == name)?)),
        }
    }

    /// New bodies, which nobody refused, for everything; then all is accepted until nothing more comes.
    fn settle(&mut self) {
        let run = self.run;
        self.published.iter_mut().for_each(|(_, body)| body.extend_from_slice(format!("-{run}").as_bytes()));
        self.publish_again();
        for name in &NAMES[3..] {
            self.offer_body(name, Some(format!("leaf-{run}-last").into_bytes()));
        }
        self.hear();
        let mut rounds = 0;
        while let Some(kind) = self.proxy.first_unanswered() {
            self.say(kind, 0, 0, Answer::Accept);
            self.hear();
            rounds += 1;
            assert!(rounds < ROUNDS, "it never ends");
        }
        assert_eq!(self.proxy.held(), self.wanted(), "not what was published");
    }

    fn wanted(&self) -> BTreeMap<(Kind, &'static str), Vec<u8>> {
        let leaves =
            self.leaves.iter().filter_map(|(name, body)| Some(((Kind::Secret, *name), body.clone()?)));
        let all = self.published.clone().into_iter().chain(leaves);
        all.filter(|((kind, name), _)| self.proxy.wants(*kind, name)).collect()
    }
}

fn kind(choices: &mut Choices<'_>) -> Kind {
    Kind::ALL[choices.below(Kind::ALL.len())]
}

fn answer(choices: &mut Choices<'_>) -> Answer {
    match choices.below(5) {
        0 | 1 => Answer::Nothing,
        2 => Answer::Accept,
        3 => Answer::Refuse(choices.next()),
        _ => Answer::Late,
    }
}

/// The names whose bits are set; the one after them is the wildcard.
fn named(bits: u8) -> Vec<&'static str> {
    let names = NAMES.into_iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0).map(|(_, name)| name);
    names.chain((bits & WILDCARD != 0).then_some("*")).collect()
}

/// Leaves are made when asked for; they never stand in a snapshot.
fn is_leaf(kind: Kind, name: &str) -> bool {
    kind == Kind::Secret && !name.contains('/')
}

fn resource(kind: Kind, name: &str, body: &[u8]) -> Resource {
    Resource::new(name, Any { type_url: kind.url().to_owned(), value: body.to_vec() })
}
