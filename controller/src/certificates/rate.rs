//! A token bucket whose clock is an argument.

use time::{Duration, OffsetDateTime};

/// At most so many a second, and so many at once.
pub(super) struct Rate {
    per_second: f64,
    tokens: f64,
    at: Option<OffsetDateTime>,
}

impl Rate {
    pub(super) fn new(per_second: u32) -> Rate {
        let per_second = f64::from(per_second);
        Rate { per_second, tokens: per_second, at: None }
    }

    /// Takes one, if there is one. A clock that goes back gives nothing and takes nothing.
    pub(super) fn take(&mut self, now: OffsetDateTime) -> bool {
        let since = self.at.map_or(Duration::ZERO, |at| now - at).max(Duration::ZERO);
        self.tokens = (self.tokens + since.as_seconds_f64() * self.per_second).min(self.per_second);
        self.at = Some(now);
        let one = self.tokens >= 1.0;
        if one {
            self.tokens -= 1.0;
        }
        one
    }
}
