//! What the compiler says of each object.

use std::collections::{BTreeMap, BTreeSet};

use policy::api::Kind;
use policy::api::egress_gateway::Spec;
use policy::host::HostPattern;
use policy::wire::DenyCause;

use super::attach::{Parent, Standing};
use super::fills::{Fills, Lack, Share};
use super::injection::{Ancestor, Fill, Policy};
use super::scope::Scope;
use super::support;
use super::verdict::{
    ACCEPTED, PARTIALLY_SUPPORTED, PROGRAMMED, READY, RESOLVED, RESOLVED_REFS, Refusal, condition, no,
    standing, yes,
};
use super::{denials, egress};
use crate::conditions::{
    Attachment, Conditions, GatewayStatus, ListenerStatus, ObjectStatus, Statuses, Truth,
};
use crate::inputs::{Inputs, Reduced};
use crate::plan::ObjectKey;

/// Of a gateway: accepted or refused, and what of its spec is without effect.
pub(super) fn gateway(
    gateway: &Reduced<Spec>,
    verdict: Result<(), &Refusal>,
    partly: &[String],
    trust: Result<(), &Refusal>,
    attached: &BTreeMap<usize, u32>,
) -> ObjectStatus {
    let generation = gateway.generation;
    let mut conditions = match verdict {
        Ok(()) => accepted_gateway(trust, generation),
        Err(refusal) => refused_gateway(refusal, generation),
    };
    if verdict.is_ok() && !partly.is_empty() {
        let message = format!("accepted without effect for now: {}", partly.join(", "));
        conditions.set(PARTIALLY_SUPPORTED, yes(PARTIALLY_SUPPORTED, message, generation));
    }
    let listeners = gateway.spec.listeners.iter().enumerate().map(|(index, listener)| {
        let mut conditions = Conditions::default();
        let said = match verdict {
            Ok(()) => yes(ACCEPTED, "the listener is served", generation),
            Err(refusal) => no(refusal, generation),
        };
        conditions.set(ACCEPTED, said);
        let attached_routes = attached.get(&index).copied().unwrap_or_default();
        ListenerStatus { name: listener.name.clone(), port: listener.port, attached_routes, conditions }
    });
    let listeners = listeners.collect();
    ObjectStatus::Gateway(GatewayStatus { conditions, listeners })
}

fn accepted_gateway(trust: Result<(), &Refusal>, generation: Option<i64>) -> Conditions {
    let mut conditions = standing(Ok("the gateway is served"), trust.map(|()| RESOLVED), generation);
    for kind in [PROGRAMMED, READY] {
        let message = "no Envoy has answered yet";
        conditions.set(kind, condition(Truth::Unknown, "Pending", message, generation));
    }
    conditions
}

fn refused_gateway(refusal: &Refusal, generation: Option<i64>) -> Conditions {
    let mut conditions = Conditions::default();
    for kind in [ACCEPTED, PROGRAMMED, READY] {
        conditions.set(kind, no(refusal, generation));
    }
    conditions
}

/// Of a route, by parent.
pub(super) fn route(
    key: &ObjectKey,
    generation: Option<i64>,
    parents: &[Parent],
    verdict: Result<(), &Refusal>,
    scopes: &[Scope],
    fills: &Fills,
    inverted_by: Option<&ObjectKey>,
) -> ObjectStatus {
    if parents.is_empty() {
        let message =
            "no parentRef names an EgressGateway, its group and kind spelt out; the route has no effect";
        return alone(&Refusal::new("NoMatchingParent", message), generation);
    }
    let hosts: BTreeSet<HostPattern> = scopes.iter().flat_map(|scope| scope.hosts.iter().cloned()).collect();
    let lacking = |share: &Share| {
        let lacks = hosts.iter().filter_map(|host| Some((fills.lack(share, host)?, host)));
        lacks.min().map(|(lack, host)| lacks_for(lack, host))
    };
    let attached = attached(inverted_by);
    let attachment = |parent: &Parent| {
        let accepted = match (&parent.standing, verdict) {
            (Standing::Apart(refusal) | Standing::Refused(refusal), _) | (_, Err(refusal)) => Err(refusal),
            (Standing::Attached(_), Ok(())) => Ok(attached.as_str()),
        };
        let share = fills.share(&parent.gateway, key);
        let missing = accepted
            .ok()
            .filter(|_| inverted_by.is_none())
            .and_then(|_| missing(&share).or_else(|| lacking(&share)));
        let resolved = missing.as_ref().map_or(Ok(RESOLVED), Err);
        Attachment { to: parent.to.clone(), conditions: standing(accepted, resolved, generation) }
    };
    ObjectStatus::Route(parents.iter().map(attachment).collect())
}

/// Of an object that is attached to nothing of ours.
fn alone(refusal: &Refusal, generation: Option<i64>) -> ObjectStatus {
    let mut conditions = Conditions::default();
    conditions.set(ACCEPTED, no(refusal, generation));
    ObjectStatus::Plain(conditions)
}

/// Why an accepted route's requests are denied all the same.
fn missing(share: &Share) -> Option<Refusal> {
    let Share::Nothing(cause, _) = share else { return None };
    let (reason, why) = match cause {
        DenyCause::NoPolicy => ("NoPolicy", "no CredentialInjectionPolicy gives this route a credential"),
        DenyCause::RouteRefused => ("PolicyRefused", "a CredentialInjectionPolicy of this route is refused"),
        DenyCause::SecretNotFound => ("SecretNotFound", "a Secret that its policies name is missing"),
        DenyCause::KeyNotFound => ("KeyNotFound", "a Secret that its policies name lacks the key"),
        DenyCause::InvalidSecret => ("InvalidSecret", "a Secret that its policies name cannot be used"),
        DenyCause::RegionUnknown => ("RegionUnknown", "no AWS region is known to sign for"),
        DenyCause::TokenUnavailable => ("TokenUnavailable", "no Google token was obtained"),
        DenyCause::RouteDenied => ("RouteDenied", "an EgressDenyPolicy inverts the route"),
    };
    Some(Refusal::new(reason, format!("{why}; its requests are denied")))
}

/// Why the requests to a host are denied though the policies have what they name.
fn lacks_for(lack: Lack, host: &HostPattern) -> Refusal {
    match lack {
        Lack::Region => Refusal::new(
            "RegionUnknown",
            format!(
                "{host} names no AWS region and neither does its policy; set spec.providerAuth.region there; requests \
                 to it are denied"
            ),
        ),
        Lack::Audience => Refusal::new(
            "AudienceUnknown",
            format!(
                "{host} is a pattern, and a self-signed token for it needs an audience or scopes; set \
                 spec.providerAuth.gcp.audience or .scopes of its policy; requests to it are denied"
            ),
        ),
        Lack::Token => Refusal::new(
            "TokenUnavailable",
            "a Google token is not there; the CredentialInjectionPolicy says why; requests are denied until it is",
        ),
    }
}

/// Of a policy, by target.
pub(super) fn policy(key: &ObjectKey, policy: &Policy, fills: &Fills) -> ObjectStatus {
    if policy.ancestors.is_empty() {
        let without =
            Refusal::new("TargetNotFound", "no targetRef names an object of ours; the policy has no effect");
        return alone(policy.content.as_ref().err().unwrap_or(&without), policy.generation);
    }
    let attachment = |ancestor: &Ancestor| {
        let refusal = refusal(key, policy, ancestor, fills);
        let filled = policy.content.as_ref().map_or_else(|_| String::new(), Fill::describe);
        let accepted = refusal.as_ref().map_or(Ok(filled.as_str()), Err);
        let resolved = policy.credential.as_ref().map(|_| RESOLVED).map_err(|unresolved| &unresolved.refusal);
        Attachment { to: ancestor.to.clone(), conditions: standing(accepted, resolved, policy.generation) }
    };
    ObjectStatus::Policy(policy.ancestors.iter().map(attachment).collect())
}

/// Why a policy is not accepted at one target.
fn refusal(key: &ObjectKey, policy: &Policy, ancestor: &Ancestor, fills: &Fills) -> Option<Refusal> {
    let target = match (&ancestor.target, &policy.content, &ancestor.fault) {
        (_, Err(refusal), _) | (Err(refusal), ..) | (_, _, Some(refusal)) => return Some(refusal.clone()),
        (Ok(target), Ok(_), None) => target,
    };
    let winner = fills.winner(key, target)?;
    let theirs = fills.policies.get(winner).and_then(|winner| winner.places.as_ref());
    let mut shared =
        policy.places.iter().flatten().filter(|place| theirs.is_some_and(|it| it.contains(*place)));
    let place = shared.next().map_or("place", String::as_str);
    Some(Refusal::new(
        "Conflicted",
        format!("CredentialInjectionPolicy {winner} fills the {place} already, and came first"),
    ))
}

/// What is said of a route that is attached.
fn attached(inverted_by: Option<&ObjectKey>) -> String {
    match inverted_by {
        None => "the route is attached".to_owned(),
        Some(policy) => {
            format!("the route is attached; EgressDenyPolicy {policy} inverts it: what it matches is denied")
        }
    }
}

/// Of a route by address, name and port, by parent.
pub(super) fn l4_route(route: &egress::Route, inverted_by: Option<&ObjectKey>) -> ObjectStatus {
    if route.parents.is_empty() {
        let message =
            "no parentRef names an EgressGateway, its group and kind spelt out; the route has no effect";
        return alone(&Refusal::new("NoMatchingParent", message), route.generation);
    }
    let said = attached(inverted_by);
    let attachment = |parent: &Parent| {
        let refusal = route.refusal(parent).map(|refusal| match inverted_by {
            Some(policy) if matches!(parent.standing, Standing::Attached(_)) => Refusal {
                message: format!(
                    "{}; EgressDenyPolicy {policy} inverts the route: what of it can be read is denied",
                    refusal.message
                ),
                ..refusal.clone()
            },
            _ => refusal.clone(),
        });
        let accepted = refusal.as_ref().map_or(Ok(said.as_str()), Err);
        Attachment { to: parent.to.clone(), conditions: standing(accepted, Ok(RESOLVED), route.generation) }
    };
    ObjectStatus::Route(route.parents.iter().map(attachment).collect())
}

/// Of a policy that denies, by target.
pub(super) fn deny_policy(policy: &denials::Policy) -> ObjectStatus {
    if policy.targets.is_empty() {
        let without =
            Refusal::new("TargetNotFound", "no targetRef names an object of ours; the policy has no effect");
        return alone(policy.content.as_ref().err().unwrap_or(&without), policy.generation);
    }
    let attachment = |target: &denials::Target| {
        let refusal = target.route.as_ref().err().or(policy.content.as_ref().err()).or(target.fault.as_ref());
        let accepted = refusal.map_or(Ok("what the route matches is denied"), Err);
        let mut conditions = standing(accepted, Ok(RESOLVED), policy.generation);
        if policy.answers && accepted.is_ok() && matches!(target.route, Ok((Kind::AiProviderRoute, _))) {
            let message = "accepted without effect for this target: spec.denyResponse; requests that an \
                           AIProviderRoute matches are answered 403 denied_by_policy";
            conditions.set(PARTIALLY_SUPPORTED, yes(PARTIALLY_SUPPORTED, message, policy.generation));
        }
        Attachment { to: target.to.clone(), conditions }
    };
    ObjectStatus::Policy(policy.targets.iter().map(attachment).collect())
}

/// Of the kinds that are not built.
pub(super) fn unbuilt(inputs: &Inputs, statuses: &mut Statuses) {
    for (object, generation) in &inputs.opaque {
        debug_assert!(support::KINDS.contains(&object.kind), "{} is missing in the table", object.kind);
        let message = format!("the kind {} is not supported yet; it has no effect", object.kind);
        statuses.0.insert(object.clone(), alone(&Refusal::new("Unsupported", message), *generation));
    }
}

/// Marks a gateway one of whose buckets the filter would refuse. That is a fault of ours: the bucket denies instead.
pub(super) fn filter_refused(status: &mut ObjectStatus, generation: Option<i64>, buckets: &[String]) {
    let ObjectStatus::Gateway(gateway) = status else { return };
    if buckets.is_empty() {
        return;
    }
    let message =
        format!("the filter would refuse the configuration of bucket {}; it denies", buckets.join(", "));
    gateway.conditions.set(RESOLVED_REFS, no(&Refusal::new("FilterRefused", message), generation));
}
