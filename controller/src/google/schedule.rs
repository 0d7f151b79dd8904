//! When a token is renewed, and when a failure is tried again. Chance is an argument: a number from 0 to 1.

use std::time::Duration;

/// A token of seconds is not renewed each second.
const SHORTEST_PAUSE: Duration = Duration::from_secs(10);

/// The first pause after a failure.
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause after a failure, whatever the endpoint asks for: a token has to come back by itself.
pub(super) const LONGEST: Duration = Duration::from_secs(300);

/// What jitter adds at most to a pause after a failure: half of it.
const JITTER: f64 = 0.5;

/// How long a new token is kept: three quarters of its life, give or take a twentieth of it, so that what was minted
/// together is not renewed together.
pub(super) fn renewal(life: Duration, chance: f64) -> Duration {
    life.mul_f64(0.70 + 0.10 * chance.clamp(0.0, 1.0)).max(SHORTEST_PAUSE)
}

/// How long to wait after so many failures in a row: from one second up to five minutes, and no less than the endpoint
/// asked for.
pub(super) fn retry(failures: u32, retry_after: Option<Duration>, chance: f64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    let step = doubled.min(LONGEST.div_f64(1.0 + JITTER));
    let pause = step.mul_f64(1.0 + JITTER * chance.clamp(0.0, 1.0));
    pause.max(retry_after.unwrap_or_default()).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(pause: Duration) -> u64 {
        pause.as_secs_f64().round() as u64
    }

    #[test]
    fn a_token_is_renewed_at_three_quarters_of_its_life_with_jitter() {
        let hour = Duration::from_secs(3600);
        for (chance, expected) in [(0.0, 2520), (0.5, 2700), (1.0, 2880), (7.0, 2880)] {
            assert_eq!(seconds(renewal(hour, chance)), expected);
        }
        assert_eq!(seconds(renewal(Duration::from_secs(1), 0.5)), 10);
        assert_eq!(seconds(renewal(Duration::ZERO, 0.5)), 10);
    }

    #[test]
    fn pauses_after_failures_double_from_a_second_to_five_minutes() {
        let pauses = |chance| [1, 2, 3, 4, 8, 9, 10, u32::MAX].map(|n| seconds(retry(n, None, chance)));
        assert_eq!(pauses(0.0), [1, 2, 4, 8, 128, 200, 200, 200]);
        assert_eq!(pauses(1.0), [2, 3, 6, 12, 192, 300, 300, 300]);
        assert_eq!(retry(0, None, 0.0), FIRST);
    }

    #[test]
    fn what_the_endpoint_asks_for_is_honoured_up_to_five_minutes() {
        let asked = |seconds| Some(Duration::from_secs(seconds));
        for (failures, asked, expected) in [
            (1, asked(30), 30),
            (1, asked(0), 1),
            (5, asked(2), 16),
            (1, asked(3600), 300),
            (1, asked(u64::MAX), 300),
        ] {
            assert_eq!(seconds(retry(failures, asked, 0.0)), expected);
        }
    }
}
