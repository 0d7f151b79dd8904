//! What became of the spans of a gateway, by its own count and by the collector's.

use std::path::Path;
use std::time::{Duration, Instant};

use harness::admin;
use harness::collector::Collector;
use policy::metric;

/// How long it may take until every span is accounted for: a batch that found nobody is tried again after half a minute
/// at most.
const PATIENCE: Duration = Duration::from_mins(3);

/// Counts of spans.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Account {
    /// That the collector says it took.
    pub(super) received: u64,
    /// Of which the gateway says that it took them.
    pub(super) sent: u64,
    /// That it did not take, however often it was tried.
    pub(super) refused: u64,
    /// That found no room.
    pub(super) dropped: u64,
}

impl Account {
    /// Of a gateway that was asked this often, once it and its collector have counted that many spans; as they are
    /// when that takes too long.
    pub(super) async fn settled(admin: &Path, collector: &Collector, requests: u64) -> Account {
        let end = Instant::now() + PATIENCE;
        loop {
            let account = Account::read(admin, collector);
            let is_settled = account.missing(requests) == 0 && account.received == account.sent;
            if is_settled || Instant::now() > end {
                return account;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// How many of these requests have no span that was received, refused or dropped, or more than one.
    pub(super) fn missing(&self, requests: u64) -> u64 {
        requests.abs_diff(self.received + self.refused + self.dropped)
    }

    fn read(admin: &Path, collector: &Collector) -> Account {
        let path = format!("/stats/prometheus?filter={}", metric::EXPORT_SPANS);
        let text = admin::ask(admin, &path).expect("an Envoy that answers");
        let outcome = |name: &str| {
            let start = format!("{}{{outcome=\"{name}\"}} ", metric::EXPORT_SPANS);
            let count = text.lines().find_map(|line| line.strip_prefix(&start));
            // What was not counted yet has no line.
            count.map_or(0, |count| count.trim().parse().expect("a count"))
        };
        Account {
            received: collector.received(),
            sent: outcome("sent"),
            refused: outcome("refused"),
            dropped: outcome("dropped"),
        }
    }
}
