//! The clock and the chance that tokens are kept by: the system's, or a test's.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until};

/// A machine that was suspended finds out within this that its tokens are due: timers do not run meanwhile.
const LONGEST_NAP: Duration = Duration::from_secs(30);

/// A clock, and a chance: a number from 0 to 1.
#[derive(Clone)]
pub struct Ambient {
    now: Arc<dyn Fn() -> OffsetDateTime + Send + Sync>,
    chance: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Ambient {
    /// The system's clock and randomness.
    #[must_use]
    pub fn system() -> Ambient {
        Ambient::new(OffsetDateTime::now_utc, system_chance)
    }

    /// A given clock and a given chance.
    pub fn new(
        now: impl Fn() -> OffsetDateTime + Send + Sync + 'static,
        chance: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Ambient {
        Ambient { now: Arc::new(now), chance: Arc::new(chance) }
    }

    pub(super) fn now(&self) -> OffsetDateTime {
        (self.now)()
    }

    pub(super) fn chance(&self) -> f64 {
        (self.chance)()
    }

    /// How long until then; nothing where it is past.
    pub(super) fn until(&self, then: OffsetDateTime) -> Duration {
        (then - self.now()).try_into().unwrap_or_default()
    }

    /// Waits until the clock or the timer says that so much time has passed, whichever is first: a clock may be set
    /// back, and a timer sleeps with the machine.
    pub(super) async fn pass(&self, pause: Duration) {
        let (alarm, then) = (Instant::now() + pause, self.now() + pause);
        while Instant::now() < alarm && self.now() < then {
            sleep_until(alarm.min(Instant::now() + LONGEST_NAP)).await;
        }
    }
}

/// Where the system gives none, the middle: then nothing is spread, and nothing fails.
fn system_chance() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// A clock that runs at `rate` seconds a second.
    fn running_at(rate: f64) -> Ambient {
        let (start, epoch) = (Instant::now(), OffsetDateTime::UNIX_EPOCH);
        Ambient::new(move || epoch + start.elapsed().mul_f64(rate), || 0.5)
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_by_the_timer_where_the_clock_stands_still() {
        let start = Instant::now();
        running_at(0.0).pass(Duration::from_secs(100)).await;
        assert_eq!(start.elapsed().as_secs(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_within_half_a_minute_where_the_clock_has_jumped() {
        let seconds = Arc::new(AtomicI64::new(0));
        let clock = seconds.clone();
        let ambient = Ambient::new(
            move || OffsetDateTime::from_unix_timestamp(clock.load(Ordering::Relaxed)).unwrap(),
            || 0.5,
        );
        let start = Instant::now();
        let jump = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            seconds.store(7200, Ordering::Relaxed);
        };
        tokio::join!(ambient.pass(Duration::from_secs(3600)), jump);
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[test]
    fn the_systems_chance_is_a_number_from_0_to_1_that_varies() {
        let system = Ambient::system();
        let chances: Vec<f64> = (0..8).map(|_| system.chance()).collect();
        assert!(chances.iter().all(|chance| (0.0..=1.0).contains(chance)));
        assert!(chances.iter().any(|chance| *chance != chances[0]));
    }
}
