//! Policies together: which of them fills which place of a target, who gives way, and what a route gets of it all.

use std::collections::{BTreeMap, BTreeSet};

use policy::wire::DenyCause;

use super::injection::{Policy, PolicyTarget, place_of};
use crate::plan::ObjectKey;

/// All policies, and how they settle among each other.
pub(super) struct Fills {
    pub(super) policies: BTreeMap<ObjectKey, Policy>,
    /// By target and header: the policy that fills it.
    effective: BTreeMap<PolicyTarget, BTreeMap<String, ObjectKey>>,
    /// By target: the places of policies that were refused for their content; `None` where not even that is known.
    refused: BTreeMap<PolicyTarget, BTreeSet<Option<String>>>,
    conflicted: BTreeMap<(ObjectKey, PolicyTarget), ObjectKey>,
}

/// What a route's requests get on one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Share {
    /// These policies, by header.
    Policies(BTreeMap<String, ObjectKey>),
    /// Nothing: they are denied. The policies are those that would have filled.
    Nothing(DenyCause, BTreeMap<String, ObjectKey>),
}

impl Fills {
    /// Settles: for the same place of one target the older policy wins, then the lesser name.
    pub(super) fn settle(policies: BTreeMap<ObjectKey, Policy>) -> Fills {
        let mut by_age: Vec<(&ObjectKey, &Policy)> = policies.iter().collect();
        by_age.sort_by_key(|(key, policy)| (policy.age, *key));
        let mut effective: BTreeMap<PolicyTarget, BTreeMap<String, ObjectKey>> = BTreeMap::new();
        let mut refused: BTreeMap<PolicyTarget, BTreeSet<Option<String>>> = BTreeMap::new();
        let mut conflicted = BTreeMap::new();
        for (key, policy) in by_age {
            for ancestor in &policy.ancestors {
                let Ok(target) = &ancestor.target else { continue };
                match &policy.content {
                    Ok(fill) if ancestor.fault.is_none() => {
                        let places = effective.entry(target.clone()).or_default();
                        let winner = places.entry(place_of(&fill.header)).or_insert_with(|| key.clone());
                        if winner != key {
                            conflicted.insert((key.clone(), target.clone()), winner.clone());
                        }
                    }
                    _ => drop(refused.entry(target.clone()).or_default().insert(policy.place.clone())),
                }
            }
        }
        Fills { policies, effective, refused, conflicted }
    }

    /// The policy that a policy gave way to at a target.
    pub(super) fn winner(&self, policy: &ObjectKey, target: &PolicyTarget) -> Option<&ObjectKey> {
        self.conflicted.get(&(policy.clone(), target.clone()))
    }

    /// What a route gets on a gateway: its own policies over the gateway's, place by place. A policy that was refused
    /// denies the route, unless a policy of the route itself fills the place that the gateway's would have.
    pub(super) fn share(&self, gateway: &ObjectKey, route: &ObjectKey) -> Share {
        let route = PolicyTarget::Route(route.clone());
        let gateway = PolicyTarget::Gateway(gateway.clone());
        let own = self.effective.get(&route).cloned().unwrap_or_default();
        let mut places = self.effective.get(&gateway).cloned().unwrap_or_default();
        places.extend(own.clone());
        let refused = self.refused.contains_key(&route)
            || self.refused.get(&gateway).is_some_and(|places| {
                !places.iter().all(|place| place.as_ref().is_some_and(|place| own.contains_key(place)))
            });
        if refused {
            return Share::Nothing(DenyCause::RouteRefused, places);
        }
        if places.is_empty() {
            return Share::Nothing(DenyCause::NoPolicy, places);
        }
        match places.values().find_map(|policy| self.missing(policy)) {
            Some(cause) => Share::Nothing(cause, places),
            None => Share::Policies(places),
        }
    }

    fn missing(&self, policy: &ObjectKey) -> Option<DenyCause> {
        let policy = self.policies.get(policy)?;
        policy.credential.as_ref().err().map(|unresolved| unresolved.cause)
    }
}
