//! EgressDenyPolicies: which routes are inverted, and what is answered instead.
//!
//! A policy that is refused for its own content denies all the same, with Keyward's own answer: what it targets was not
//! meant to be let through.

use std::collections::BTreeMap;

use policy::api::egress_deny_policy::{DenyResponse as Wanted, Spec};
use policy::api::reference::{ParentReference, TargetReference};
use policy::api::status::StatusReference;
use policy::api::{GROUP, Kind};

use super::attach::status_reference;
use super::verdict::Refusal;
use crate::inputs::{Inputs, Reduced};
use crate::plan::{DenyResponse, ObjectKey};

/// Status of a refusal where the policy gives none.
const STATUS: u16 = 403;
/// The longest message: Envoy takes bodies of 4 KiB, and JSON may need six bytes for one.
const MAX_MESSAGE: usize = 512;

/// All policies, and what they come to.
#[derive(Default)]
pub(super) struct Denials {
    pub(super) policies: BTreeMap<ObjectKey, Policy>,
    /// By route: the oldest policy, and what it answers.
    by_route: BTreeMap<(Kind, ObjectKey), (ObjectKey, DenyResponse)>,
}

/// A policy, read.
pub(super) struct Policy {
    pub(super) generation: Option<i64>,
    pub(super) targets: Vec<Target>,
    pub(super) content: Result<(), Refusal>,
    pub(super) answers: bool,
}

/// One thing that a policy attaches to.
pub(super) struct Target {
    pub(super) to: StatusReference,
    /// The route, or why there is none.
    pub(super) route: Result<(Kind, ObjectKey), Refusal>,
    /// What of the reference is not heeded.
    pub(super) fault: Option<Refusal>,
}

impl Denials {
    /// Reads every policy.
    pub(super) fn read(inputs: &Inputs) -> Denials {
        let mut by_age: Vec<_> = inputs.deny_policies.iter().collect();
        by_age.sort_by_key(|(key, policy)| (policy.age, *key));
        let mut denials = Denials::default();
        for (key, reduced) in by_age {
            let policy = read(key, reduced, inputs);
            let answer = response(&reduced.spec).unwrap_or(DenyResponse { status: STATUS, message: None });
            for route in policy.targets.iter().filter_map(|target| target.route.as_ref().ok()) {
                denials.by_route.entry(route.clone()).or_insert_with(|| (key.clone(), answer.clone()));
            }
            denials.policies.insert(key.clone(), policy);
        }
        denials
    }

    /// What is answered in place of a route; `None` where no policy inverts it.
    pub(super) fn response(&self, kind: Kind, route: &ObjectKey) -> Option<&DenyResponse> {
        self.by_route.get(&(kind, route.clone())).map(|(_, response)| response)
    }

    /// The policy that inverts a route.
    pub(super) fn policy(&self, kind: Kind, route: &ObjectKey) -> Option<&ObjectKey> {
        self.by_route.get(&(kind, route.clone())).map(|(policy, _)| policy)
    }
}

fn read(key: &ObjectKey, policy: &Reduced<Spec>, inputs: &Inputs) -> Policy {
    let spec = &policy.spec;
    let targets = spec.target_refs.iter().flatten().chain(&spec.target_ref);
    let targets = targets.filter(|target| target.group == GROUP).map(|target| Target {
        to: to(target),
        route: route(key, target, inputs),
        fault: target.section_name.is_some().then(|| {
            let field = if spec.target_ref.is_some() { "spec.targetRef" } else { "spec.targetRefs[]" };
            let message = format!(
                "{field}.sectionName is not supported; the whole route is denied; remove sectionName from the reference"
            );
            Refusal::new("Unsupported", message)
        }),
    });
    let content = check_references(spec).and_then(|()| response(spec).map(drop));
    let targets: Vec<Target> = targets.collect();
    let effect = if targets.is_empty() { "it has no effect" } else { "what it targets is denied" };
    Policy {
        generation: policy.generation,
        targets,
        content: content.map_err(|why| Refusal::new("Invalid", format!("{why}; {effect}"))),
        answers: spec.deny_response.is_some(),
    }
}

fn check_references(spec: &Spec) -> Result<(), String> {
    match (&spec.target_refs, &spec.target_ref) {
        (Some(_), Some(_)) => Err("spec.targetRefs and spec.targetRef: write one of the two".to_owned()),
        (None, None) => Err("spec.targetRefs is missing".to_owned()),
        _ => Ok(()),
    }
}

fn route(key: &ObjectKey, target: &TargetReference, inputs: &Inputs) -> Result<(Kind, ObjectKey), Refusal> {
    let object = ObjectKey { namespace: key.namespace.clone(), name: target.name.clone() };
    let (kind, exists) = match Kind::parse(&target.kind) {
        Some(kind @ Kind::AiProviderRoute) => (kind, inputs.routes.contains_key(&object)),
        Some(kind @ Kind::EgressL4Route) => (kind, inputs.l4_routes.contains_key(&object)),
        _ => {
            let message =
                "a policy inverts an EgressL4Route or an AIProviderRoute; other kinds are not supported";
            return Err(Refusal::new("Unsupported", message));
        }
    };
    match exists {
        true => Ok((kind, object)),
        false => Err(Refusal::new("TargetNotFound", format!("there is no {kind} {object}"))),
    }
}

fn response(spec: &Spec) -> Result<DenyResponse, String> {
    let Some(Wanted { status_code, message }) = &spec.deny_response else {
        return Ok(DenyResponse { status: STATUS, message: None });
    };
    let status = status_code.unwrap_or(STATUS);
    if !(400..=599).contains(&status) {
        return Err("spec.denyResponse.statusCode: use 400 to 599".to_owned());
    }
    if message.as_ref().is_some_and(|message| message.len() > MAX_MESSAGE) {
        return Err(format!("spec.denyResponse.message: use at most {MAX_MESSAGE} bytes"));
    }
    Ok(DenyResponse { status, message: message.clone() })
}

fn to(target: &TargetReference) -> StatusReference {
    status_reference(&ParentReference {
        group: Some(target.group.clone()),
        kind: Some(target.kind.clone()),
        namespace: None,
        name: target.name.clone(),
        section_name: target.section_name.clone(),
        port: None,
    })
}
