//! Keeps one token fresh, for as long as it is wanted.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;

use super::ambient::Ambient;
use super::exchange::Failure;
use super::grant::Grant;
use super::schedule;
use super::state::{Snapshot, Token, TokenKey, TokenState};
use super::tokens::{Attempts, Wanted};

pub(super) type Minted = Pin<Box<dyn Future<Output = Result<Token, Failure>> + Send>>;

/// Mints a token of an account for a grant; the time is when it is asked for.
pub(super) type Minter = Arc<dyn Fn(Wanted, Grant, OffsetDateTime) -> Minted + Send + Sync>;

/// One token's keeper.
pub(super) struct Upkeep {
    pub(super) key: TokenKey,
    pub(super) wanted: Wanted,
    pub(super) minter: Minter,
    pub(super) ambient: Ambient,
    pub(super) published: Arc<watch::Sender<Arc<Snapshot>>>,
    pub(super) attempts: Arc<Attempts>,
    pub(super) state: TokenState,
}

/// An attempt that is over.
struct Attempt {
    at: OffsetDateTime,
    outcome: Result<Token, Failure>,
}

impl Upkeep {
    /// Until it is stopped.
    pub(super) async fn run(mut self) {
        let mut pause = Duration::ZERO;
        loop {
            let attempt = self.attempt_after(pause).await;
            pause = self.take(attempt);
            self.publish();
        }
    }

    /// Waits and attempts. The token that there is meanwhile is withdrawn when it ends, also during the attempt.
    async fn attempt_after(&mut self, pause: Duration) -> Attempt {
        let (ambient, minter) = (self.ambient.clone(), self.minter.clone());
        let (wanted, grant) = (self.wanted.clone(), self.key.grant.clone());
        let mut attempt = pin!(async move {
            ambient.pass(pause).await;
            let at = ambient.now();
            Attempt { at, outcome: minter(wanted, grant, at).await }
        });
        loop {
            let end = self.state.token.as_ref().map(|token| token.expires_at);
            tokio::select! {
                biased;
                attempt = &mut attempt => return attempt,
                () = ended(&self.ambient, end) => {
                    self.state.token = None;
                    self.publish();
                }
            }
        }
    }

    /// Takes the outcome into the state, and says when to try again.
    fn take(&mut self, Attempt { at, outcome }: Attempt) -> Duration {
        let chance = self.ambient.chance();
        self.attempts.count(outcome.is_ok());
        let pause = match outcome {
            Ok(token) => {
                let life = (token.expires_at - at).try_into().unwrap_or_default();
                self.state.token = Some(token);
                self.state.minted_at = Some(at);
                self.state.failures = 0;
                self.state.last_error = None;
                schedule::renewal(life, chance)
            }
            Err(failure) => {
                self.state.failures = self.state.failures.saturating_add(1);
                self.state.last_error = Some(failure.cause);
                schedule::retry(self.state.failures, failure.retry_after, chance)
            }
        };
        self.state.next_attempt = Some(self.ambient.now() + pause);
        pause
    }

    /// Stopping a task does not stop what it is in the middle of: what is no longer its own it leaves alone.
    fn publish(&self) {
        self.published.send_if_modified(|snapshot| {
            let mine = snapshot.get(&self.key).is_some_and(|now| now.generation == self.state.generation);
            if mine {
                Arc::make_mut(snapshot).insert(self.key.clone(), Arc::new(self.state.clone()));
            }
            mine
        });
    }
}

async fn ended(ambient: &Ambient, end: Option<OffsetDateTime>) {
    match end {
        Some(end) => ambient.pass(ambient.until(end)).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::super::grant::Scopes;
    use super::super::testing::wanted;
    use super::*;

    fn key() -> TokenKey {
        let [namespace, secret, key] = ["default", "gcp", "token"].map(str::to_owned);
        TokenKey { namespace, secret, key, grant: Grant::AccessToken(Scopes::default()) }
    }

    fn of_generation(generation: u64) -> Snapshot {
        [(key(), Arc::new(TokenState { generation, ..TokenState::default() }))].into()
    }

    /// What there is after a task of the first generation has published its seven failures.
    fn failures_after(snapshot: Snapshot) -> Option<u32> {
        let published = Arc::new(watch::Sender::new(Arc::new(snapshot)));
        let upkeep = Upkeep {
            key: key(),
            wanted: wanted("one", "https://a.example/token"),
            minter: Arc::new(|_, _, _| Box::pin(std::future::pending())),
            ambient: Ambient::system(),
            published: published.clone(),
            attempts: Arc::default(),
            state: TokenState { failures: 7, generation: 1, ..TokenState::default() },
        };
        upkeep.publish();
        let snapshot = published.borrow();
        snapshot.get(&key()).map(|state| state.failures)
    }

    #[test]
    fn a_task_that_was_stopped_neither_revives_what_is_gone_nor_overwrites_its_successor() {
        assert_eq!(failures_after(of_generation(1)), Some(7));
        assert_eq!(failures_after(of_generation(2)), Some(0));
        assert_eq!(failures_after(Snapshot::new()), None);
    }
}
