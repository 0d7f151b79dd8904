//! The credentials opened so far, shared by all rule sets of a VM.
//!
//! A rotation opens one value: everything else is found by its sealed text and binding. A value that no rule set uses
//! any more is *retired*: responses are still scrubbed of it for [`RETIRED_FOR`], then it is zeroized. Nothing else
//! here needs to be undone, so compiling a configuration that is then thrown away is harmless.

use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::RuleSet;
use crate::scrub::{Live, Scrubber};
use crate::seal::{Binding, Keyring};
use crate::secret::Secret;

/// How long a value is scrubbed after its last use.
pub const RETIRED_FOR: Duration = Duration::from_secs(10 * 60);

/// How many retired values of one credential are kept; a faster rotation drops the oldest early. Each costs every
/// response of its credential a search.
const RETIRED_AT_MOST: usize = 16;

/// A credential in place: what one header is set to.
pub struct Credential {
    pub(crate) id: String,
    pub(crate) header: String,
    pub(crate) value: Rc<Secret>,
    live: Rc<Live>,
}

impl Credential {
    /// `namespace/name` of the policy: telemetry's name for it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The lower-case name of the header that it fills.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }
}

/// Opened credentials, current and retired. One per VM.
#[derive(Default)]
pub struct Vault {
    policies: BTreeMap<String, Held>,
}

#[derive(Default)]
struct Held {
    /// By binding and sealed text; dead once no rule set uses it.
    opened: BTreeMap<(Vec<u8>, String), Weak<Credential>>,
    /// Each distinct value, oldest first.
    values: Vec<HeldValue>,
}

struct HeldValue {
    live: Rc<Live>,
    /// Since the epoch of the caller's clock; set while no credential uses the value.
    drop_at: Option<Duration>,
}

impl Vault {
    /// What `place` is to be set to, opened if it is not held already. `None`: it does not open, or is no credential.
    pub(super) fn open(
        &mut self,
        keyring: Option<&Keyring>,
        binding: &Binding,
        sealed: &str,
        place: Place<'_>,
    ) -> Option<Rc<Credential>> {
        let held = self.policies.entry(place.id.to_owned()).or_default();
        let key = (binding.as_bytes().to_vec(), sealed.to_owned());
        if let Some(credential) = held.opened.get(&key).and_then(Weak::upgrade) {
            return Some(credential);
        }
        let opened = keyring?.open(binding, sealed).ok()?;
        // Exposed to be checked by the rules of every other credential: too short a value would scrub innocent text.
        let secret = Secret::credential(opened.expose()).ok()?;
        let credential = Rc::new(place.fill(held.share(secret)));
        held.opened.insert(key, Rc::downgrade(&credential));
        Some(credential)
    }

    /// Retires values that nothing uses any more and zeroizes those whose time is over. `now` counts from any fixed
    /// epoch. To be called every minute or so.
    pub fn sweep(&mut self, now: Duration) {
        for held in self.policies.values_mut() {
            held.sweep(now);
        }
        self.policies.retain(|_, held| !held.values.is_empty());
    }

    /// The same for the policies of these rules alone, so that a rotation does not pay for ten thousand others. To be
    /// called after each compilation.
    pub fn sweep_policies_of(&mut self, rules: &RuleSet, now: Duration) {
        for credential in rules.credentials() {
            if let Some(held) = self.policies.get_mut(&credential.id) {
                held.sweep(now);
            }
        }
    }

    /// What a response must be scrubbed of when these credentials were injected: they, and the values that the same
    /// policies had before.
    #[must_use]
    pub fn scrubber(&self, injected: &[Rc<Credential>]) -> Scrubber {
        let mut live: Vec<Rc<Live>> = Vec::new();
        for credential in injected {
            let held = self.policies.get(&credential.id).map_or(&[][..], |held| &held.values);
            for value in held.iter().map(|held| &held.live).chain([&credential.live]) {
                if !live.iter().any(|other| Rc::ptr_eq(other, value)) {
                    live.push(Rc::clone(value));
                }
            }
        }
        Scrubber::new(live)
    }

    /// How many distinct values are held, retired ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.policies.values().map(|held| held.values.len()).sum()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Held {
    /// One [`Live`] for each distinct value, however many rules it is sealed for.
    fn share(&mut self, secret: Secret) -> Rc<Live> {
        // Exposed to be compared with values of the same policy; no agent sees how long that takes.
        let known = self.values.iter().find(|held| held.live.secret().expose() == secret.expose());
        match known {
            Some(held) => Rc::clone(&held.live),
            None => {
                let live = Rc::new(Live::new(secret));
                self.values.push(HeldValue { live: Rc::clone(&live), drop_at: None });
                live
            }
        }
    }

    fn sweep(&mut self, now: Duration) {
        self.opened.retain(|_, credential| credential.strong_count() > 0);
        for value in &mut self.values {
            let used = Rc::strong_count(&value.live) > 1;
            value.drop_at = if used { None } else { Some(value.drop_at.unwrap_or(now + RETIRED_FOR)) };
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
}

/// Where a credential goes.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) id: &'a str,
    pub(super) header: &'a str,
    pub(super) prefix: &'a str,
}

impl Place<'_> {
    fn fill(self, live: Rc<Live>) -> Credential {
        // Exposed to be put behind its prefix; the result is a secret again.
        let bare = live.secret().expose();
        let prefix = if bare.starts_with(self.prefix.as_bytes()) { "" } else { self.prefix };
        let mut whole = Vec::with_capacity(prefix.len() + bare.len());
        whole.extend_from_slice(prefix.as_bytes());
        whole.extend_from_slice(bare);
        let value = Rc::new(Secret::new(whole));
        Credential { id: self.id.to_owned(), header: self.header.to_owned(), value, live }
    }
}

#[cfg(test)]
mod tests;
