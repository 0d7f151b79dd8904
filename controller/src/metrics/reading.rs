//! How everything stands at a moment, reduced to what is exposed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use policy::api::Kind;
use time::OffsetDateTime;

use crate::conditions::{ObjectStatus, Truth};
use crate::plan::ObjectKey;
use crate::xds::Counts;

/// How everything stands.
#[derive(Debug)]
pub(crate) struct Reading {
    /// How many objects there are of each kind.
    pub(crate) objects: BTreeMap<Kind, u64>,
    /// How many objects of a kind have a condition of a type, by its status.
    pub(crate) conditions: BTreeMap<(Kind, &'static str), BTreeMap<Truth, u64>>,
    /// What is wrong with the files.
    pub(crate) problems: usize,
    pub(crate) gateways: BTreeMap<ObjectKey, Gateway>,
    pub(crate) secrets: SecretAges,
    pub(crate) tokens: Tokens,
    pub(crate) propagation: Propagation,
}

/// How a gateway stands.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// The admin socket of its Envoy.
    pub(crate) admin: PathBuf,
    pub(crate) is_ready: bool,
    /// How often its Envoy ended by itself.
    pub(crate) restarts: u64,
    /// How many Envoys are connected, and how many of them hold what they are to hold.
    pub(crate) connected: usize,
    pub(crate) settled: usize,
    /// How many resources some of them refuse.
    pub(crate) refused: usize,
    /// Since when they are to hold that.
    pub(crate) pushed_at: Option<OffsetDateTime>,
    pub(crate) counts: Counts,
    pub(crate) leaves: usize,
    pub(crate) leaves_minted: u64,
    pub(crate) first_leaf_ends: Option<OffsetDateTime>,
    pub(crate) authority_ends: OffsetDateTime,
}

/// When values of Secrets changed last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SecretAges {
    /// Those that have not changed for longest.
    pub(crate) oldest: Option<OffsetDateTime>,
    /// Those that changed last.
    pub(crate) latest: Option<OffsetDateTime>,
}

/// How the Google tokens stand.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    pub(crate) valid: usize,
    pub(crate) missing: usize,
    /// When the oldest of the valid ones was obtained.
    pub(crate) oldest: Option<OffsetDateTime>,
    pub(crate) first_ends: Option<OffsetDateTime>,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
}

/// How long changed Secrets took to be in use: a histogram. (That of the library shares its counts among clones; a reading
/// is of one moment.)
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Propagation {
    seconds: f64,
    /// How many took at most as long as each bound, and longer than the one before; at last those that took longer than all.
    counts: [u64; Propagation::BOUNDS.len() + 1],
}

impl Propagation {
    /// From a millisecond, which is half of what one Envoy takes at best, to the time that `secret set` waits and beyond.
    const BOUNDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0];

    pub(crate) fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.seconds += seconds;
        let place = Propagation::BOUNDS.iter().position(|bound| seconds <= *bound);
        if let Some(count) = self.counts.get_mut(place.unwrap_or(Propagation::BOUNDS.len())) {
            *count += 1;
        }
    }

    /// The sum of all, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.seconds
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The bounds, each with how many are below it and above the one before. The last one is none (`f64::INFINITY`).
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        Propagation::BOUNDS.into_iter().chain([f64::INFINITY]).zip(self.counts).collect()
    }
}

/// Counts conditions. An object that has one of a type several times, as a route has for each of its parents, counts once,
/// with the worst.
pub(crate) fn conditions<'a>(
    statuses: impl Iterator<Item = (Kind, &'a ObjectStatus)>,
) -> BTreeMap<(Kind, &'static str), BTreeMap<Truth, u64>> {
    let mut counts: BTreeMap<_, BTreeMap<Truth, u64>> = BTreeMap::new();
    for (kind, status) in statuses {
        let mut worst = BTreeMap::new();
        for (_, conditions) in status.parts() {
            for (of, condition) in conditions.iter() {
                let truth = worst.entry(of).or_insert(condition.status);
                *truth = worse(*truth, condition.status);
            }
        }
        for (of, truth) in worst {
            *counts.entry((kind, of)).or_default().entry(truth).or_default() += 1;
        }
    }
    counts
}

fn worse(one: Truth, other: Truth) -> Truth {
    match (one, other) {
        (Truth::False, _) | (_, Truth::False) => Truth::False,
        (Truth::Unknown, _) | (_, Truth::Unknown) => Truth::Unknown,
        (Truth::True, Truth::True) => Truth::True,
    }
}

#[cfg(test)]
mod tests {
    use policy::api::status::StatusReference;

    use super::*;
    use crate::conditions::{Attachment, Condition, Conditions};

    fn attachment(of: &[(&'static str, Truth)]) -> Attachment {
        let mut conditions = Conditions::default();
        for (kind, status) in of {
            let (reason, message) = ("R".to_owned(), String::new());
            conditions.set(kind, Condition { status: *status, reason, message, observed_generation: None });
        }
        let to = StatusReference {
            group: String::new(),
            kind: "EgressGateway".to_owned(),
            namespace: None,
            name: "g".to_owned(),
            section_name: None,
        };
        Attachment { to, conditions }
    }

    #[test]
    fn a_time_counts_in_the_first_bucket_that_holds_it() {
        let mut propagation = Propagation::default();
        for milliseconds in [0, 1, 2, 30_000, 30_001] {
            propagation.observe(Duration::from_millis(milliseconds));
        }
        let counts: Vec<u64> = propagation.buckets().into_iter().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(propagation.count(), 5);
        assert!((propagation.seconds() - 60.004).abs() < 1e-9);
    }

    #[test]
    fn an_object_counts_once_for_each_type_with_the_worst_of_its_parents() {
        use Truth::{False, True, Unknown};
        let routes = [
            ObjectStatus::Route(vec![attachment(&[("Accepted", True)]), attachment(&[("Accepted", False)])]),
            ObjectStatus::Route(vec![
                attachment(&[("Accepted", Unknown)]),
                attachment(&[("Accepted", True)]),
            ]),
            ObjectStatus::Route(vec![attachment(&[("Accepted", True), ("ResolvedRefs", False)])]),
            ObjectStatus::Route(vec![]),
        ];
        let counts = conditions(routes.iter().map(|status| (Kind::AiProviderRoute, status)));
        let of = |kind| counts[&(Kind::AiProviderRoute, kind)].clone().into_iter().collect::<Vec<_>>();
        assert_eq!(of("Accepted"), [(True, 1), (False, 1), (Unknown, 1)]);
        assert_eq!(of("ResolvedRefs"), [(False, 1)]);
        assert_eq!(counts.len(), 2);
    }
}
