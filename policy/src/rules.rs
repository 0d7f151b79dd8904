//! Rules that a request can be judged by: only valid states, compiled from the wire configuration by one function.
//!
//! The controller compiles exactly the bytes that it sends, so that a configuration which the filter refuses is found
//! before it is sent.

mod compile;
mod credential;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod vault;

use std::collections::BTreeMap;
use std::rc::Rc;

pub(crate) use compile::NEVER_METHODS;
pub use compile::is_settable_header;
pub(crate) use credential::Material;
pub use credential::{Credential, Token, sealable};
pub use error::{ConfigError, Fault};
pub use vault::{RETIRED_FOR, Vault};

use crate::denial::Reason;
use crate::glob::Glob;
use crate::host::{HostPattern, Specificity};
use crate::wire::{AgentSide, Carriers, Config, ConnectionFacts, ModelSource};

/// The rules of one filter. A request keeps the set that it started with.
pub struct RuleSet {
    pub(crate) gateway: Rc<str>,
    exact: BTreeMap<String, Vec<Rc<Rule>>>,
    patterns: Vec<(HostPattern, Vec<Rc<Rule>>)>,
    /// The configuration without its rules.
    pub(crate) frame: Config,
    /// Each rule beside the text that it was read from: what the next configuration repeats is not read again.
    read: Vec<(Box<str>, Rc<Rule>)>,
}

pub(crate) struct Rule {
    hosts: Vec<HostPattern>,
    pub(crate) route: String,
    pub(crate) rank: u32,
    pub(crate) ports: Vec<u16>,
    pub(crate) endpoints: Option<Rc<Vec<Glob>>>,
    pub(crate) methods: Option<Rc<Vec<String>>>,
    pub(crate) models: Option<Rc<Models>>,
    pub(crate) carriers: Rc<Carriers>,
    pub(crate) then: Then,
}

/// Models that a rule is for.
pub(crate) struct Models {
    pub(crate) source: ModelSource,
    pub(crate) globs: Vec<Glob>,
}

pub(crate) enum Then {
    Inject(Vec<Rc<Credential>>),
    Deny(Reason),
}

impl Then {
    fn credentials(&self) -> &[Rc<Credential>] {
        match self {
            Then::Inject(credentials) => credentials,
            Then::Deny(_) => &[],
        }
    }
}

impl RuleSet {
    /// Reads a configuration, whole or not at all. A credential that will not open makes its own rule deny, and
    /// leaves its neighbours alone. Nothing but `vault` is touched, and it forgets what nobody uses
    /// ([`Vault::sweep`]), so a result that is thrown away leaves no trace.
    ///
    /// # Errors
    /// [`ConfigError`] names the field that is wrong, never its value.
    pub fn compile(bytes: &[u8], vault: &mut Vault) -> Result<RuleSet, ConfigError> {
        compile::compile(bytes, vault, None)
    }

    /// The same, for a configuration that takes the place of one that is still held: rules that both have are not
    /// compiled again. A rotation changes one of hundreds.
    ///
    /// # Errors
    /// As [`RuleSet::compile`].
    pub fn compile_after(before: &RuleSet, bytes: &[u8], vault: &mut Vault) -> Result<RuleSet, ConfigError> {
        compile::compile(bytes, vault, Some(before))
    }

    /// How the agent's bytes reach the filter; says which facts [`RuleSet::decide`] needs.
    #[must_use]
    pub fn agent_side(&self) -> &AgentSide {
        &self.frame.agent_side
    }

    /// Where [`AgentSide::Tls`] finds its facts.
    #[must_use]
    pub fn connection_facts(&self) -> ConnectionFacts {
        self.frame.connection_facts
    }

    /// The largest body that a request may be held back with, in bytes.
    #[must_use]
    pub fn max_held_body(&self) -> usize {
        usize::try_from(self.frame.max_held_body).unwrap_or(usize::MAX)
    }

    /// The rules that name a host, each with how narrowly it does so.
    pub(crate) fn of_host<'a>(&'a self, host: &'a str) -> impl Iterator<Item = (Specificity, &'a Rule)> {
        let exact =
            self.exact.get_key_value(host).into_iter().flat_map(|(name, rules)| {
                rules.iter().map(|rule| (Specificity::of_exact(name), rule.as_ref()))
            });
        let patterns = self.patterns.iter().filter(move |(pattern, _)| pattern.matches(host));
        let patterns = patterns
            .flat_map(|(pattern, rules)| rules.iter().map(|rule| (pattern.specificity(), rule.as_ref())));
        exact.chain(patterns)
    }

    /// Every credential of a host.
    pub(crate) fn credentials_of(&self, host: &str) -> Vec<Rc<Credential>> {
        self.of_host(host).flat_map(|(_, rule)| rule.then.credentials()).map(Rc::clone).collect()
    }

    /// Every credential.
    fn credentials(&self) -> impl Iterator<Item = &Rc<Credential>> {
        self.read.iter().flat_map(|(_, rule)| rule.then.credentials())
    }
}

#[cfg(test)]
mod tests;
