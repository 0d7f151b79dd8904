//! What went on between us and the proxies of one gateway, counted since it is served.

use std::collections::BTreeMap;

use super::Kind;

/// The counts. Names of leaves and of resources are not among them: an agent chooses the former.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Responses that were sent, by type.
    pub pushes: BTreeMap<Kind, u64>,
    /// Responses that a proxy refused, by type.
    pub nacks: BTreeMap<Kind, u64>,
    /// Names that were asked for, by what became of them.
    pub asked: BTreeMap<Asked, u64>,
    /// Leaves that were withdrawn because another name took their place.
    pub evicted: u64,
}

/// What became of a name for which a leaf was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// It had one.
    Cached,
    /// One was made.
    Minted,
    /// It gets none.
    Refused,
    /// It would get one, but too many names wait: its handshake failed.
    Throttled,
}

impl Asked {
    /// Every outcome.
    pub const ALL: [Asked; 4] = [Asked::Cached, Asked::Minted, Asked::Refused, Asked::Throttled];
}

impl Counts {
    pub(super) fn pushed(&mut self, kind: Kind) {
        *self.pushes.entry(kind).or_default() += 1;
    }

    pub(super) fn refused(&mut self, kind: Kind) {
        *self.nacks.entry(kind).or_default() += 1;
    }

    pub(super) fn asked(&mut self, outcome: Asked) {
        *self.asked.entry(outcome).or_default() += 1;
    }
}
