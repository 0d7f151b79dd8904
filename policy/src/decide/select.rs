//! Which rule a request is for.

use std::cmp::Reverse;

use super::{DEFAULT_METHODS, Head};
use crate::denial::{Denial, Reason};
use crate::glob;
use crate::host;
use crate::model::{self, Body, Model};
use crate::path;
use crate::rules::{Models, Rule, Then};
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

/// A rule at a place of a host, by how narrowly it names the request. Greater wins; of rules that differ in nothing
/// else, the one that denies.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Claim<'a> {
    scope: Scope,
    model: Option<glob::Specificity>,
    rank: Reverse<u32>,
    route: Reverse<&'a str>,
    denies: bool,
}

/// A rule that names the request's host and port, with how narrowly it names the host.
pub(super) type Served<'a> = (host::Specificity, &'a Rule);

/// The rule that names the request most narrowly.
pub(super) fn most_specific<'a>(
    served: &[Served<'a>],
    head: &Head<'_>,
    body: Body<'_>,
) -> Result<Selected<'a>, Denial> {
    // Where no decision rests on the path, its bytes may be what they like.
    let path = if served.iter().any(|(_, rule)| rests_on_path(rule)) {
        path::canonical(head.path).map_err(|_| Reason::PathNotCanonical)?
    } else {
        ""
    };
    let of_any_model = served.iter().filter(|(_, rule)| rule.models.is_none());
    let claims = of_any_model.filter_map(|(host, rule)| claim(*host, rule, path, head, None));
    let best = claims.max_by(|(a, _), (b, _)| a.cmp(b));
    let floor = best.as_ref().map(|(claim, _)| claim.scope);
    let mut rivals = Vec::new();
    for (host, rule) in served {
        let Some(models) = &rule.models else { continue };
        let claim = claim(*host, rule, path, head, None);
        rivals.extend(claim.filter(|(claim, _)| Some(claim.scope) >= floor).map(|claim| (claim, models)));
    }
    if rivals.is_empty() {
        let none = Selected::None(Reason::EndpointNotListed);
        return Ok(best.map_or(none, |(_, rule)| Selected::Rule(rule)));
    }
    let mut best = best;
    for ((mut claim, rule), models) in rivals {
        claim.model = match model::of(models.source, head, body) {
            Model::InBody => return Ok(Selected::InBody),
            Model::Unreadable => return Err(Reason::ModelUnreadable.into()),
            Model::Named(model) => narrowest(models, &model),
        };
        let wins = best.as_ref().is_none_or(|(other, _)| claim > *other);
        if claim.model.is_some() && wins {
            best = Some((claim, rule));
        }
    }
    Ok(best.map_or(Selected::None(Reason::ModelNotListed), |(_, rule)| Selected::Rule(rule)))
}

/// Whether it depends on the path whether the rule matches.
fn rests_on_path(rule: &Rule) -> bool {
    let models = rule.models.as_ref().is_some_and(|models| models.source != ModelSource::Body);
    models || rule.endpoints.is_some()
}

fn claim<'a>(
    host: host::Specificity,
    rule: &'a Rule,
    path: &str,
    head: &Head<'_>,
    model: Option<glob::Specificity>,
) -> Option<(Claim<'a>, &'a Rule)> {
    let scope = (host, endpoint_claim(rule, path)?, method_claim(rule, head)?);
    let (rank, route) = (Reverse(rule.rank), Reverse(rule.route.as_str()));
    let denies = matches!(rule.then, Then::Deny(_));
    Some((Claim { scope, model, rank, route, denies }, rule))
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
