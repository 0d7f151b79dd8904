//! The wire configuration of one bucket, with shared tables, ranks and sealed credentials.

use std::collections::{BTreeMap, BTreeSet};

use policy::seal::Keyring;
use policy::wire::{
    AgentSide, Carriers, Config, ConnectionFacts, DEFAULT_MAX_HELD_BODY, DenyCause, Injection, Models,
    Outcome, RecordText, Rule, Scrub, Target, Telemetry, Unlisted, VERSION,
};

use super::fills::Fills;
use super::injection::{Material, Policy};
use super::tokens;
use crate::inputs::Age;
use crate::plan::{LIGHT_BUCKETS, ObjectKey};

/// A rule before it has indices and sealed values. Its order is that of the configuration: older routes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Draft {
    pub(super) age: Age,
    pub(super) route: ObjectKey,
    pub(super) hosts: Vec<String>,
    pub(super) ports: Vec<u16>,
    pub(super) endpoints: Option<Vec<String>>,
    pub(super) methods: Option<Vec<String>>,
    pub(super) models: Option<Models>,
    pub(super) carriers: Carriers,
    pub(super) then: Then,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Then {
    /// These policies fill their places.
    Inject(Vec<ObjectKey>),
    /// It is denied.
    Deny(Cause),
}

impl Then {
    fn policies(&self) -> &[ObjectKey] {
        match self {
            Then::Inject(keys) => keys,
            Then::Deny(_) => &[],
        }
    }
}

/// [`DenyCause`], ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cause(pub(super) DenyCause);

impl Ord for Cause {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0 as u8).cmp(&(other.0 as u8))
    }
}

impl PartialOrd for Cause {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A configuration without rules: the guard's, for hosts that no route names, or that of an empty bucket.
pub(super) fn empty(frame: &Frame<'_>, other_hosts: Unlisted) -> Config {
    Config {
        version: VERSION,
        gateway: frame.gateway.to_string(),
        agent_side: AgentSide::Tls,
        connection_facts: ConnectionFacts::Header,
        record: RecordText::Exchanged,
        telemetry: frame.telemetry.cloned(),
        scrub: frame.scrub,
        unlisted: Unlisted::Deny,
        other_hosts,
        endpoints: Vec::new(),
        methods: Vec::new(),
        models: Vec::new(),
        max_held_body: DEFAULT_MAX_HELD_BODY,
        carriers: Vec::new(),
        targets: Vec::new(),
        rules: Vec::new(),
    }
}

/// What all buckets of a gateway have in common.
pub(super) struct Frame<'a> {
    pub(super) gateway: &'a ObjectKey,
    pub(super) unlisted: Unlisted,
    pub(super) max_held_body: u32,
    pub(super) telemetry: Option<&'a Telemetry>,
    pub(super) scrub: Scrub,
}

impl Frame<'_> {
    /// Without what does not concern the bucket: a configuration of the light class says nothing of bodies.
    pub(super) fn of_bucket(&self, bucket: usize) -> Frame<'_> {
        let max_held_body = if bucket < LIGHT_BUCKETS { DEFAULT_MAX_HELD_BODY } else { self.max_held_body };
        Frame { max_held_body, ..*self }
    }
}

/// The configuration of a bucket with these rules.
pub(super) fn build(frame: &Frame<'_>, drafts: &BTreeSet<Draft>, fills: &Fills, keyring: &Keyring) -> Config {
    let policies = &fills.policies;
    let mut config = Config { unlisted: frame.unlisted, ..empty(frame, Unlisted::Deny) };
    config.max_held_body = frame.max_held_body;
    config.endpoints = table(drafts.iter().filter_map(|draft| draft.endpoints.as_ref()));
    config.methods = table(drafts.iter().filter_map(|draft| draft.methods.as_ref()));
    config.models = table(drafts.iter().filter_map(|draft| draft.models.as_ref()));
    config.carriers = table(drafts.iter().map(|draft| &draft.carriers));
    let targets = drafts.iter().flat_map(|draft| draft.then.policies()).filter_map(|key| policies.get(key));
    config.targets = targets.filter_map(target).collect::<BTreeSet<_>>().into_iter().collect();
    let ranks = ranks(drafts);
    for draft in drafts {
        let mut rule = rule(draft, &ranks, &config);
        rule.then = outcome(draft, &rule, &config, fills, keyring);
        config.rules.push(rule);
    }
    config
}

fn table<'a, T: Ord + Clone + 'a>(items: impl Iterator<Item = &'a T>) -> Vec<T> {
    items.cloned().collect::<BTreeSet<T>>().into_iter().collect()
}

/// Routes by age, counted inside the bucket, so that a route elsewhere changes nothing here. Rank decides between
/// rules of different routes alone, so routes that share no host with another have none: most of ten thousand.
fn ranks(drafts: &BTreeSet<Draft>) -> BTreeMap<ObjectKey, u32> {
    let contended = contended(drafts);
    let mut ranks = BTreeMap::new();
    for draft in drafts.iter().filter(|draft| contended.contains(&draft.route)) {
        let next = u32::try_from(ranks.len()).unwrap_or(u32::MAX);
        ranks.entry(draft.route.clone()).or_insert(next);
    }
    ranks
}

/// The routes that may have to be told from another one: they share a host with it, or have a pattern, which other
/// patterns can overlap. (A name is always narrower than a pattern that covers it.)
fn contended(drafts: &BTreeSet<Draft>) -> BTreeSet<&ObjectKey> {
    let mut named: BTreeMap<&str, BTreeSet<&ObjectKey>> = BTreeMap::new();
    for draft in drafts {
        for host in &draft.hosts {
            named.entry(host).or_default().insert(&draft.route);
        }
    }
    let contended = named.into_iter().filter(|(host, routes)| host.contains('*') || routes.len() > 1);
    contended.flat_map(|(_, routes)| routes).collect()
}

/// The rule, still denying.
fn rule(draft: &Draft, ranks: &BTreeMap<ObjectKey, u32>, config: &Config) -> Rule {
    Rule {
        route: draft.route.to_string(),
        rank: ranks.get(&draft.route).copied().unwrap_or_default(),
        hosts: draft.hosts.clone(),
        ports: draft.ports.clone(),
        endpoints: draft.endpoints.as_ref().and_then(|list| index(&config.endpoints, list)),
        methods: draft.methods.as_ref().and_then(|list| index(&config.methods, list)),
        models: draft.models.as_ref().and_then(|models| index(&config.models, models)),
        carriers: index(&config.carriers, &draft.carriers).unwrap_or_default(),
        then: Outcome::Deny(DenyCause::RouteRefused),
    }
}

fn index<T: Ord>(table: &[T], item: &T) -> Option<u32> {
    table.binary_search(item).ok().and_then(|index| u32::try_from(index).ok())
}

fn outcome(draft: &Draft, rule: &Rule, config: &Config, fills: &Fills, keyring: &Keyring) -> Outcome {
    let keys = match &draft.then {
        Then::Deny(cause) => return Outcome::Deny(cause.0),
        Then::Inject(keys) => keys,
    };
    let injections: Option<Vec<Injection>> =
        keys.iter().map(|key| injection(key, fills, rule, config, keyring)).collect();
    injections.map_or(Outcome::Deny(DenyCause::InvalidSecret), Outcome::Inject)
}

/// The place that a policy fills, where it is sound.
fn target(policy: &Policy) -> Option<Target> {
    policy.content.as_ref().ok().map(|fill| fill.target.clone())
}

/// One place and its sealed credential; `None` where there is nothing to seal, or it cannot be sealed.
fn injection(
    key: &ObjectKey,
    fills: &Fills,
    rule: &Rule,
    config: &Config,
    keyring: &Keyring,
) -> Option<Injection> {
    let policy = fills.policies.get(key)?;
    let target = index(&config.targets, &target(policy)?)?;
    let mut injection = Injection { policy: key.to_string(), target, sealed: String::new() };
    let binding = config.binding(rule, &injection).ok()?;
    injection.sealed = match policy.credential.as_ref().ok()? {
        Material::Value(value) => keyring.seal(&binding, value),
        Material::Token(source) => {
            let key = source.maker().token(tokens::only_host(&rule.hosts)).ok()?;
            keyring.seal(&binding, &tokens::sealable(tokens::now(&fills.tokens, &key)?)?)
        }
    }
    .ok()?;
    Some(injection)
}
