//! The tokens that are wanted, each kept fresh by a task of its own.
//!
//! Absent on purpose: readers never cause an exchange. They see what there is, and are told when it changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::account::ServiceAccount;
use super::ambient::Ambient;
use super::exchange::mint;
use super::state::{Snapshot, TokenKey, TokenState};
use super::transport::Transport;
use super::upkeep::{Minter, Upkeep};

/// The wanted tokens. Dropping it stops everything.
pub struct Tokens {
    minter: Minter,
    ambient: Ambient,
    published: Arc<watch::Sender<Arc<Snapshot>>>,
    entries: BTreeMap<TokenKey, Entry>,
    generation: u64,
    attempts: Arc<Attempts>,
}

/// How many attempts to obtain a token there were.
#[derive(Debug, Default)]
pub struct Attempts {
    succeeded: AtomicU64,
    failed: AtomicU64,
}

impl Attempts {
    pub(super) fn count(&self, has_succeeded: bool) {
        let counter = if has_succeeded { &self.succeeded } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Those that got one.
    #[must_use]
    pub fn succeeded(&self) -> u64 {
        self.succeeded.load(Ordering::Relaxed)
    }

    /// Those that did not.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Whose token it is, and how the token endpoint is reached. (No `Debug`: it holds the key.)
#[derive(Clone)]
pub struct Wanted {
    /// The account.
    pub account: Arc<ServiceAccount>,
    /// The way to its token endpoint.
    pub transport: Transport,
}

struct Entry {
    wanted: Wanted,
    _upkeep: Running,
}

impl Wanted {
    fn is_same(&self, other: &Wanted) -> bool {
        self.account.is_same_file(&other.account) && self.transport.is_same(&other.transport)
    }
}

/// A task that ends with its owner.
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Tokens {
    /// None yet.
    #[must_use]
    pub fn new(ambient: Ambient) -> Tokens {
        let minter: Minter = Arc::new(|wanted, grant, now| {
            Box::pin(async move { mint(&wanted.transport, &wanted.account, &grant, now).await })
        });
        Tokens::minted_by(minter, ambient)
    }

    fn minted_by(minter: Minter, ambient: Ambient) -> Tokens {
        let published = Arc::new(watch::Sender::new(Arc::default()));
        Tokens {
            minter,
            ambient,
            published,
            entries: BTreeMap::new(),
            generation: 0,
            attempts: Arc::default(),
        }
    }

    /// Replaces the wanted set. What is new is minted at once. What was wanted before, with the same bytes of the account
    /// and the same roots, keeps its token and its schedule; with another key file of the same account or other roots it
    /// keeps the token until there is a new one; with another account it starts anew. What is no longer wanted is gone from the snapshot on return.
    ///
    /// Called within a tokio runtime: it starts tasks.
    pub fn want(&mut self, wanted: BTreeMap<TokenKey, Wanted>) {
        let mut before = std::mem::take(&mut self.entries);
        for (key, wanted) in wanted {
            let entry = match before.remove(&key) {
                Some(entry) if entry.wanted.is_same(&wanted) => entry,
                other => self.start(key.clone(), wanted, other),
            };
            self.entries.insert(key, entry);
        }
        self.published.send_if_modified(|snapshot| {
            let gone = |key: &&TokenKey| !self.entries.contains_key(*key);
            let gone: Vec<TokenKey> = snapshot.keys().filter(gone).cloned().collect();
            for key in &gone {
                Arc::make_mut(snapshot).remove(key);
            }
            !gone.is_empty()
        });
    }

    /// How every wanted token stands now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.published.borrow().clone()
    }

    /// The snapshots from now on; the latest only, for whoever is slow. It ends when this is dropped.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.published.subscribe()
    }

    /// How many attempts there were, whatever became of the tokens that they were for.
    #[must_use]
    pub fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    fn start(&mut self, key: TokenKey, wanted: Wanted, before: Option<Entry>) -> Entry {
        let is_rotated = before.is_some_and(|before| before.wanted.account.is_same_account(&wanted.account));
        let state = self.first_state(if is_rotated { Some(&key) } else { None });
        self.published.send_modify(|snapshot| {
            Arc::make_mut(snapshot).insert(key.clone(), Arc::new(state.clone()));
        });
        let upkeep = Upkeep {
            key,
            wanted: wanted.clone(),
            minter: self.minter.clone(),
            ambient: self.ambient.clone(),
            published: self.published.clone(),
            attempts: Arc::clone(&self.attempts),
            state,
        };
        Entry { wanted, _upkeep: Running(tokio::spawn(upkeep.run())) }
    }

    /// Empty, but for the token that another key file of the same account has left.
    fn first_state(&mut self, left_by: Option<&TokenKey>) -> TokenState {
        self.generation += 1;
        let snapshot = self.published.borrow();
        let left = left_by.and_then(|key| snapshot.get(key));
        TokenState {
            token: left.and_then(|state| state.token.clone()),
            minted_at: left.and_then(|state| state.minted_at),
            generation: self.generation,
            ..TokenState::default()
        }
    }
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
