//! Rules that a request can be judged by: only valid states, compiled from the wire configuration by one function.
//!
//! The controller compiles exactly the bytes that it sends, so that a configuration which the filter refuses is found
//! before it is sent.

mod collectors;
mod compile;
mod credential;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod hosts;
mod vault;

use std::rc::Rc;

pub use collectors::Collector;
pub(crate) use compile::NEVER_METHODS;
pub use compile::is_settable_header;
use hosts::Hosts;

pub(crate) use credential::Material;
pub use credential::{Credential, Token, sealable};
pub use error::{ConfigError, Fault};
pub(crate) use hosts::HostRules;
pub use vault::{RETIRED_FOR, Vault};

use crate::denial::Reason;
use crate::glob::Glob;
use crate::host::{HostPattern, Specificity};
use crate::wire::{AgentSide, Capture, Carriers, Config, ConnectionFacts, ModelSource, Scrub};

/// The rules of one filter. A request keeps the set that it started with.
pub struct RuleSet {
    pub(crate) gateway: Rc<str>,
    hosts: Hosts,
    /// The configuration without its rules.
    pub(crate) frame: Config,
    collectors: Vec<Collector>,
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

impl Rule {
    /// Whether it depends on a request's path whether it is for it.
    fn rests_on_path(&self) -> bool {
        let models = self.models.as_ref().is_some_and(|models| models.source != ModelSource::Body);
        models || self.endpoints.is_some()
    }
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

    /// Whether bodies are read, for what a request cost.
    #[must_use]
    pub fn reads_usage(&self) -> bool {
        self.frame.telemetry.is_some()
    }

    /// Who is told of each request.
    #[must_use]
    pub fn collectors(&self) -> &[Collector] {
        &self.collectors
    }

    /// What they are shown of bodies.
    #[must_use]
    pub fn capture(&self) -> Option<&Capture> {
        self.frame.telemetry.as_ref()?.capture.as_ref()
    }

    /// What of answers is cleaned besides their headers.
    #[must_use]
    pub fn scrub(&self) -> Scrub {
        self.frame.scrub
    }

    /// The largest body that a request may be held back with, in bytes.
    #[must_use]
    pub fn max_held_body(&self) -> usize {
        usize::try_from(self.frame.max_held_body).unwrap_or(usize::MAX)
    }

    /// The patterns that name a host, each with how narrowly it does so and its rules.
    pub(crate) fn of_host<'a>(&'a self, host: &'a str) -> impl Iterator<Item = (Specificity, &'a HostRules)> {
        self.hosts.matching(host)
    }

    /// Every credential of a host.
    pub(crate) fn credentials_of(&self, host: &str) -> Vec<Rc<Credential>> {
        let rules = self.of_host(host).flat_map(|(_, rules)| rules.all());
        rules.flat_map(|rule| rule.then.credentials()).map(Rc::clone).collect()
    }

    /// Every credential.
    fn credentials(&self) -> impl Iterator<Item = &Rc<Credential>> {
        self.read.iter().flat_map(|(_, rule)| rule.then.credentials())
    }
}

#[cfg(test)]
mod tests;
