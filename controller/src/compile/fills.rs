//! Policies together: which of them fills which place of a target, who gives way, and what a route gets of it all.

use std::collections::{BTreeMap, BTreeSet};

use policy::aws;
use policy::host::HostPattern;
use policy::wire::{DenyCause, Target};

use super::injection::{Places, Policy, PolicyTarget};
use crate::plan::ObjectKey;

/// All policies, and how they settle among each other.
pub(super) struct Fills {
    pub(super) policies: BTreeMap<ObjectKey, Policy>,
    /// By target and place: the policy that fills it.
    effective: BTreeMap<PolicyTarget, BTreeMap<String, ObjectKey>>,
    /// By target: the places of policies that were refused for their content; `None` where not even that is known.
    refused: BTreeMap<PolicyTarget, BTreeSet<Option<Places>>>,
    conflicted: BTreeMap<(ObjectKey, PolicyTarget), ObjectKey>,
}

/// What a route's requests get on one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Share {
    /// What these policies fill.
    Policies(BTreeSet<ObjectKey>),
    /// Nothing: they are denied. The policies are those that would have filled.
    Nothing(DenyCause, BTreeSet<ObjectKey>),
}

impl Share {
    /// The policies that fill, or would have filled.
    pub(super) fn policies(&self) -> &BTreeSet<ObjectKey> {
        match self {
            Share::Policies(policies) | Share::Nothing(_, policies) => policies,
        }
    }
}

impl Fills {
    /// Settles: for the same place of one target the older policy wins, then the lesser name.
    pub(super) fn settle(policies: BTreeMap<ObjectKey, Policy>) -> Fills {
        let mut by_age: Vec<(&ObjectKey, &Policy)> = policies.iter().collect();
        by_age.sort_by_key(|(key, policy)| (policy.age, *key));
        let mut effective: BTreeMap<PolicyTarget, BTreeMap<String, ObjectKey>> = BTreeMap::new();
        let mut refused: BTreeMap<PolicyTarget, BTreeSet<Option<Places>>> = BTreeMap::new();
        let mut conflicted = BTreeMap::new();
        for (key, policy) in by_age {
            for ancestor in &policy.ancestors {
                let Ok(target) = &ancestor.target else { continue };
                match (&policy.content, &policy.places) {
                    (Ok(_), Some(places)) if ancestor.fault.is_none() => {
                        let filled = effective.entry(target.clone()).or_default();
                        // A policy fills all of its places or none.
                        match places.iter().find_map(|place| filled.get(place)) {
                            Some(winner) if winner != key => {
                                conflicted.insert((key.clone(), target.clone()), winner.clone());
                            }
                            _ => filled.extend(places.iter().map(|place| (place.clone(), key.clone()))),
                        }
                    }
                    _ => drop(refused.entry(target.clone()).or_default().insert(policy.places.clone())),
                }
            }
        }
        Fills { policies, effective, refused, conflicted }
    }

    /// The policy that a policy gave way to at a target.
    pub(super) fn winner(&self, policy: &ObjectKey, target: &PolicyTarget) -> Option<&ObjectKey> {
        self.conflicted.get(&(policy.clone(), target.clone()))
    }

    /// What a route gets on a gateway: its own policies, and those of the gateway that fill none of the same places. A
    /// policy that was refused denies the route, unless a policy of the route itself fills a place that the gateway's
    /// would have.
    pub(super) fn share(&self, gateway: &ObjectKey, route: &ObjectKey) -> Share {
        let route = PolicyTarget::Route(route.clone());
        let gateway = PolicyTarget::Gateway(gateway.clone());
        let own = self.effective.get(&route);
        let takes = |place: &String| own.is_some_and(|own| own.contains_key(place));
        let gives_way =
            |places: &Option<Places>| places.as_ref().is_some_and(|places| places.iter().any(takes));
        let wide = self.effective.get(&gateway).into_iter().flat_map(BTreeMap::values);
        let wide = wide.filter(|key| !self.policies.get(key).is_some_and(|policy| gives_way(&policy.places)));
        let policies: BTreeSet<ObjectKey> =
            own.into_iter().flat_map(BTreeMap::values).chain(wide).cloned().collect();
        let refused = self.refused.contains_key(&route)
            || self.refused.get(&gateway).is_some_and(|refused| !refused.iter().all(gives_way));
        if refused {
            return Share::Nothing(DenyCause::RouteRefused, policies);
        }
        if policies.is_empty() {
            return Share::Nothing(DenyCause::NoPolicy, policies);
        }
        match policies.iter().find_map(|policy| self.missing(policy)) {
            Some(cause) => Share::Nothing(cause, policies),
            None => Share::Policies(policies),
        }
    }

    /// The hosts that requests cannot be signed for: neither a policy nor the host itself says for which AWS region.
    pub(super) fn without_region(
        &self,
        share: &Share,
        hosts: &BTreeSet<HostPattern>,
    ) -> BTreeSet<HostPattern> {
        let Share::Policies(policies) = share else { return BTreeSet::new() };
        let fills = policies.iter().filter_map(|key| self.policies.get(key)?.content.as_ref().ok());
        let mut targets = fills.map(|fill| &fill.target);
        if !targets.any(|target| matches!(target, Target::AwsV4 { region: None, .. })) {
            return BTreeSet::new();
        }
        hosts.iter().filter(|host| !aws::may_name_region(host.as_str())).cloned().collect()
    }

    fn missing(&self, policy: &ObjectKey) -> Option<DenyCause> {
        let policy = self.policies.get(policy)?;
        policy.credential.as_ref().err().map(|unresolved| unresolved.cause)
    }
}
