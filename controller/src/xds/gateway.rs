//! One gateway as its streams share it: the snapshot, the leaves, and what its proxies acknowledged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use tokio::sync::watch;

use super::acks::AckState;
use super::counts::{Asked, Counts};
use super::server::Gateways;
use super::session::{Event, Refusals};
use super::{Resource, Snapshot};
use crate::certificates::{Answer, Leaves, MintPolicy};
use crate::plan::ObjectKey;

/// Processes whose refusals are remembered. More than run at once; the rest are ones that ended.
const REMEMBERED: usize = 64;

/// What a stream serves.
#[derive(Clone)]
pub(super) enum Feed {
    /// Nothing was published yet: it stays silent.
    Waiting,
    /// This.
    Snapshot(Arc<Snapshot>),
    /// The gateway is gone: the stream ends.
    Removed,
}

pub(super) struct Gateway {
    pub(super) feed: watch::Sender<Feed>,
    pub(super) acks: watch::Sender<AckState>,
    /// Marked as changed whenever a leaf was replaced or withdrawn.
    pub(super) leaf_changes: watch::Sender<()>,
    leaves: Mutex<Leaves>,
    counts: Mutex<Counts>,
    /// What each process refused, oldest process id first.
    refusals: Mutex<BTreeMap<i32, Refusals>>,
}

impl Gateway {
    pub(super) fn new(leaves: Leaves) -> Gateway {
        Gateway {
            feed: watch::Sender::new(Feed::Waiting),
            acks: watch::Sender::new(AckState::default()),
            leaf_changes: watch::Sender::new(()),
            leaves: Mutex::new(leaves),
            counts: Mutex::default(),
            refusals: Mutex::default(),
        }
    }

    fn leaves(&self) -> MutexGuard<'_, Leaves> {
        // A panic elsewhere leaves at worst one leaf unplaced.
        self.leaves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what happened.
    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Decides a leaf. A signing failure is the system's (no randomness): refused now, asked for again later.
    pub(super) fn ask(&self, name: &str, now: OffsetDateTime) -> Answer {
        let mut leaves = self.leaves();
        let before = leaves.len();
        let known = leaves.find(name).is_some();
        let answer = leaves.ask(name, now).unwrap_or_else(|error| {
            tracing::error!(%error, "no leaf could be made");
            Answer::Refused
        });
        let made = !known && matches!(answer, Answer::Leaf(_));
        // It took the place of another one.
        let evicted = made && leaves.len() == before;
        if evicted {
            self.leaf_changes.send_replace(());
        }
        self.count(|counts| {
            counts.evicted += u64::from(evicted);
            match answer {
                Answer::Leaf(_) if known => counts.asked(Asked::Cached),
                Answer::Leaf(_) => counts.asked(Asked::Minted),
                Answer::Refused => counts.asked(Asked::Refused),
                // Whoever asks decides whether it asks again.
                Answer::Later => {}
            }
        });
        answer
    }

    /// Whether a name gets a leaf, now or later.
    pub(super) fn allows(&self, name: &str) -> bool {
        self.leaves().allows(name)
    }

    /// What a process refused on its earlier streams.
    pub(super) fn refusals(&self, process: Option<i32>) -> Refusals {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        process.and_then(|process| refusals.get(&process)).cloned().unwrap_or_default()
    }

    /// Remembers for later streams what a process refused, until it acknowledges another version.
    pub(super) fn remember(&self, process: Option<i32>, event: &Event) {
        let Some(process) = process else { return };
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Nacked(kind, versions, message) => {
                let known = refusals.entry(process).or_default();
                let kept = versions.iter().filter(|(name, _)| !kind.on_demand(name));
                known.extend(
                    kept.map(|(name, version)| ((*kind, name.clone()), (version.clone(), message.clone()))),
                );
                while refusals.len() > REMEMBERED {
                    refusals.pop_first();
                }
            }
            Event::Acked(kind, names) => {
                let Some(known) = refusals.get_mut(&process) else { return };
                known.retain(|(refused, name), _| refused != kind || !names.contains_key(name));
            }
            Event::Subscribed(..) | Event::Unsubscribed(..) => {}
        }
    }

    pub(super) fn leaf(&self, name: &str) -> Option<Arc<Resource>> {
        self.leaves().find(name).cloned()
    }

    /// Renews what is due.
    pub(super) fn tick(&self, now: OffsetDateTime) {
        match self.leaves().tick(now) {
            Ok(true) => self.leaf_changes.send_replace(()),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "leaves could not be renewed"),
        }
    }

    fn allow(&self, policy: MintPolicy) {
        self.leaves().allow(policy);
        self.leaf_changes.send_replace(());
    }
}

/// A gateway that is served. Dropping the handle changes nothing: [`GatewayHandle::remove`] does.
#[derive(Clone)]
pub struct GatewayHandle {
    pub(super) key: ObjectKey,
    pub(super) gateway: Arc<Gateway>,
    pub(super) gateways: Arc<Gateways>,
}

impl GatewayHandle {
    /// Replaces what the gateway's proxies are to hold. Each gets what differs, when its turn comes.
    pub fn publish(&self, snapshot: impl Into<Arc<Snapshot>>) {
        self.gateway.feed.send_replace(Feed::Snapshot(snapshot.into()));
    }

    /// Replaces which names get a leaf; leaves of names that are refused now are withdrawn.
    pub fn allow(&self, policy: MintPolicy) {
        self.gateway.allow(policy);
    }

    /// What the connected proxies made of it, as it changes.
    #[must_use]
    pub fn acks(&self) -> watch::Receiver<AckState> {
        self.gateway.acks.subscribe()
    }

    /// The certificate in PEM that agents of this gateway are to trust.
    #[must_use]
    pub fn certificate(&self) -> String {
        self.gateway.leaves().authority().certificate().to_owned()
    }

    /// How many leaves there are, and when the first of them ends.
    #[must_use]
    pub fn leaves(&self) -> (usize, Option<OffsetDateTime>) {
        let leaves = self.gateway.leaves();
        (leaves.len(), leaves.next_end())
    }

    /// How many leaves were made so far, and when the authority that signs them ends.
    #[must_use]
    pub fn minting(&self) -> (u64, OffsetDateTime) {
        let leaves = self.gateway.leaves();
        (leaves.minted(), leaves.authority().not_after())
    }

    /// What went on with the gateway's proxies so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.gateway.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the gateway: its streams end, and its proxies are refused until it is added again. What they hold
    /// stays with them.
    pub fn remove(&self) {
        self.gateways.remove(&self.key, &self.gateway);
        self.gateway.feed.send_replace(Feed::Removed);
    }
}
