//! One stream at work: what it hears goes into its [`Session`], what the session owes goes out.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use tokio::sync::{mpsc, watch};
use tonic::{Status, Streaming};

use super::Kind;
use super::acks::ProxyId;
use super::counts::Asked;
use super::gateway::{Feed, Gateway};
use super::server::Clock;
use super::session::{Event, Session};
use crate::certificates::{Answer, LEAVES_PER_SECOND};

/// How often leaves are made for names that wait, and in place of those that the proxy holds from before a restart of ours.
const REPLACE: Duration = Duration::from_millis(100);

/// How many of them each time: fifty a second, so that thousands stop neither us nor the proxy.
const MADE_AT_ONCE: usize = 5;

/// How many new names may wait for their leaf. At the rate at which leaves are made that is four seconds, well within
/// a handshake.
const ASKED_AT_MOST: usize = 4 * LEAVES_PER_SECOND as usize;

pub(super) type Responses = mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>;

/// A proxy's stream.
pub(super) struct Connection {
    gateway: Arc<Gateway>,
    proxy: ProxyId,
    process: Option<i32>,
    clock: Clock,
    session: Session,
    /// New names whose handshakes wait for a leaf, in the order in which they were asked for.
    asked: VecDeque<String>,
    /// Names of leaves that the proxy holds from before and that are to be replaced.
    held: BTreeSet<String>,
}

impl Connection {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        proxy: ProxyId,
        process: Option<i32>,
        clock: Clock,
    ) -> Connection {
        gateway.acks.send_modify(|acks| acks.connect(proxy));
        let session = Session::new(gateway.refusals(process));
        Connection { gateway, proxy, process, clock, session, asked: VecDeque::new(), held: BTreeSet::new() }
    }

    /// Serves the stream until either side ends it. A peer that does not read stops only itself: at most one
    /// response of each type is on its way, and its requests are not read meanwhile.
    pub(super) async fn run(
        mut self,
        first: DeltaDiscoveryRequest,
        mut requests: Streaming<DeltaDiscoveryRequest>,
        responses: Responses,
        mut closing: watch::Receiver<bool>,
    ) {
        let mut feed = self.gateway.feed.subscribe();
        let mut leaf_changes = self.gateway.leaf_changes.subscribe();
        let mut replace = tokio::time::interval(REPLACE);
        replace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        feed.mark_changed();
        self.hear(first);
        loop {
            tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => return,
                () = responses.closed() => return,
                Ok(()) = feed.changed() => match &*feed.borrow_and_update() {
                    Feed::Waiting => {}
                    Feed::Snapshot(snapshot) => self.session.publish(snapshot.clone()),
                    Feed::Removed => return,
                },
                Ok(()) = leaf_changes.changed() => self.renew(),
                request = requests.message() => match request {
                    Ok(Some(request)) => self.hear(request),
                    Ok(None) | Err(_) => return,
                },
                _ = replace.tick(), if !self.asked.is_empty() || !self.held.is_empty() => self.make_some(),
            }
            for response in self.session.responses() {
                if let Some(kind) = Kind::from_url(&response.type_url) {
                    self.gateway.count(|counts| counts.pushed(kind));
                }
                if responses.send(Ok(response)).await.is_err() {
                    return;
                }
            }
        }
    }

    fn hear(&mut self, request: DeltaDiscoveryRequest) {
        // What the session tells may be a refusal that is remembered from an earlier stream; this one is new.
        if let Some(kind) = Kind::from_url(&request.type_url).filter(|_| request.error_detail.is_some()) {
            self.gateway.count(|counts| counts.refused(kind));
        }
        for event in self.session.request(request) {
            self.note(&event);
            match event {
                Event::Subscribed(kind, names) => {
                    names.iter().filter(|name| kind.on_demand(name)).for_each(|name| self.decide(name));
                }
                Event::Unsubscribed(Kind::Secret, names) => names.iter().for_each(|name| self.forget(name)),
                Event::Unsubscribed(..) | Event::Acked(..) | Event::Nacked(..) => {}
            }
        }
    }

    fn note(&self, event: &Event) {
        if let Event::Nacked(kind, versions, message) = event {
            let names: Vec<&str> = versions.keys().map(String::as_str).collect();
            tracing::warn!(
                proxy = self.proxy,
                ?kind,
                names = names.join(", "),
                message,
                "a proxy refused a resource"
            );
        }
        self.gateway.remember(self.process, event);
        self.gateway.acks.send_if_modified(|acks| acks.apply(self.proxy, event));
    }

    /// Decides a leaf that was asked for. A handshake waits for it: what cannot be made soon is refused, so that the
    /// handshake ends. Where the proxy still holds one from before, nobody waits, and its successor can.
    fn decide(&mut self, name: &str) {
        let Some(held) = self.session.held_leaf(name) else { return self.mint(name) };
        match self.gateway.leaf(name) {
            Some(leaf) if leaf.version == held => self.session.offer(name, Some(leaf)),
            _ if self.gateway.allows(name) => {
                self.held.insert(name.to_owned());
            }
            _ => self.session.offer(name, None),
        }
    }

    fn mint(&mut self, name: &str) {
        match self.gateway.ask(name, (self.clock)()) {
            Answer::Leaf(leaf) => self.session.offer(name, Some(leaf)),
            Answer::Later if self.asked.len() < ASKED_AT_MOST => self.asked.push_back(name.to_owned()),
            Answer::Later => {
                self.gateway.count(|counts| counts.asked(Asked::Throttled));
                self.session.offer(name, None);
            }
            Answer::Refused => self.session.offer(name, None),
        }
    }

    /// Makes some of the leaves that are waited for, those first for which a handshake waits.
    fn make_some(&mut self) {
        for _ in 0..MADE_AT_ONCE {
            let Some(name) = self.asked.front().or(self.held.first()).cloned() else { return };
            match self.gateway.ask(&name, (self.clock)()) {
                Answer::Later => return,
                Answer::Leaf(leaf) => self.session.offer(&name, Some(leaf)),
                Answer::Refused => self.session.offer(&name, None),
            }
            self.forget(&name);
        }
    }

    fn forget(&mut self, name: &str) {
        self.asked.retain(|other| other != name);
        self.held.remove(name);
    }

    /// Passes on which leaves were replaced or withdrawn since.
    fn renew(&mut self) {
        let offered = self.session.offers().filter(|(_, leaf)| leaf.is_some());
        let offered: Vec<String> = offered.map(|(name, _)| name.to_owned()).collect();
        for name in offered {
            self.session.offer(&name, self.gateway.leaf(&name));
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.gateway.acks.send_modify(|acks| acks.disconnect(self.proxy));
    }
}
