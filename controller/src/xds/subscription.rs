//! What one stream subscribed to of one type, what it holds of it, and what it is therefore owed.

use std::collections::{BTreeMap, BTreeSet};

/// What the other side has of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Held {
    /// This version.
    Version(String),
    /// It was told that there is none.
    Absent,
}

/// What there is under one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted<'a> {
    /// This version.
    Version(&'a str),
    /// Nothing.
    Absent,
    /// Not decided yet: nothing is said about it.
    Undecided,
}

/// A response that was neither acknowledged nor refused yet.
#[derive(Debug, Clone)]
pub(crate) struct Outstanding {
    pub(crate) nonce: String,
    pub(crate) sent: BTreeMap<String, Held>,
}

impl Outstanding {
    /// Whether it adds or changes something that is not on demand: what refers to it waits.
    pub(crate) fn updates(&self, gates: impl Fn(&str) -> bool) -> bool {
        self.sent.iter().any(|(name, held)| matches!(held, Held::Version(_)) && gates(name))
    }
}

/// What a subscription is owed now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// Resources that are new or changed, or were asked for again.
    pub(crate) updates: BTreeSet<String>,
    /// Names that were asked for and do not exist: said at once, so that nobody waits for them.
    pub(crate) missing: BTreeSet<String>,
    /// Names that are held and no longer exist.
    pub(crate) removals: BTreeSet<String>,
    /// A wildcard subscription awaits its first answer, even an empty one.
    pub(crate) greeting: bool,
}

impl Due {
    fn names(&self, name: &str) -> bool {
        self.updates.contains(name) || self.missing.contains(name) || self.removals.contains(name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Due::default()
    }
}

/// One type on one stream.
#[derive(Debug, Default)]
pub(crate) struct Subscription {
    wildcard: bool,
    names: BTreeSet<String>,
    held: BTreeMap<String, Held>,
    /// Names to be answered even if nothing changed: they were subscribed to (again).
    owed: BTreeSet<String>,
    greeting: bool,
    /// Name to the version that was refused: not sent again.
    refused: BTreeMap<String, String>,
    /// Names that may be due: what happened since concerned them. An agent that has names refused as fast as it can
    /// must not have thousands of leaves compared each time.
    open: BTreeSet<String>,
    pub(crate) outstanding: Option<Outstanding>,
}

impl Subscription {
    /// The first request of a type on a stream: what it held before it reconnected, and what it wants.
    pub(crate) fn start(
        initial: &BTreeMap<String, String>,
        wildcard: bool,
        names: &[String],
    ) -> Subscription {
        let mut subscription =
            Subscription { wildcard, greeting: wildcard && initial.is_empty(), ..Default::default() };
        subscription.names.extend(names.iter().cloned());
        let relevant = initial.iter().filter(|(name, _)| subscription.concerns(name));
        subscription.held =
            relevant.map(|(name, version)| (name.clone(), Held::Version(version.clone()))).collect();
        subscription.owed =
            subscription.names.iter().filter(|name| !initial.contains_key(*name)).cloned().collect();
        subscription
    }

    /// Adds names. A name that is already there is sent again: the other side may have dropped it.
    pub(crate) fn subscribe(&mut self, names: &[String]) {
        self.names.extend(names.iter().cloned());
        self.owed.extend(names.iter().cloned());
        self.open.extend(names.iter().cloned());
        for name in names {
            self.refused.remove(name);
        }
    }

    /// Subscribes to everything.
    pub(crate) fn subscribe_all(&mut self) {
        self.wildcard = true;
        self.greeting = true;
    }

    /// Takes names back. What a wildcard still covers is said once more, because the other side cannot know
    /// whether it does.
    pub(crate) fn unsubscribe(&mut self, names: &[String]) {
        for name in names {
            self.names.remove(name);
            if self.wildcard {
                self.owed.insert(name.clone());
                self.open.insert(name.clone());
            } else {
                self.forget(name);
            }
        }
    }

    /// Takes the wildcard back: what no name covers is forgotten.
    pub(crate) fn unsubscribe_all(&mut self) {
        self.wildcard = false;
        self.greeting = false;
        let named = |name: &String| self.names.contains(name);
        self.held.retain(|name, _| named(name));
        self.refused.retain(|name, _| named(name));
        self.owed.retain(named);
        self.open.retain(named);
    }

    /// Drops all that is known of a name.
    pub(crate) fn forget(&mut self, name: &str) {
        self.held.remove(name);
        self.owed.remove(name);
        self.open.remove(name);
        self.refused.remove(name);
    }

    pub(crate) fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// Names that the other side holds a version of, with it.
    pub(crate) fn held(&self) -> impl Iterator<Item = (&String, &String)> {
        self.held.iter().filter_map(|(name, held)| match held {
            Held::Version(version) => Some((name, version)),
            Held::Absent => None,
        })
    }

    /// The version of this name that the other side holds.
    pub(crate) fn held_version(&self, name: &str) -> Option<&str> {
        match self.held.get(name)? {
            Held::Version(version) => Some(version),
            Held::Absent => None,
        }
    }

    /// Whether the other side has no version of this name, or asked for it again.
    pub(crate) fn awaits(&self, name: &str) -> bool {
        self.owed.contains(name) || self.held_version(name).is_none()
    }

    fn concerns(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// Everything may be due: what there is was replaced. `all` are the names that a wildcard covers.
    pub(crate) fn review<'a>(&mut self, all: impl Iterator<Item = &'a str>) {
        if self.wildcard {
            self.open.extend(all.map(str::to_owned));
        }
        self.open.extend(self.names.iter().chain(self.held.keys()).chain(&self.owed).cloned());
    }

    /// This name may be due.
    pub(crate) fn touch(&mut self, name: &str) {
        self.open.insert(name.to_owned());
    }

    /// Compares what is held with what there is.
    pub(crate) fn due<'a>(&mut self, wanted: impl Fn(&str) -> Wanted<'a>) -> Due {
        let mut due = Due { greeting: self.greeting, ..Due::default() };
        for name in &self.open {
            self.weigh(name, wanted(name), &mut due);
        }
        self.open.retain(|name| due.names(name));
        due
    }

    /// The same, of these names alone.
    pub(crate) fn due_among<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
        wanted: impl Fn(&str) -> Wanted<'a>,
    ) -> Due {
        let mut due = Due::default();
        for name in names.filter(|name| self.open.contains(*name)) {
            self.weigh(name, wanted(name), &mut due);
        }
        due
    }

    fn weigh(&self, name: &str, wanted: Wanted<'_>, due: &mut Due) {
        let held = self.held.get(name);
        if !self.concerns(name) && !self.owed.contains(name) {
            return;
        }
        match wanted {
            Wanted::Undecided => {}
            Wanted::Version(version) if self.lacks(name, version) => {
                due.updates.insert(name.to_owned());
            }
            Wanted::Version(_) => {}
            Wanted::Absent if matches!(held, Some(Held::Version(_))) => {
                due.removals.insert(name.to_owned());
            }
            Wanted::Absent if self.owed.contains(name) || (held.is_none() && self.names.contains(name)) => {
                due.missing.insert(name.to_owned());
            }
            Wanted::Absent => {}
        }
    }

    fn lacks(&self, name: &str, version: &str) -> bool {
        let held = matches!(self.held.get(name), Some(Held::Version(held)) if held == version);
        let refused = self.refused.get(name).is_some_and(|refused| refused == version);
        self.owed.contains(name) || (!held && !refused)
    }

    /// Notes a response as sent.
    pub(crate) fn sent(&mut self, outstanding: Outstanding) {
        self.owed.retain(|name| !outstanding.sent.contains_key(name));
        self.greeting = false;
        self.outstanding = Some(outstanding);
    }

    /// Takes the outstanding response off, if this is its nonce.
    pub(crate) fn answered(&mut self, nonce: &str) -> Option<Outstanding> {
        let outstanding = self.outstanding.take_if(|outstanding| outstanding.nonce == nonce)?;
        self.open.extend(outstanding.sent.keys().cloned());
        Some(outstanding)
    }

    /// The other side holds what was sent.
    pub(crate) fn acknowledge(&mut self, sent: &BTreeMap<String, Held>) {
        for (name, held) in sent {
            self.refused.remove(name);
            self.hold(name, held.clone());
        }
    }

    fn hold(&mut self, name: &str, held: Held) {
        let covered = self.wildcard && matches!(held, Held::Version(_));
        if covered || self.names.contains(name) {
            self.held.insert(name.to_owned(), held);
        } else {
            self.held.remove(name);
        }
    }

    /// The other side refused what was sent. Returns what is at fault, with its versions: the resources that the
    /// message names, else all. The others are due again, without the guilty ones. Removals count as done: sending
    /// them again would go on for ever.
    pub(crate) fn refuse(&mut self, sent: BTreeMap<String, Held>, message: &str) -> BTreeMap<String, String> {
        let mut versions = BTreeMap::new();
        for (name, held) in sent {
            match held {
                Held::Version(version) => drop(versions.insert(name, version)),
                Held::Absent => self.hold(&name, Held::Absent),
            }
        }
        let named = versions.iter().filter(|(name, _)| blames(message, name));
        let named: BTreeMap<String, String> =
            named.map(|(name, version)| (name.clone(), version.clone())).collect();
        let guilty = if named.is_empty() { versions } else { named };
        for (name, version) in &guilty {
            self.remember_refusal(name, version);
        }
        guilty
    }

    /// Notes what was refused on an earlier stream. That the new one names it makes it no new subscription: the other
    /// side would take the bytes for known ones, and acknowledge what it never applied.
    pub(crate) fn refused_before(&mut self, name: &str, version: &str) {
        self.remember_refusal(name, version);
        self.owed.remove(name);
    }

    /// Notes that this version is not to be sent.
    fn remember_refusal(&mut self, name: &str, version: &str) {
        if self.concerns(name) {
            self.refused.insert(name.to_owned(), version.to_owned());
        }
    }
}

/// Whether Envoy's message blames this resource: it writes `NAME: reason`, several on one line or one a line.
fn blames(message: &str, name: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    message.match_indices(name).any(|(at, _)| {
        let before = message[..at].chars().next_back();
        message[at + name.len()..].starts_with(':') && !before.is_some_and(part_of_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_blames_whole_names_before_a_colon() {
        #[rustfmt::skip]
        let cases = [
            ("Error adding/updating cluster(s) open: bad, alias/a.b: worse", "open", true),
            ("Error adding/updating cluster(s) open: bad, alias/a.b: worse", "alias/a.b", true),
            ("Error adding/updating cluster(s) open: bad, alias/a.b: worse", "a.b", false),
            ("Error adding/updating listener(s) proxy: bad\ntransparent: worse\n", "transparent", true),
            ("the cluster open is not known", "open", false),
            ("bucket-10: refused", "bucket-1", false),
            ("", "open", false),
        ];
        for (message, name, blamed) in cases {
            assert_eq!(blames(message, name), blamed, "{name} in {message:?}");
        }
    }
}
