//! Which rule a request is for.

use std::cmp::Reverse;
use std::rc::Rc;

use super::{DEFAULT_METHODS, Head};
use crate::denial::{Denial, Reason};
use crate::glob;
use crate::host;
use crate::model::{self, Body, Model};
use crate::path;
use crate::rules::{HostRules, Models, Rule, Then};
use crate::wire::ModelSource;

/// What selection comes to.
pub(super) enum Selected<'a> {
    Rule(&'a Rule),
    /// No rule, and why.
    None(Reason),
    /// The model decides, and is in the body.
    InBody,
}

/// How narrowly a rule names a request, its model aside.
type Scope = (host::Specificity, glob::Specificity, bool);

/// A rule at a place of a host: whether it forbids the request, then by how narrowly it names it. Greater wins; of rules
/// that differ in nothing else, the one that denies.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Claim<'a> {
    forbids: bool,
    scope: Scope,
    model: Option<glob::Specificity>,
    rank: Reverse<u32>,
    route: Reverse<&'a str>,
    denies: bool,
}

/// The rules of a pattern that names the host, with how narrowly it does so.
pub(super) type Named<'a> = (host::Specificity, &'a HostRules);

/// The rule that names the request most narrowly.
pub(super) fn most_specific<'a>(
    known: &[Named<'a>],
    port: u16,
    head: &Head<'_>,
    body: Body<'_>,
) -> Result<Selected<'a>, Denial> {
    // Where no decision rests on the path, its bytes may be what they like.
    let path = if known.iter().any(|(_, rules)| rules.rest_on_path()) {
        path::canonical(head.path).map_err(|_| Reason::PathNotCanonical)?
    } else {
        ""
    };
    let (mut best, mut rivals) = (None, Vec::new());
    for (host, rules) in known {
        for rule in rules.candidates(path).filter(|rule| rule.ports.contains(&port)) {
            let Some(claim) = claim(*host, rule, path, head) else { continue };
            match &rule.models {
                None => best = narrower(best, (claim, rule)),
                Some(models) => rivals.push((claim, rule, models)),
            }
        }
    }
    let floor = best.as_ref().map(|(claim, _)| (claim.forbids, claim.scope));
    rivals.retain(|(claim, ..)| Some((claim.forbids, claim.scope)) >= floor);
    if rivals.is_empty() {
        let none = Selected::None(Reason::EndpointNotListed);
        return Ok(best.map_or(none, |(_, rule)| Selected::Rule(rule)));
    }
    let mut read = Vec::new();
    for (mut claim, rule, models) in rivals {
        let Some(model) = named(models.source, head, body, &mut read)? else { return Ok(Selected::InBody) };
        claim.model = narrowest(models, &model);
        if claim.model.is_some() {
            best = narrower(best, (claim, rule));
        }
    }
    Ok(best.map_or(Selected::None(Reason::ModelNotListed), |(_, rule)| Selected::Rule(rule)))
}

fn narrower<'a>(
    best: Option<(Claim<'a>, &'a Rule)>,
    other: (Claim<'a>, &'a Rule),
) -> Option<(Claim<'a>, &'a Rule)> {
    best.filter(|(claim, _)| *claim > other.0).or(Some(other))
}

/// The model that the request names where this source looks; `None`: the body is needed. A body is looked through once.
fn named(
    source: ModelSource,
    head: &Head<'_>,
    body: Body<'_>,
    read: &mut Vec<(ModelSource, Rc<str>)>,
) -> Result<Option<Rc<str>>, Reason> {
    if let Some((_, model)) = read.iter().find(|(other, _)| *other == source) {
        return Ok(Some(Rc::clone(model)));
    }
    match model::of(source, head, body) {
        Model::InBody => Ok(None),
        Model::Unreadable => Err(Reason::ModelUnreadable),
        Model::Named(model) => {
            let model: Rc<str> = model.into();
            read.push((source, Rc::clone(&model)));
            Ok(Some(model))
        }
    }
}

fn claim<'a>(host: host::Specificity, rule: &'a Rule, path: &str, head: &Head<'_>) -> Option<Claim<'a>> {
    let scope = (host, endpoint_claim(rule, path)?, method_claim(rule, head)?);
    let (rank, route) = (Reverse(rule.rank), Reverse(rule.route.as_str()));
    let denies = matches!(rule.then, Then::Deny(_));
    let forbids = matches!(rule.then, Then::Deny(Reason::RouteDenied));
    Some(Claim { forbids, scope, model: None, rank, route, denies })
}

/// The narrowest of the rule's endpoints that the path matches.
fn endpoint_claim(rule: &Rule, path: &str) -> Option<glob::Specificity> {
    match &rule.endpoints {
        None => Some(glob::Specificity::ANY),
        Some(globs) => globs.iter().filter(|glob| glob.matches(path)).map(glob::Glob::specificity).max(),
    }
}

fn method_claim(rule: &Rule, head: &Head<'_>) -> Option<bool> {
    match &rule.methods {
        None => head.has_method_of(DEFAULT_METHODS).then_some(false),
        Some(listed) => head.has_method_of(listed).then_some(true),
    }
}

fn narrowest(models: &Models, model: &str) -> Option<glob::Specificity> {
    models.globs.iter().filter(|glob| glob.matches(model)).map(glob::Glob::specificity).max()
}
