//! The credentials of a VM, shared by all its rule sets.
//!
//! Nothing is opened before a request needs it: the VM in which Envoy tries an update serves none, and most workers
//! need few of ten thousand. A policy is *in use* once a request has needed one of its credentials; then all that is
//! held of it is opened, and from then on whatever comes. So a response is scrubbed of the same values as if all had
//! been opened from the start.
//!
//! A rotation brings one value that is new: everything else is found by its sealed text and binding. What no rule set
//! uses any more is *retired*: responses are still scrubbed of it for [`RETIRED_FOR`], then it is zeroized. Nothing
//! else here needs to be undone, so compiling a configuration that is then thrown away is harmless.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::RuleSet;
use super::credential::{Credential, Sealed};
use crate::scrub::{Live, Scrubber};
use crate::seal::{Binding, Keyring};
use crate::secret::Secret;
use crate::wire::{Injection, Target};

/// How long a value is scrubbed after its last use.
pub const RETIRED_FOR: Duration = Duration::from_secs(10 * 60);

/// How many retired values of one credential are kept; a faster rotation drops the oldest early. Each costs every
/// response of its credential a search.
const RETIRED_AT_MOST: usize = 16;

/// The credentials that rules use, and those they used until lately. One per VM.
#[derive(Default)]
pub struct Vault {
    pub(super) keyring: Option<Rc<Keyring>>,
    policies: BTreeMap<Rc<str>, Held>,
}

#[derive(Default)]
struct Held {
    in_use: bool,
    arrivals: u64,
    /// What rules use. Of a policy that is not in use, also what they used until lately.
    credentials: BTreeMap<Rc<Sealed>, HeldCredential>,
    /// Each distinct value of a policy in use, oldest first, retired ones included.
    values: Vec<HeldValue>,
}

struct HeldCredential {
    credential: Rc<Credential>,
    arrival: u64,
    /// Since the epoch of the caller's clock; set while no rule set uses the credential.
    drop_at: Option<Duration>,
}

struct HeldValue {
    live: Rc<Live>,
    /// The same, while no credential uses the value.
    drop_at: Option<Duration>,
}

impl Vault {
    /// A vault that opens by these keys; without any, nothing opens.
    #[must_use]
    pub fn new(keyring: Option<Keyring>) -> Self {
        Vault { keyring: keyring.map(Rc::new), policies: BTreeMap::new() }
    }

    /// What a policy, named by its id, sets a target to: the credential that is held already, or a new one.
    pub(super) fn credential(
        &mut self,
        binding: Binding,
        Injection { policy, sealed, .. }: Injection,
        target: Rc<Target>,
    ) -> Rc<Credential> {
        let id: Rc<str> = policy.into();
        let held = self.policies.entry(Rc::clone(&id)).or_default();
        let sealed = Rc::new(Sealed { binding, text: sealed });
        if let Some(known) = held.credentials.get(&sealed) {
            return Rc::clone(&known.credential);
        }
        let credential = Rc::new(Credential {
            id,
            target,
            sealed: Rc::clone(&sealed),
            keyring: self.keyring.clone(),
            opened: OnceCell::new(),
        });
        if held.in_use {
            held.share(&credential, None);
        }
        held.arrivals += 1;
        let entry =
            HeldCredential { credential: Rc::clone(&credential), arrival: held.arrivals, drop_at: None };
        held.credentials.insert(sealed, entry);
        credential
    }

    /// Retires what nothing uses any more, and drops (values: zeroizes) that whose time is over. `now` counts from any
    /// fixed epoch. To be called every minute or so.
    pub fn sweep(&mut self, now: Duration) {
        for held in self.policies.values_mut() {
            held.sweep(now);
        }
        self.policies.retain(|_, held| !held.is_empty());
    }

    /// The same for the policies of these rules alone, so that a rotation does not pay for ten thousand others. To be
    /// called after each compilation.
    pub fn sweep_policies_of(&mut self, rules: &RuleSet, now: Duration) {
        // A policy may have thousands of hosts; it is looked at once.
        let ids: BTreeSet<&str> = rules.credentials().map(|credential| credential.id.as_ref()).collect();
        for id in ids {
            if let Some(held) = self.policies.get_mut(id) {
                held.sweep(now);
            }
        }
    }

    /// What a response must be scrubbed of when these credentials were injected: they, and the values that the same
    /// policies had before.
    pub fn scrubber(&mut self, injected: &[Rc<Credential>]) -> Scrubber {
        let mut live: Vec<Rc<Live>> = Vec::new();
        for credential in injected {
            let held = self.policies.get_mut(&credential.id).map(Held::use_it);
            let held = held.unwrap_or_default().iter().map(|held| &held.live);
            let own = credential.opened().and_then(|opened| opened.live.get()).into_iter().flatten();
            for value in held.chain(own) {
                if !live.iter().any(|other| Rc::ptr_eq(other, value)) {
                    live.push(Rc::clone(value));
                }
            }
        }
        Scrubber::new(live)
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.values().all(Held::is_empty)
    }
}

impl Held {
    fn is_empty(&self) -> bool {
        self.credentials.is_empty() && self.values.is_empty()
    }

    /// Opens all that is held, the first time; the values.
    fn use_it(&mut self) -> &[HeldValue] {
        if !self.in_use {
            self.in_use = true;
            let mut all: Vec<_> = std::mem::take(&mut self.credentials).into_iter().collect();
            all.sort_by_key(|(_, held)| held.arrival);
            for (sealed, held) in all {
                self.share(&held.credential, held.drop_at);
                if held.drop_at.is_none() {
                    self.credentials.insert(sealed, held);
                }
            }
        }
        &self.values
    }

    /// One [`Live`] for each distinct value, however many rules it is sealed for.
    fn share(&mut self, credential: &Credential, drop_at: Option<Duration>) {
        let Some(opened) = credential.opened() else { return };
        let live = opened.secrets().into_iter().map(|secret| self.live(secret, drop_at)).collect();
        // Nobody else sets it.
        let _ = opened.live.set(live);
    }

    fn live(&mut self, secret: &[u8], drop_at: Option<Duration>) -> Rc<Live> {
        // Exposed to be compared with values of the same policy; no agent sees how long that takes.
        let known = self.values.iter_mut().find(|held| held.live.secret().expose() == secret);
        if let Some(held) = known {
            // The later of two ends; none is latest.
            held.drop_at = held.drop_at.zip(drop_at).map(|(one, other)| one.max(other));
            return Rc::clone(&held.live);
        }
        let live = Rc::new(Live::new(Secret::new(secret.to_vec())));
        self.values.push(HeldValue { live: Rc::clone(&live), drop_at });
        live
    }

    fn sweep(&mut self, now: Duration) {
        for held in self.credentials.values_mut() {
            let used = Rc::strong_count(&held.credential) > 1;
            held.drop_at = if used { None } else { held.drop_at.or(Some(now + RETIRED_FOR)) };
        }
        // Of a policy in use, the values remember.
        let in_use = self.in_use;
        let before = self.surplus();
        self.credentials.retain(|_, held| {
            held.drop_at.is_none_or(|drop_at| !in_use && now < drop_at && held.arrival > before)
        });
        for value in &mut self.values {
            let used = Rc::strong_count(&value.live) > 1;
            value.drop_at = if used { None } else { value.drop_at.or(Some(now + RETIRED_FOR)) };
        }
        let retired = self.values.iter().filter(|value| value.drop_at.is_some()).count();
        let mut surplus = retired.saturating_sub(RETIRED_AT_MOST);
        self.values.retain(|value| match value.drop_at {
            None => true,
            Some(_) if surplus > 0 => {
                surplus -= 1;
                false
            }
            Some(drop_at) => now < drop_at,
        });
    }

    /// The arrival up to which retired credentials are too many: each that is used may have a number of predecessors.
    fn surplus(&self) -> u64 {
        let mut retired: Vec<u64> = self
            .credentials
            .values()
            .filter(|held| held.drop_at.is_some())
            .map(|held| held.arrival)
            .collect();
        let used = self.credentials.len() - retired.len();
        retired.sort_unstable();
        let surplus = retired.len().saturating_sub(RETIRED_AT_MOST * used.max(1));
        surplus.checked_sub(1).and_then(|last| retired.get(last)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
