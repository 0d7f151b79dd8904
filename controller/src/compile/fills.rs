//! Policies together: which of them fills which place of a target, who gives way, and what a route gets of it all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy::aws;
use policy::host::HostPattern;
use policy::wire::{DenyCause, Target};

use super::injection::{Material, Places, Policy, PolicyTarget};
use super::tokens::{self, Needed, Source};
use crate::google::Snapshot;
use crate::plan::ObjectKey;

/// All policies, and how they settle among each other.
pub(super) struct Fills {
    pub(super) policies: BTreeMap<ObjectKey, Policy>,
    /// The Google tokens that there are.
    pub(super) tokens: Arc<Snapshot>,
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

/// What requests to one host lack. In the order in which a status names them: what waits for somebody first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lack {
    /// Neither a policy nor the host says for which AWS region they are to be signed.
    Region,
    /// The host is a pattern, and its name would be the audience of their token.
    Audience,
    /// Their token was not obtained yet, or not again.
    Token,
}

impl Lack {
    pub(super) fn cause(self) -> DenyCause {
        match self {
            Lack::Region => DenyCause::RegionUnknown,
            Lack::Audience | Lack::Token => DenyCause::TokenUnavailable,
        }
    }
}

impl Share {
    fn filling(&self) -> Option<&BTreeSet<ObjectKey>> {
        match self {
            Share::Policies(policies) => Some(policies),
            Share::Nothing(..) => None,
        }
    }

    /// The policies that fill, or would have filled.
    pub(super) fn policies(&self) -> &BTreeSet<ObjectKey> {
        match self {
            Share::Policies(policies) | Share::Nothing(_, policies) => policies,
        }
    }
}

impl Fills {
    /// Settles: for the same place of one target the older policy wins, then the lesser name.
    pub(super) fn settle(policies: BTreeMap<ObjectKey, Policy>, tokens: Arc<Snapshot>) -> Fills {
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
        Fills { policies, tokens, effective, refused, conflicted }
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

    /// What the requests to a host lack, though its policies have what they name.
    pub(super) fn lack(&self, share: &Share, host: &HostPattern) -> Option<Lack> {
        self.credentials(share).filter_map(|(policy, material)| self.lacks(policy, material, host)).min()
    }

    fn lacks(&self, policy: &Policy, material: &Material, host: &HostPattern) -> Option<Lack> {
        let target = policy.content.as_ref().ok().map(|fill| &fill.target);
        match material {
            Material::Token(source) => match source.maker().token(host.exact()) {
                Err(_) => Some(Lack::Audience),
                Ok(key) => tokens::now(&self.tokens, &key).is_none().then_some(Lack::Token),
            },
            Material::Value(_) => {
                let is_open = matches!(target, Some(Target::AwsV4 { region: None, .. }));
                (is_open && !aws::may_name_region(host.as_str())).then_some(Lack::Region)
            }
        }
    }

    /// Whether a rule may name one host only, because each has a credential of its own.
    pub(super) fn is_per_host(&self, share: &Share) -> bool {
        self.sources(share).any(|(_, source)| source.maker().is_per_host())
    }

    /// Adds the Google tokens that requests to these hosts need.
    pub(super) fn need<'a>(
        &self,
        share: &Share,
        hosts: impl Iterator<Item = &'a HostPattern> + Clone,
        needed: &mut Needed,
    ) {
        for (policy, source) in self.sources(share) {
            // Where all hosts have the same one, the first stands for all.
            let count = if source.maker().is_per_host() { usize::MAX } else { 1 };
            for key in hosts.clone().take(count).filter_map(|host| source.maker().token(host.exact()).ok()) {
                let entry = needed.entry(key).or_insert_with(|| (source.account.clone(), BTreeSet::new()));
                entry.1.insert(policy.clone());
            }
        }
    }

    fn sources<'a>(&'a self, share: &'a Share) -> impl Iterator<Item = (&'a ObjectKey, &'a Source)> {
        let keys = share.filling().into_iter().flatten();
        keys.filter_map(|key| match self.policies.get(key)?.credential.as_ref().ok()? {
            Material::Token(source) => Some((key, source)),
            Material::Value(_) => None,
        })
    }

    fn credentials<'a>(&'a self, share: &'a Share) -> impl Iterator<Item = (&'a Policy, &'a Material)> {
        let policies = share.filling().into_iter().flatten().filter_map(|key| self.policies.get(key));
        policies.filter_map(|policy| Some((policy, policy.credential.as_ref().ok()?)))
    }

    fn missing(&self, policy: &ObjectKey) -> Option<DenyCause> {
        let policy = self.policies.get(policy)?;
        policy.credential.as_ref().err().map(|unresolved| unresolved.cause)
    }
}
