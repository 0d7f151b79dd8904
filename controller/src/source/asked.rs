//! Which policies ask for which Secret.

use std::collections::{BTreeMap, BTreeSet};

use policy::api::Manifest;

use super::Objects;
use crate::plan::ObjectKey;

/// By Secret: each policy that names it, and the key by which it asks.
#[derive(Default)]
pub(crate) struct Asked(BTreeMap<ObjectKey, Vec<(ObjectKey, String)>>);

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
            let by = (object.key.clone(), policy.spec.secret_key.clone());
            asked.0.entry(secret).or_default().push(by);
        }
        asked
    }

    /// The policies that name a Secret.
    pub(crate) fn policies(&self, secret: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.by(secret).map(|(policy, _)| policy)
    }

    /// The keys by which they ask for it.
    pub(crate) fn keys(&self, secret: &ObjectKey) -> BTreeSet<&str> {
        self.by(secret).map(|(_, key)| key.as_str()).collect()
    }

    /// Each policy that names a Secret, with the key by which it asks.
    pub(crate) fn by(&self, secret: &ObjectKey) -> impl Iterator<Item = &(ObjectKey, String)> {
        self.0.get(secret).into_iter().flatten()
    }
}
