//! New values of a Secret, and nothing else: only the sealed credentials that it goes into are made anew.
//!
//! A key that rotates must not cost a compilation of ten thousand routes. What a new value can change besides (a
//! condition, a denial, a trust bundle) is left to [`super::compile`]: this only answers that it does not apply. Where
//! it applies, the outcome is the same, byte for byte.

use std::collections::{BTreeMap, BTreeSet};

use policy::api::SecretValue;
use policy::seal::Keyring;
use policy::secret::Secret;
use policy::wire::{Config, Outcome};

use super::{injection, prove};
use crate::inputs::Inputs;
use crate::plan::{GatewayPlan, ObjectKey};

/// Which buckets of which gateways changed.
pub type Touched = BTreeMap<ObjectKey, BTreeSet<usize>>;

/// Puts the new values of a Secret into the inputs, and into the plans that were compiled from them. `None`, and
/// nothing changed, where more than sealed credentials could come of it.
pub fn rotate<'k>(
    inputs: &mut Inputs,
    plans: &mut BTreeMap<ObjectKey, GatewayPlan>,
    secret: &ObjectKey,
    values: BTreeMap<String, SecretValue>,
    keyring: impl Fn(&ObjectKey) -> &'k Keyring,
) -> Option<Touched> {
    if is_trusted(inputs, secret) {
        return None;
    }
    let policies = policies_of(inputs, secret);
    // Both must be usable: else a condition or a denial comes or goes.
    credentials(inputs, &policies)?;
    let before = inputs.secrets.insert(secret.clone(), values)?;
    let sealed = credentials(inputs, &policies).and_then(|credentials| {
        let sealed = plans.iter().map(|(key, plan)| Some((key, sealed(plan, &credentials, keyring(key))?)));
        let sealed: Option<Vec<_>> = sealed.collect();
        Some(sealed?.into_iter().map(|(key, buckets)| (key.clone(), buckets)).collect::<BTreeMap<_, _>>())
    });
    let Some(sealed) = sealed else {
        inputs.secrets.insert(secret.clone(), before);
        return None;
    };
    let mut touched = Touched::new();
    for (key, buckets) in sealed {
        let Some(plan) = plans.get_mut(&key) else { continue };
        for (index, config) in buckets {
            plan.buckets[index] = config;
            touched.entry(key.clone()).or_default().insert(index);
        }
    }
    Some(touched)
}

/// Whether a gateway verifies upstreams by this Secret.
fn is_trusted(inputs: &Inputs, secret: &ObjectKey) -> bool {
    inputs.gateways.iter().any(|(key, gateway)| {
        let tls = gateway.spec.upstream_tls.as_ref();
        let reference = tls.and_then(|tls| tls.additional_trust_bundle_secret_ref.as_ref());
        key.namespace == secret.namespace && reference.is_some_and(|reference| reference.name == secret.name)
    })
}

/// The policies that name this Secret.
fn policies_of(inputs: &Inputs, secret: &ObjectKey) -> Vec<ObjectKey> {
    let naming = inputs.policies.iter().filter(|(key, policy)| {
        policy.spec.secret_ref.name == secret.name && key.namespace == secret.namespace
    });
    naming.map(|(key, _)| key.clone()).collect()
}

/// The credential of each of these policies; `None` where one of them has none.
fn credentials(inputs: &Inputs, policies: &[ObjectKey]) -> Option<BTreeMap<String, Secret>> {
    let credential = |key: &ObjectKey| {
        let spec = &inputs.policies.get(key)?.spec;
        Some((key.to_string(), injection::credential(key, spec, inputs).ok()?))
    };
    policies.iter().map(credential).collect()
}

/// The buckets of a plan that hold these policies' credentials, sealed anew. `None` where the filter would refuse one.
fn sealed(
    plan: &GatewayPlan,
    credentials: &BTreeMap<String, Secret>,
    keyring: &Keyring,
) -> Option<BTreeMap<usize, Config>> {
    let holding = plan.buckets.iter().enumerate().filter(|(_, config)| holds(config, credentials));
    let sealed = holding.map(|(index, config)| {
        let config = seal(config, credentials, keyring)?;
        prove::is_taken(&config).then_some((index, config))
    });
    sealed.collect()
}

fn holds(config: &Config, credentials: &BTreeMap<String, Secret>) -> bool {
    config.rules.iter().any(|rule| match &rule.then {
        Outcome::Inject(injections) => injections.iter().any(|it| credentials.contains_key(&it.policy)),
        Outcome::Deny(_) => false,
    })
}

fn seal(config: &Config, credentials: &BTreeMap<String, Secret>, keyring: &Keyring) -> Option<Config> {
    let mut sealed = config.clone();
    for (rule, same) in sealed.rules.iter_mut().zip(&config.rules) {
        let Outcome::Inject(injections) = &mut rule.then else { continue };
        for injection in injections {
            if let Some(credential) = credentials.get(&injection.policy) {
                injection.sealed = keyring.seal(&config.binding(same, injection).ok()?, credential).ok()?;
            }
        }
    }
    Some(sealed)
}

#[cfg(test)]
mod tests;
