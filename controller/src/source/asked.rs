//! Which policies ask for which Secret.

use std::collections::{BTreeMap, BTreeSet};

use policy::api::Manifest;
use policy::api::credential_injection_policy::{ProviderAuthKind, Spec};
use policy::aws;

use super::Objects;
use crate::plan::ObjectKey;

/// By Secret: each policy that names it.
#[derive(Default)]
pub(crate) struct Asked(BTreeMap<ObjectKey, Vec<Asking>>);

/// A policy that names a Secret.
struct Asking {
    policy: ObjectKey,
    /// The keys by which it asks.
    keys: Vec<String>,
}

impl Asked {
    /// What these objects ask for.
    pub(crate) fn of(objects: &Objects) -> Asked {
        let mut asked = Asked::default();
        for (object, manifest) in objects {
            let Manifest::CredentialInjectionPolicy(policy) = manifest else { continue };
            let secret = ObjectKey {
                namespace: object.key.namespace.clone(),
                name: policy.spec.secret_ref.name.clone(),
            };
            let by = Asking { policy: object.key.clone(), keys: keys_of(&policy.spec) };
            asked.0.entry(secret).or_default().push(by);
        }
        asked
    }

    /// The policies that name a Secret.
    pub(crate) fn policies(&self, secret: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.asking(secret).map(|asking| &asking.policy)
    }

    /// Whether any policy names a Secret.
    pub(crate) fn is_named(&self, secret: &ObjectKey) -> bool {
        self.asking(secret).next().is_some()
    }

    /// The keys by which policies ask for a Secret that read one of it: what a value without a key stands for.
    pub(crate) fn only_keys(&self, secret: &ObjectKey) -> BTreeSet<&str> {
        let only = |asking: &'_ Asking| asking.keys.len() == 1;
        self.asking(secret)
            .filter(|asking| only(asking))
            .flat_map(|it| &it.keys)
            .map(String::as_str)
            .collect()
    }

    /// A policy that reads several keys of a Secret, with those.
    pub(crate) fn several(&self, secret: &ObjectKey) -> Option<(&ObjectKey, &[String])> {
        let mut several = self.asking(secret).filter(|asking| asking.keys.len() > 1);
        several.next().map(|asking| (&asking.policy, asking.keys.as_slice()))
    }

    /// Each policy that names a Secret, with each key by which it asks.
    pub(crate) fn by(&self, secret: &ObjectKey) -> impl Iterator<Item = (&ObjectKey, &str)> {
        self.asking(secret)
            .flat_map(|asking| asking.keys.iter().map(move |key| (&asking.policy, key.as_str())))
    }

    fn asking(&self, secret: &ObjectKey) -> impl Iterator<Item = &Asking> {
        self.0.get(secret).into_iter().flatten()
    }
}

/// A signature takes several keys, whose names are fixed; everything else the one that the policy names.
fn keys_of(spec: &Spec) -> Vec<String> {
    match spec.provider_auth.as_ref().map(|auth| auth.kind) {
        Some(ProviderAuthKind::AWSv4) => aws::SECRET_KEYS.map(str::to_owned).to_vec(),
        _ => vec![spec.secret_key.clone()],
    }
}
