//! The leaves of one gateway: which names get one, how many there are, and when each is replaced or withdrawn.
//!
//! The server of leaves sees subscriptions, never use, so what must not be lost is pinned instead of kept by use.
//! An agent chooses the names: each kind of name therefore has a bound of its own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use super::ca::{Authority, AuthorityError};
use super::leaf::Leaf;
use super::mint::{Class, MintPolicy};
use super::name::is_host_name;
use super::rate::Rate;
use crate::xds::Resource;

/// How many leaves of names that no route has are kept; above it the oldest goes.
pub const OPEN_LIMIT: usize = 1_000;

/// How many leaves of names that only a pattern of a route has are pinned; above it they count as names without one.
pub const PATTERN_LIMIT: usize = 1_000;

/// How many leaves a second agents can have made. Each costs an Envoy some five milliseconds, and with fifty of them the
/// requests of others were seen to wait (`docs/performance.md`).
pub const PER_SECOND: u32 = 25;

/// A leaf is not withdrawn before a handshake that waits for it had the time to use it.
pub const KEPT_AT_LEAST: Duration = Duration::seconds(10);

/// How many leaves one [`Leaves::tick`] makes: with a tick a second neither ten thousand hosts nor their renewals
/// stop the server or its proxies.
const PER_TICK: usize = 50;

/// What becomes of a name that was asked for.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This is its leaf.
    Leaf(Arc<Resource>),
    /// It gets none.
    Refused,
    /// It would get one, but not now: ask again.
    Later,
}

struct Entry {
    leaf: Leaf,
    class: Class,
    since: OffsetDateTime,
}

/// The leaves of one gateway.
pub struct Leaves {
    authority: Authority,
    policy: MintPolicy,
    entries: BTreeMap<String, Entry>,
    /// Names of class [`Class::Open`], oldest first.
    open: VecDeque<String>,
    pinned_by_pattern: usize,
    rate: Rate,
    minted: u64,
}

impl Leaves {
    /// No leaves yet, and none to be made before [`Leaves::allow`].
    #[must_use]
    pub fn new(authority: Authority) -> Leaves {
        Leaves {
            authority,
            policy: MintPolicy::refuse_all(),
            entries: BTreeMap::new(),
            open: VecDeque::new(),
            pinned_by_pattern: 0,
            rate: Rate::new(PER_SECOND),
            minted: 0,
        }
    }

    /// The authority that signs them.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Replaces the policy: leaves of names that it refuses are gone, the others count as what they are now.
    pub fn allow(&mut self, policy: MintPolicy) {
        self.policy = policy;
        self.open.clear();
        self.pinned_by_pattern = 0;
        let mut entries: Vec<(String, Entry)> = std::mem::take(&mut self.entries).into_iter().collect();
        entries.sort_by_key(|(_, entry)| entry.since);
        for (name, entry) in entries {
            if let Some(class) = self.place(&name) {
                self.keep(name, Entry { class, ..entry });
            }
        }
    }

    /// The leaf that a name has now.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Resource>> {
        self.entries.get(name).map(|entry| &entry.leaf.resource)
    }

    /// Whether a name gets a leaf, now or later.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        self.policy.class(name).is_some()
    }

    /// How many leaves there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no leaf.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many were made so far: for whoever asked, ahead, and in place of old ones.
    #[must_use]
    pub fn minted(&self) -> u64 {
        self.minted
    }

    /// When the first of them ends.
    #[must_use]
    pub fn next_end(&self) -> Option<OffsetDateTime> {
        self.entries.values().map(|entry| entry.leaf.ends_at()).min()
    }

    /// Decides a name that was asked for, and makes its leaf where it gets one. May withdraw the oldest leaf of the
    /// names that no route has.
    ///
    /// # Errors
    /// [`AuthorityError::Signing`] where the system gives no randomness.
    pub fn ask(&mut self, name: &str, now: OffsetDateTime) -> Result<Answer, AuthorityError> {
        if let Some(leaf) = self.find(name) {
            return Ok(Answer::Leaf(leaf.clone()));
        }
        let Some(class) = self.place(name) else { return Ok(Answer::Refused) };
        if class == Class::Open && !self.room(now) || class != Class::Exact && !self.rate.take(now) {
            return Ok(Answer::Later);
        }
        let leaf = self.mint(name, now)?;
        let answer = Answer::Leaf(leaf.resource.clone());
        self.keep(name.to_owned(), Entry { leaf, class, since: now });
        Ok(answer)
    }

    /// The class of a name that is not kept yet. A pattern's budget that is spent leaves the fate of open names:
    /// the agent may have spent it, and a route's host is not to be refused for that.
    fn place(&self, name: &str) -> Option<Class> {
        match self.policy.class(name)? {
            Class::Pattern if self.pinned_by_pattern >= PATTERN_LIMIT => Some(Class::Open),
            class => Some(class),
        }
    }

    /// Whether an open name fits, if need be in the place of the oldest.
    fn room(&self, now: OffsetDateTime) -> bool {
        let oldest = self.open.front().and_then(|name| self.entries.get(name));
        self.open.len() < OPEN_LIMIT || oldest.is_none_or(|entry| now - entry.since >= KEPT_AT_LEAST)
    }

    fn keep(&mut self, name: String, entry: Entry) {
        match entry.class {
            Class::Exact => {}
            Class::Pattern => self.pinned_by_pattern += 1,
            Class::Open => {
                if self.open.len() >= OPEN_LIMIT
                    && let Some(oldest) = self.open.pop_front()
                {
                    self.entries.remove(&oldest);
                }
                self.open.push_back(name.clone());
            }
        }
        self.entries.insert(name, entry);
    }

    /// Replaces leaves that are due, then makes some of those that routes name and nobody asked for yet. Returns
    /// whether a leaf was replaced.
    ///
    /// # Errors
    /// [`AuthorityError::Signing`] where the system gives no randomness; the old leaves stay.
    pub fn tick(&mut self, now: OffsetDateTime) -> Result<bool, AuthorityError> {
        let due = self.entries.iter().filter(|(_, entry)| entry.leaf.renew_at <= now);
        let due: Vec<String> = due.map(|(name, _)| name.clone()).take(PER_TICK).collect();
        for name in &due {
            let leaf = self.mint(name, now)?;
            if let Some(entry) = self.entries.get_mut(name) {
                entry.leaf = leaf;
            }
        }
        self.make_ahead(PER_TICK - due.len(), now)?;
        Ok(!due.is_empty())
    }

    fn make_ahead(&mut self, at_most: usize, now: OffsetDateTime) -> Result<(), AuthorityError> {
        let missing = |name: &&String| !self.entries.contains_key(*name) && is_host_name(name);
        let missing: Vec<String> =
            self.policy.exact().iter().filter(missing).take(at_most).cloned().collect();
        for name in missing {
            let leaf = self.mint(&name, now)?;
            self.keep(name, Entry { leaf, class: Class::Exact, since: now });
        }
        Ok(())
    }

    fn mint(&mut self, name: &str, now: OffsetDateTime) -> Result<Leaf, AuthorityError> {
        let leaf = Leaf::mint(&self.authority, name, now)?;
        self.minted += 1;
        Ok(leaf)
    }
}

#[cfg(test)]
mod tests {
    use super::super::mint::Others;
    use super::*;

    fn start() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
    }

    fn leaves(exact: &[&str], others: Others) -> Leaves {
        let (authority, _) = Authority::create("default/gw", start()).unwrap();
        let mut leaves = Leaves::new(authority);
        leaves.allow(policy(exact, others));
        leaves
    }

    fn policy(exact: &[&str], others: Others) -> MintPolicy {
        let exact = exact.iter().map(|name| (*name).to_owned()).collect();
        MintPolicy::new(exact, |name| name.ends_with(".pattern.example"), others)
    }

    fn is_minted(answer: Answer) -> bool {
        matches!(answer, Answer::Leaf(_))
    }

    /// Asks for `count` names, `per_second` of them, and returns the time after it.
    fn ask_many(leaves: &mut Leaves, suffix: &str, count: usize, from: OffsetDateTime) -> OffsetDateTime {
        let step = Duration::SECOND / PER_SECOND;
        let mut now = from;
        for n in 0..count {
            now += step;
            assert!(is_minted(leaves.ask(&format!("n{n}{suffix}"), now).unwrap()), "{n}");
        }
        now
    }

    #[test]
    fn only_names_that_policy_allows_get_a_leaf() {
        #[rustfmt::skip]
        let cases = [
            ("api.example", Others::Refused, true),
            ("x.pattern.example", Others::Refused, true),
            ("other.example", Others::Refused, false),
            ("other.example", Others::Minted, true),
            ("API.example", Others::Minted, false),
            ("10.0.0.1", Others::Minted, false),
            ("keyward/trust", Others::Minted, false),
            ("", Others::Minted, false),
        ];
        for (name, others, minted) in cases {
            let answer = leaves(&["api.example"], others).ask(name, start()).unwrap();
            assert_eq!(is_minted(answer.clone()), minted, "{name}");
            assert!(minted || matches!(answer, Answer::Refused), "{name}");
        }
    }

    #[test]
    fn a_name_asked_for_twice_gets_the_same_leaf() {
        let mut leaves = leaves(&["api.example"], Others::Refused);
        let versions = [0, 3600].map(|seconds| {
            let Answer::Leaf(leaf) = leaves.ask("api.example", start() + Duration::seconds(seconds)).unwrap()
            else {
                panic!("not minted")
            };
            leaf.version.clone()
        });
        assert_eq!(versions[0], versions[1]);
    }

    #[test]
    fn at_most_so_many_leaves_a_second_are_made_for_names_that_agents_choose() {
        let mut leaves = leaves(&["api.example"], Others::Minted);
        let made = |leaves: &mut Leaves, prefix: &str, now| {
            (0..200).filter(|n| is_minted(leaves.ask(&format!("{prefix}{n}.example"), now).unwrap())).count()
        };
        assert_eq!(made(&mut leaves, "a", start()), 25);
        assert_eq!(made(&mut leaves, "b", start() + Duration::milliseconds(400)), 10);
        assert_eq!(made(&mut leaves, "c", start() + Duration::seconds(60)), 25);
        assert!(matches!(leaves.ask("d.example", start() + Duration::seconds(60)).unwrap(), Answer::Later));
        assert!(
            is_minted(leaves.ask("api.example", start() + Duration::seconds(60)).unwrap()),
            "a route names it"
        );
    }

    #[test]
    fn a_clock_that_goes_back_mints_nothing_extra() {
        let mut leaves = leaves(&[], Others::Minted);
        for n in 0..PER_SECOND {
            assert!(is_minted(leaves.ask(&format!("a{n}.example"), start()).unwrap()));
        }
        assert!(!is_minted(leaves.ask("b.example", start() - Duration::hours(1)).unwrap()));
    }

    #[test]
    fn above_the_limit_the_oldest_open_leaf_goes_and_pinned_ones_stay() {
        let mut leaves = leaves(&["api.example"], Others::Minted);
        leaves.ask("api.example", start()).unwrap();
        leaves.ask("x.pattern.example", start()).unwrap();
        let now = ask_many(&mut leaves, ".example", OPEN_LIMIT, start());
        assert_eq!(leaves.len(), OPEN_LIMIT + 2);
        assert!(is_minted(leaves.ask("one-more.example", now + Duration::SECOND).unwrap()));
        assert_eq!(leaves.len(), OPEN_LIMIT + 2);
        assert!(leaves.find("n0.example").is_none());
        assert!(
            ["n1.example", "api.example", "x.pattern.example"].iter().all(|name| leaves.find(name).is_some())
        );
    }

    #[test]
    fn no_leaf_is_withdrawn_before_ten_seconds() {
        let mut leaves = leaves(&[], Others::Minted);
        leaves.rate = Rate::new(u32::MAX);
        for n in 0..OPEN_LIMIT {
            leaves.ask(&format!("n{n}.example"), start()).unwrap();
        }
        let early = leaves.ask("late.example", start() + Duration::milliseconds(9_999)).unwrap();
        assert!(matches!(early, Answer::Later));
        assert!(is_minted(leaves.ask("late.example", start() + Duration::seconds(10)).unwrap()));
    }

    #[test]
    fn a_spent_pattern_budget_pins_no_more_but_still_mints() {
        let mut leaves = leaves(&[], Others::Refused);
        let now = ask_many(&mut leaves, ".pattern.example", PATTERN_LIMIT + 1, start());
        assert_eq!((leaves.pinned_by_pattern, leaves.open.len()), (PATTERN_LIMIT, 1));
        ask_many(&mut leaves, ".more.pattern.example", OPEN_LIMIT, now);
        assert!(leaves.find("n0.pattern.example").is_some(), "pinned");
        assert!(leaves.find("n1000.pattern.example").is_none(), "not pinned");
    }

    #[test]
    fn route_hosts_are_made_ahead_and_leaves_are_renewed_at_two_thirds() {
        let mut leaves = leaves(&["api.example", "b.example", "10.0.0.1"], Others::Minted);
        assert!(!leaves.tick(start()).unwrap(), "nothing replaced");
        assert_eq!(leaves.len(), 2);
        leaves.ask("open.example", start()).unwrap();
        let version = |leaves: &Leaves, name: &str| leaves.find(name).unwrap().version.clone();
        let before = (version(&leaves, "api.example"), version(&leaves, "open.example"));
        assert!(!leaves.tick(start() + Duration::minutes(15 * 60 - 1)).unwrap());
        assert_eq!(before, (version(&leaves, "api.example"), version(&leaves, "open.example")));
        assert!(leaves.tick(start() + Duration::hours(15)).unwrap());
        let after = (version(&leaves, "api.example"), version(&leaves, "open.example"));
        assert!(before.0 != after.0 && before.1 != after.1);
        assert!(!leaves.tick(start() + Duration::hours(16)).unwrap(), "renewed once");
        assert_eq!(leaves.minted(), 6, "two ahead, one asked for, each renewed once");
    }

    #[test]
    fn many_route_hosts_are_made_over_several_ticks() {
        let names: Vec<String> = (0..125).map(|n| format!("n{n}.example")).collect();
        let mut leaves = leaves(&names.iter().map(String::as_str).collect::<Vec<_>>(), Others::Refused);
        let counts = [0, 1, 2, 3].map(|second| {
            leaves.tick(start() + Duration::seconds(second)).unwrap();
            leaves.len()
        });
        assert_eq!(counts, [50, 100, 125, 125]);
    }

    #[test]
    fn a_new_policy_withdraws_what_it_refuses_and_sorts_the_rest_anew() {
        let mut leaves = leaves(&["a.example", "b.example"], Others::Minted);
        for name in ["a.example", "b.example", "c.example", "x.pattern.example"] {
            leaves.ask(name, start()).unwrap();
        }
        leaves.allow(policy(&["c.example"], Others::Minted));
        assert_eq!((leaves.len(), leaves.open.len()), (4, 2), "a and b count as open now");
        leaves.allow(policy(&["c.example"], Others::Refused));
        assert_eq!((leaves.len(), leaves.open.len(), leaves.pinned_by_pattern), (2, 0, 1));
        assert!(leaves.find("a.example").is_none());
    }
}
