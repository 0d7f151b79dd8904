//! New values of a Secret, or new Google tokens, and nothing else: only the sealed credentials that they go into are
//! made anew.
//!
//! A key that rotates must not cost a compilation of ten thousand routes. What a new value can change besides (a
//! condition, a denial, a trust bundle) is left to [`super::compile`]: this only answers that it does not apply. Where
//! it applies, the outcome is the same, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy::api::SecretValue;
use policy::seal::Keyring;
use policy::secret::Secret;
use policy::wire::Outcome;

use super::injection::{self, Material};
use super::tokens::{self, Accounts, Maker};
use crate::google::{Snapshot, TokenKey};
use crate::inputs::Inputs;
use crate::plan::{GatewayPlan, ObjectKey};

/// Which buckets of which gateways changed.
pub type Touched = BTreeMap<ObjectKey, BTreeSet<usize>>;

/// Puts the new values of a Secret, which just these policies name, into the inputs, and into the plans that were
/// compiled from them. `None`, and nothing changed, where more than sealed credentials could come of it.
pub fn rotate<'k>(
    inputs: &mut Inputs,
    plans: &mut BTreeMap<ObjectKey, GatewayPlan>,
    secret: &ObjectKey,
    policies: &[ObjectKey],
    values: BTreeMap<String, SecretValue>,
    keyring: impl Fn(&ObjectKey) -> &'k Keyring,
) -> Option<Touched> {
    if is_of_a_gateway(inputs, secret) {
        return None;
    }
    // Both must be usable: else a condition or a denial comes or goes.
    credentials(inputs, policies)?;
    let before = inputs.secrets.insert(secret.clone(), values)?;
    let sealed = credentials(inputs, policies).and_then(|credentials| {
        let anew = |policy: &str, _: &[String]| credentials.get(policy);
        seal_all(plans, anew, keyring)
    });
    let Some(sealed) = sealed else {
        inputs.secrets.insert(secret.clone(), before);
        return None;
    };
    Some(put(plans, sealed))
}

/// Puts tokens as they stand now into the inputs, and into the plans that were compiled from them. `policies` are those
/// whose credentials are tokens. `None`, and nothing changed, where one came or went, which ends or begins a denial.
///
/// Conditions are not its business: [`super::Tokens::say`].
pub fn renew<'k>(
    inputs: &mut Inputs,
    plans: &mut BTreeMap<ObjectKey, GatewayPlan>,
    policies: &BTreeMap<ObjectKey, BTreeSet<TokenKey>>,
    tokens: &Arc<Snapshot>,
    keyring: impl Fn(&ObjectKey) -> &'k Keyring,
) -> Option<Touched> {
    let mut new: BTreeMap<&TokenKey, Secret> = BTreeMap::new();
    for key in policies.values().flatten() {
        match (tokens::now(&inputs.tokens, key), tokens::now(tokens, key)) {
            (None, None) => {}
            (Some(before), Some(after)) if before == after => {}
            (Some(_), Some(after)) => drop(new.insert(key, tokens::sealable(after)?)),
            _ => return None,
        }
    }
    let affected = policies.iter().filter(|(_, keys)| keys.iter().any(|key| new.contains_key(key)));
    let makers = affected.map(|(policy, _)| {
        let spec = &inputs.policies.get(policy)?.spec;
        Some((policy.to_string(), Maker::of(policy, spec)?))
    });
    let makers: BTreeMap<String, Maker> = makers.collect::<Option<_>>()?;
    let anew =
        |policy: &str, hosts: &[String]| new.get(&makers.get(policy)?.token(tokens::only_host(hosts)).ok()?);
    let touched =
        if makers.is_empty() { Touched::new() } else { put(plans, seal_all(plans, anew, keyring)?) };
    inputs.tokens = Arc::clone(tokens);
    Some(touched)
}

fn seal_all<'k, 's>(
    plans: &BTreeMap<ObjectKey, GatewayPlan>,
    anew: impl Fn(&str, &[String]) -> Option<&'s Secret>,
    keyring: impl Fn(&ObjectKey) -> &'k Keyring,
) -> Option<Vec<(ObjectKey, Vec<Sealed>)>> {
    plans.iter().map(|(key, plan)| Some((key.clone(), seal(plan, &anew, keyring(key))?))).collect()
}

fn put(plans: &mut BTreeMap<ObjectKey, GatewayPlan>, sealed: Vec<(ObjectKey, Vec<Sealed>)>) -> Touched {
    let mut touched = Touched::new();
    for (key, sealed) in sealed {
        let Some(plan) = plans.get_mut(&key) else { continue };
        for Sealed { bucket, rule, injection, text } in sealed {
            let Outcome::Inject(injections) = &mut plan.buckets[bucket].rules[rule].then else { continue };
            injections[injection].sealed = text;
            touched.entry(key.clone()).or_default().insert(bucket);
        }
    }
    touched
}

/// A credential sealed anew, and where in a plan it belongs.
struct Sealed {
    bucket: usize,
    rule: usize,
    injection: usize,
    text: String,
}

/// Whether a gateway verifies upstreams, or tells a collector, by this Secret.
fn is_of_a_gateway(inputs: &Inputs, secret: &ObjectKey) -> bool {
    inputs.gateways.iter().any(|(key, gateway)| {
        let tls = gateway.spec.upstream_tls.as_ref();
        let reference = tls.and_then(|tls| tls.additional_trust_bundle_secret_ref.as_ref());
        let headers = gateway.spec.otlp.as_ref().and_then(|otlp| otlp.headers_secret_ref.as_ref());
        key.namespace == secret.namespace
            && reference.into_iter().chain(headers).any(|reference| reference.name == secret.name)
    })
}

/// The credential of each of these policies; `None` where one of them has none, or makes tokens of its Secret: what comes
/// of those is not known yet.
fn credentials(inputs: &Inputs, policies: &[ObjectKey]) -> Option<BTreeMap<String, Secret>> {
    let credential = |key: &ObjectKey| {
        let spec = &inputs.policies.get(key)?.spec;
        match injection::credential(key, spec, inputs, &mut Accounts::default()).ok()? {
            Material::Value(value) => Some((key.to_string(), value)),
            Material::Token(_) => None,
        }
    };
    policies.iter().map(credential).collect()
}

/// Every place of a plan that has a credential anew, by policy and hosts of the rule, sealed. The proof of its buckets holds on: the
/// filter does not look at what is sealed before a request needs it.
fn seal<'s>(
    plan: &GatewayPlan,
    anew: impl Fn(&str, &[String]) -> Option<&'s Secret>,
    keyring: &Keyring,
) -> Option<Vec<Sealed>> {
    let mut sealed = Vec::new();
    for (bucket, config) in plan.buckets.iter().enumerate() {
        for (index, rule) in config.rules.iter().enumerate() {
            let Outcome::Inject(injections) = &rule.then else { continue };
            for (injection, it) in injections.iter().enumerate() {
                let Some(credential) = anew(&it.policy, &rule.hosts) else { continue };
                let text = keyring.seal(&config.binding(rule, it).ok()?, credential).ok()?;
                sealed.push(Sealed { bucket, rule: index, injection, text });
            }
        }
    }
    Some(sealed)
}

#[cfg(test)]
mod tests;
