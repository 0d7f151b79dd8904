//! The Google tokens of a running `keyward dev`: wanted as the plans need them, whatever gateway they are for.
//!
//! A token endpoint is verified against the system's roots and the additional trust bundles of the gateways that use the
//! token, so a token that two gateways share is obtained once.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::compile::{Origin, joined};
use crate::google::{self, Ambient, Snapshot, TokenKey, Transport, TrustError, Wanted};
use crate::metrics;

pub(super) struct Tokens {
    kept: google::Tokens,
    changes: watch::Receiver<Arc<Snapshot>>,
    /// By what stands beside the system's roots: reading a bundle takes a while.
    transports: BTreeMap<String, Transport>,
}

impl Tokens {
    pub(super) fn none() -> Tokens {
        let kept = google::Tokens::new(Ambient::system());
        let changes = kept.subscribe();
        Tokens { kept, changes, transports: BTreeMap::new() }
    }

    /// Wants these tokens and no others.
    ///
    /// # Errors
    /// [`TrustError`]: no endpoint could be verified. Then everything stays as it is.
    pub(super) fn want(
        &mut self,
        origins: &BTreeMap<TokenKey, Origin>,
        system_trust: &str,
    ) -> Result<(), TrustError> {
        let mut transports = BTreeMap::new();
        let mut wanted = BTreeMap::new();
        for (key, Origin { account, roots }) in origins {
            let roots: String = roots.iter().map(String::as_str).collect();
            let transport = match transports.get(&roots).or_else(|| self.transports.get(&roots)) {
                Some(transport) => Transport::clone(transport),
                None => Transport::new(&joined(system_trust, &roots))?,
            };
            transports.insert(roots, transport.clone());
            wanted.insert(key.clone(), Wanted { account: Arc::clone(account), transport });
        }
        self.transports = transports;
        self.kept.want(wanted);
        Ok(())
    }

    /// Ready when one of them stands otherwise than before.
    pub(super) async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// How they stand now.
    pub(super) fn snapshot(&mut self) -> Arc<Snapshot> {
        self.changes.borrow_and_update().clone()
    }

    /// How they stand now, for whoever only looks.
    pub(super) fn look(&self) -> Arc<Snapshot> {
        Arc::clone(&self.changes.borrow())
    }

    /// How they stand, in numbers.
    pub(super) fn reading(&self) -> metrics::Tokens {
        let snapshot = self.changes.borrow();
        let valid: Vec<_> = snapshot.values().filter_map(|state| state.token.as_ref()).collect();
        let attempts = self.kept.attempts();
        metrics::Tokens {
            valid: valid.len(),
            missing: snapshot.len() - valid.len(),
            oldest: snapshot
                .values()
                .filter(|state| state.token.is_some())
                .filter_map(|state| state.minted_at)
                .min(),
            first_ends: valid.iter().map(|token| token.expires_at).min(),
            succeeded: attempts.succeeded(),
            failed: attempts.failed(),
        }
    }

    /// Whether for each the first attempt is over.
    pub(super) fn are_tried(&self) -> bool {
        self.changes.borrow().values().all(|state| state.token.is_some() || state.failures > 0)
    }
}
