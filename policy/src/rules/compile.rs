//! From the wire configuration to rules.

use std::fmt;
use std::rc::Rc;

use serde_json::value::RawValue;

use super::{ConfigError, Fault, Hosts, Models, Rule, RuleSet, Then, Vault, collectors};
use crate::aws;
use crate::decide::is_control_header;
use crate::denial::Reason;
use crate::glob::Glob;
use crate::host::HostPattern;
use crate::seal::Binding;
use crate::wire::{self, AgentSide, Carriers, Config, DenyCause, Injection, Outcome, Target};

/// Headers that frame a message or belong to its connection: setting or removing them would desynchronise it.
const FORBIDDEN_HEADERS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Methods that no rule can allow.
pub(crate) const NEVER_METHODS: &[&str] = &["CONNECT", "TRACE"];

/// The configuration's frame, and its rules as they are written.
fn decode(bytes: &[u8]) -> Result<(Config, Vec<&RawValue>), ConfigError> {
    // A rotation decodes a bucket in every VM: where a fault is, is only looked for where there is one.
    match serde_json::from_slice::<Config<&RawValue>>(bytes) {
        Ok(config) => check_version(config.version).map(|()| config.split()),
        // A newer version may well have fields that this one does not know.
        Err(_) => Err(version_alone(bytes)
            .and_then(|version| check_version(version).err())
            .unwrap_or_else(|| undecodable(bytes))),
    }
}

fn undecodable(bytes: &[u8]) -> ConfigError {
    ConfigError::new(place_of_fault(bytes), Fault::Decode)
}

/// Where bytes that do not decode go wrong. The error of serde may quote a value, so only the field's path is kept.
fn place_of_fault(bytes: &[u8]) -> String {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    match serde_path_to_error::deserialize::<_, Config>(&mut json) {
        Ok(_) => "the end".to_owned(),
        Err(error) => error.path().to_string(),
    }
}

#[derive(serde::Deserialize)]
struct VersionAlone {
    version: u32,
}

fn version_alone(bytes: &[u8]) -> Option<u32> {
    serde_json::from_slice::<VersionAlone>(bytes).ok().map(|alone| alone.version)
}

fn check_version(version: u32) -> Result<(), ConfigError> {
    ensure(wire::VERSIONS_READ.contains(&version), || "version", Fault::Version)
}

/// `before` is looked into for rules that need not be compiled again.
pub(super) fn compile(
    bytes: &[u8],
    vault: &mut Vault,
    before: Option<&RuleSet>,
) -> Result<RuleSet, ConfigError> {
    let (frame, written) = decode(bytes)?;
    ensure(!frame.gateway.is_empty(), || "gateway", Fault::Empty)?;
    check_agent_side(&frame.agent_side)?;
    let tables = Tables::compile(&frame)?;
    // A rule's indices mean the same in the same frame only.
    let mut before = before.filter(|before| before.frame == frame).map(|before| before.read.as_slice());
    let mut read = Vec::with_capacity(written.len());
    for (index, text) in written.into_iter().map(RawValue::get).enumerate() {
        let known = before.as_mut().and_then(|before| repeated(before, text));
        let rule = known.map_or_else(|| read_rule(&frame, &tables, text, index, bytes, vault), Ok)?;
        read.push((text.into(), rule));
    }
    let hosts = Hosts::of(read.iter().map(|(_, rule)| Rc::clone(rule)));
    let collectors = collectors::compile(&frame.gateway, frame.telemetry.as_ref(), vault.keyring.as_ref())?;
    Ok(RuleSet { gateway: frame.gateway.as_str().into(), hosts, frame, collectors, read })
}

/// The rule that had the same text before, looked for where it must be unless many changed: `before` is what follows
/// the last one that was found, and one of it may be gone.
fn repeated(before: &mut &[(Box<str>, Rc<Rule>)], text: &str) -> Option<Rc<Rule>> {
    let at = before.iter().take(2).position(|(known, _)| **known == *text)?;
    let (_, rule) = before.get(at)?;
    *before = before.get(at + 1..)?;
    Some(Rc::clone(rule))
}

fn read_rule(
    frame: &Config,
    tables: &Tables,
    text: &str,
    index: usize,
    bytes: &[u8],
    vault: &mut Vault,
) -> Result<Rc<Rule>, ConfigError> {
    let rule = serde_json::from_str(text).map_err(|_| undecodable(bytes))?;
    compile_rule(frame, tables, rule, At(index), vault).map(Rc::new)
}

/// A rule's place, by its index: written out only where something is wrong with it.
#[derive(Clone, Copy)]
struct At(usize);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rules[{}]", self.0)
    }
}

/// The shared tables, each compiled once.
struct Tables {
    endpoints: Vec<Rc<Vec<Glob>>>,
    methods: Vec<Rc<Vec<String>>>,
    models: Vec<Rc<Models>>,
    carriers: Vec<Rc<Carriers>>,
    targets: Vec<Rc<Target>>,
}

impl Tables {
    fn compile(config: &Config) -> Result<Self, ConfigError> {
        Ok(Tables {
            endpoints: each(&config.endpoints, "endpoints", |table, at| compile_globs(table, at))?,
            methods: each(&config.methods, "methods", |table, at| compile_methods(table, at))?,
            models: each(&config.models, "models", compile_models)?,
            carriers: each(&config.carriers, "carriers", compile_carriers)?,
            targets: each(&config.targets, "targets", compile_target)?,
        })
    }
}

fn each<T, U>(
    tables: &[T],
    name: &str,
    compile: fn(&T, &str) -> Result<U, ConfigError>,
) -> Result<Vec<Rc<U>>, ConfigError> {
    let compiled =
        tables.iter().enumerate().map(|(i, table)| compile(table, &format!("{name}[{i}]")).map(Rc::new));
    compiled.collect()
}

fn compile_models(table: &wire::Models, at: &str) -> Result<Models, ConfigError> {
    let at = format!("{at}.globs");
    ensure(!table.globs.is_empty(), || at.clone(), Fault::Empty)?;
    Ok(Models { source: table.source, globs: compile_globs(&table.globs, &at)? })
}

fn compile_globs(table: &[String], at: &str) -> Result<Vec<Glob>, ConfigError> {
    check_sorted(table, || at.to_owned())?;
    let parse = |(i, text): (usize, &String)| {
        Glob::parse(text).map_err(|_| ConfigError::new(format!("{at}[{i}]"), Fault::Glob))
    };
    table.iter().enumerate().map(parse).collect()
}

fn compile_methods(table: &[String], at: &str) -> Result<Vec<String>, ConfigError> {
    check_sorted(table, || at.to_owned())?;
    for (i, method) in table.iter().enumerate() {
        let plain =
            !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_');
        let allowed = plain && !NEVER_METHODS.contains(&method.as_str());
        ensure(allowed, || format!("{at}[{i}]"), Fault::Method)?;
    }
    Ok(table.to_vec())
}

fn compile_carriers(table: &Carriers, at: &str) -> Result<Carriers, ConfigError> {
    check_sorted(&table.headers, || format!("{at}.headers"))?;
    check_sorted(&table.query, || format!("{at}.query"))?;
    for (i, name) in table.headers.iter().enumerate() {
        check_header_name(name, || format!("{at}.headers[{i}]"))?;
    }
    for (i, name) in table.query.iter().enumerate() {
        ensure(!name.is_empty(), || format!("{at}.query[{i}]"), Fault::Empty)?;
    }
    check_sorted(&table.members, || format!("{at}.members"))?;
    for (i, member) in table.members.iter().enumerate() {
        check_header_name(&member.header, || format!("{at}.members[{i}].header"))?;
        ensure(!member.prefix.is_empty(), || format!("{at}.members[{i}].prefix"), Fault::Empty)?;
    }
    Ok(table.clone())
}

fn compile_target(target: &Target, at: &str) -> Result<Target, ConfigError> {
    match target {
        Target::Header { name, prefix } => {
            check_header_name(name, || format!("{at}.header.name"))?;
            let visible = prefix.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
            ensure(visible, || format!("{at}.header.prefix"), Fault::Prefix)?;
        }
        Target::Query { name } => ensure(!name.is_empty(), || format!("{at}.query.name"), Fault::Empty)?,
        Target::AwsV4 { region, service } => {
            let region = region.as_ref().is_none_or(|region| aws::is_scope_part(region));
            ensure(region, || format!("{at}.aws_v4.region"), Fault::Scope)?;
            ensure(aws::is_scope_part(service), || format!("{at}.aws_v4.service"), Fault::Scope)?;
        }
        Target::GoogleToken {} => {}
        Target::GoogleJwt { scopes, audience } => {
            check_sorted(scopes, || format!("{at}.google_jwt.scopes"))?;
            // AIP-4111: a token has an audience or scopes.
            let either = audience.is_none() || scopes.is_empty();
            ensure(either, || format!("{at}.google_jwt.audience"), Fault::Duplicate)?;
        }
    }
    Ok(target.clone())
}

fn check_agent_side(side: &AgentSide) -> Result<(), ConfigError> {
    match side {
        AgentSide::Tls => Ok(()),
        AgentSide::TrustedPlaintext { clusters } => {
            check_sorted(clusters, || "agent_side.clusters".to_owned())
        }
    }
}

fn compile_rule(
    frame: &Config,
    tables: &Tables,
    rule: wire::Rule,
    at: At,
    vault: &mut Vault,
) -> Result<Rule, ConfigError> {
    ensure(!rule.route.is_empty(), || format!("{at}.route"), Fault::Empty)?;
    check_ports(&rule.ports, at)?;
    let missing = |field| move || ConfigError::new(format!("{at}.{field}"), Fault::Index);
    let endpoints = optional(&tables.endpoints, rule.endpoints).ok_or_else(missing("endpoints"))?;
    let methods = optional(&tables.methods, rule.methods).ok_or_else(missing("methods"))?;
    let models = optional(&tables.models, rule.models).ok_or_else(missing("models"))?;
    let carriers = table(&tables.carriers, rule.carriers).ok_or_else(missing("carriers"))?;
    let hosts = compile_hosts(&rule.hosts, at)?;
    let places = match &rule.then {
        Outcome::Deny(_) => Vec::new(),
        Outcome::Inject(injections) => {
            let targets = targets_of(injections, tables, at)?;
            targets.into_iter().zip(bindings(frame, &rule, injections, at)?).collect()
        }
    };
    let then = match rule.then {
        Outcome::Deny(cause) => Then::Deny(reason(cause)),
        Outcome::Inject(injections) => {
            let filled = injections.into_iter().zip(places);
            let credential = |(injection, (target, binding))| vault.credential(binding, injection, target);
            Then::Inject(filled.map(credential).collect())
        }
    };
    Ok(Rule {
        hosts,
        route: rule.route,
        rank: rule.rank,
        ports: rule.ports,
        endpoints,
        methods,
        models,
        carriers,
        then,
    })
}

fn bindings(
    frame: &Config,
    rule: &wire::Rule,
    injections: &[Injection],
    at: At,
) -> Result<Vec<Binding>, ConfigError> {
    let binding = |injection| frame.binding(rule, injection);
    let bindings = injections.iter().map(binding).collect::<Result<_, _>>();
    bindings.map_err(|_| ConfigError::new(at.to_string(), Fault::Index))
}

fn reason(cause: DenyCause) -> Reason {
    match cause {
        DenyCause::SecretNotFound => Reason::SecretNotFound,
        DenyCause::KeyNotFound => Reason::KeyNotFound,
        DenyCause::InvalidSecret => Reason::InvalidSecret,
        DenyCause::NoPolicy => Reason::NoPolicy,
        DenyCause::RouteRefused => Reason::RouteRefused,
        DenyCause::RegionUnknown => Reason::RegionUnknown,
        DenyCause::TokenUnavailable => Reason::TokenUnavailable,
        DenyCause::RouteDenied => Reason::RouteDenied,
    }
}

fn compile_hosts(hosts: &[String], at: At) -> Result<Vec<HostPattern>, ConfigError> {
    ensure(!hosts.is_empty(), || format!("{at}.hosts"), Fault::Empty)?;
    check_sorted(hosts, || format!("{at}.hosts"))?;
    let parse = |(i, text): (usize, &String)| {
        HostPattern::parse(text).map_err(|_| ConfigError::new(format!("{at}.hosts[{i}]"), Fault::Host))
    };
    hosts.iter().enumerate().map(parse).collect()
}

fn check_ports(ports: &[u16], at: At) -> Result<(), ConfigError> {
    let at = || format!("{at}.ports");
    ensure(!ports.is_empty(), at, Fault::Empty)?;
    check_sorted(ports, at)?;
    ensure(!ports.contains(&0), at, Fault::Port)
}

/// The place of each injection, no two of them the same.
fn targets_of(injections: &[Injection], tables: &Tables, at: At) -> Result<Vec<Rc<Target>>, ConfigError> {
    ensure(!injections.is_empty(), || format!("{at}.then.inject"), Fault::Empty)?;
    let mut targets: Vec<Rc<Target>> = Vec::with_capacity(injections.len());
    for (i, injection) in injections.iter().enumerate() {
        let at = |field: &str| format!("{at}.then.inject[{i}].{field}");
        ensure(!injection.policy.is_empty(), || at("policy"), Fault::Empty)?;
        let target = table(&tables.targets, injection.target);
        let target = target.ok_or_else(|| ConfigError::new(at("target"), Fault::Index))?;
        let filled = targets.iter().any(|earlier| is_same_place(earlier, &target));
        ensure(!filled, || at("target"), Fault::Duplicate)?;
        targets.push(target);
    }
    Ok(targets)
}

/// Whether two targets would set the same header or parameter.
fn is_same_place(one: &Target, other: &Target) -> bool {
    let mut headers = one.headers();
    let headers =
        headers.any(|name| other.headers().any(|other| crate::decide::same_header(name.as_bytes(), other)));
    let parameters = one.parameter().zip(other.parameter());
    headers || parameters.is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
}

pub(super) fn check_header_name(name: &str, at: impl Fn() -> String) -> Result<(), ConfigError> {
    let lower =
        !name.is_empty() && name.bytes().all(|b| crate::decide::is_token_byte(b) && !b.is_ascii_uppercase());
    ensure(lower, &at, Fault::HeaderName)?;
    let forbidden = FORBIDDEN_HEADERS.iter().any(|other| crate::decide::same_header(name.as_bytes(), other));
    ensure(!forbidden && !is_control_header(name.as_bytes()), at, Fault::ForbiddenHeader)
}

/// Whether a rule may set or remove a header of that name: in lower case, and neither framing the message nor
/// controlling a proxy. The controller asks before it writes a configuration.
#[must_use]
pub fn is_settable_header(name: &str) -> bool {
    check_header_name(name, String::new).is_ok()
}

fn check_sorted<T: PartialOrd>(items: &[T], at: impl FnOnce() -> String) -> Result<(), ConfigError> {
    ensure(items.is_sorted_by(|a, b| a < b), at, Fault::Unsorted)
}

pub(super) fn ensure<S: Into<String>>(
    holds: bool,
    at: impl FnOnce() -> S,
    fault: Fault,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::new(at(), fault)) }
}

fn table<T>(tables: &[Rc<T>], index: u32) -> Option<Rc<T>> {
    usize::try_from(index).ok().and_then(|index| tables.get(index)).map(Rc::clone)
}

/// `Some(None)` without an index, `None` for one beyond the table.
fn optional<T>(tables: &[Rc<T>], index: Option<u32>) -> Option<Option<Rc<T>>> {
    match index {
        None => Some(None),
        Some(index) => table(tables, index).map(Some),
    }
}
