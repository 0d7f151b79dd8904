//! Secrets from outside the manifests: `--secret` of the command line, and what `keyward secret set` stored.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use policy::api::credential_injection_policy::DEFAULT_SECRET_KEY;
use policy::api::{Kind, Manifest, Metadata, Secret, SecretValue};
use thiserror::Error;
use zeroize::Zeroizing;

use super::problem::Problem;
use super::{Asked, Objects};
use crate::conditions::ObjectRef;
use crate::plan::ObjectKey;

/// Values that stand above those of the manifests: `secret set`, then `--secret`, then manifests.
#[derive(Default, Clone)]
pub struct Overrides {
    flags: BTreeMap<ObjectKey, Flags>,
    set: BTreeMap<ObjectKey, BTreeMap<String, Value>>,
}

type Value = Zeroizing<Vec<u8>>;

/// The names in [`Overrides`], without the values.
#[derive(Default, PartialEq, Eq)]
pub(super) struct OverrideNames {
    flags: BTreeSet<ObjectKey>,
    set: BTreeSet<(ObjectKey, String)>,
}

impl OverrideNames {
    /// The Secrets of which either says something that the other does not.
    pub(super) fn differing<'a>(&'a self, other: &'a OverrideNames) -> BTreeSet<&'a ObjectKey> {
        let flags = self.flags.symmetric_difference(&other.flags);
        flags.chain(self.set.symmetric_difference(&other.set).map(|(secret, _)| secret)).collect()
    }
}

#[derive(Default, Clone)]
struct Flags {
    by_key: BTreeMap<String, Value>,
    for_every_key: Option<Value>,
}

impl Overrides {
    /// Adds a `--secret`: it replaces the whole Secret of the manifests. Without a key the value stands under every
    /// `secretKey` by which a policy asks for that Secret, or under `token` when none does.
    pub fn flag(&mut self, secret: ObjectKey, key: Option<String>, value: Vec<u8>) {
        let flags = self.flags.entry(secret).or_default();
        match key {
            Some(key) => drop(flags.by_key.insert(key, Zeroizing::new(value))),
            None => flags.for_every_key = Some(Zeroizing::new(value)),
        }
    }

    /// Adds what `secret set` gave: it is merged into the Secret, over everything else.
    pub fn set(&mut self, secret: ObjectKey, key: String, value: Vec<u8>) {
        self.set.entry(secret).or_default().insert(key, Zeroizing::new(value));
    }

    /// What `--secret` says of a key of a Secret.
    pub(crate) fn value(&self, secret: &ObjectKey, key: &str) -> Option<&[u8]> {
        let flags = self.flags.get(secret)?;
        flags.by_key.get(key).or(flags.for_every_key.as_ref()).map(|value| value.as_slice())
    }

    /// Which Secrets and keys are overridden.
    pub(super) fn names(&self) -> OverrideNames {
        let set =
            self.set.iter().flat_map(|(secret, keys)| keys.keys().map(|key| (secret.clone(), key.clone())));
        OverrideNames { flags: self.flags.keys().cloned().collect(), set: set.collect() }
    }

    /// Whether a `--secret` replaces this Secret, so that what its manifest holds is not read.
    pub(super) fn replaces(&self, secret: &ObjectKey) -> bool {
        self.flags.contains_key(secret)
    }

    /// Whether the manifest's value of that key is never used.
    pub(super) fn covers(&self, secret: &ObjectKey, key: &str) -> bool {
        self.replaces(secret) || self.set.get(secret).is_some_and(|keys| keys.contains_key(key))
    }

    /// The `--secret` flags without a key whose Secret a policy reads several keys of: one value cannot be all of them.
    pub(super) fn unusable(&self, objects: &Objects) -> Vec<Problem> {
        let asked = Asked::of(objects);
        let without_key = self.flags.iter().filter(|(_, flags)| flags.for_every_key.is_some());
        let unusable = without_key.filter_map(|(secret, _)| {
            let (policy, keys) = asked.several(secret)?;
            let flag = |key: &String| format!("--secret {secret}=VARIABLE:{key}");
            let (needed, flags) = (keys.join(", "), keys.iter().map(flag).collect::<Vec<_>>().join(" "));
            let message = format!(
                "--secret gives this Secret one value without a key, but CredentialInjectionPolicy {policy} reads \
                 several keys of it: {needed} (the last only for temporary credentials)"
            );
            let problem = Problem::of_directory(message, format!("write {flags}"));
            Some(Problem { object: Some(format!("Secret {secret}")), ..problem })
        });
        unusable.collect()
    }

    /// Puts the values into the objects; Secrets that exist only here are created.
    pub(crate) fn apply(&self, objects: &mut Objects) {
        let asked = Asked::of(objects);
        for (key, flags) in &self.flags {
            let mut secret = take_secret(objects, key);
            secret.data.clear();
            secret.string_data.clear();
            if let Some(value) = &flags.for_every_key {
                let mut keys = asked.only_keys(key);
                if !asked.is_named(key) {
                    keys.insert(DEFAULT_SECRET_KEY);
                }
                secret.data.extend(keys.into_iter().map(|key| (key.to_owned(), bytes(value))));
            }
            secret.data.extend(flags.by_key.iter().map(|(name, value)| (name.clone(), bytes(value))));
            put_secret(objects, key, secret);
        }
        for (key, values) in &self.set {
            let mut secret = take_secret(objects, key);
            secret.string_data.extend(values.iter().map(|(name, value)| (name.clone(), bytes(value))));
            put_secret(objects, key, secret);
        }
    }
}

fn bytes(value: &Value) -> SecretValue {
    SecretValue::from_bytes(value.to_vec())
}

/// Takes a Secret out, or makes one.
fn take_secret(objects: &mut Objects, key: &ObjectKey) -> Secret {
    match objects.remove(&ObjectRef::new(Kind::Secret, key.clone())) {
        Some(Manifest::Secret(secret)) => secret,
        _ => Secret::new(Metadata {
            name: key.name.clone(),
            namespace: Some(key.namespace.clone()),
            ..Metadata::default()
        }),
    }
}

fn put_secret(objects: &mut Objects, key: &ObjectKey, secret: Secret) {
    objects.insert(ObjectRef::new(Kind::Secret, key.clone()), Manifest::Secret(secret));
}

/// `--secret [NS/]NAME=ENVVAR[:KEY]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFlag {
    /// The Secret; the namespace is `default` unless given.
    pub secret: ObjectKey,
    /// The environment variable that holds the value.
    pub variable: String,
    /// The key; absent means every key that a policy asks for.
    pub key: Option<String>,
}

/// What is wrong with a `--secret`. It does not repeat the text, which may be a value by mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "write [NAMESPACE/]NAME=VARIABLE or [NAMESPACE/]NAME=VARIABLE:KEY; VARIABLE is the name of an environment variable, not its value"
)]
pub struct BadSecretFlag;

impl FromStr for SecretFlag {
    type Err = BadSecretFlag;

    fn from_str(text: &str) -> Result<Self, BadSecretFlag> {
        let (secret, source) = text.split_once('=').ok_or(BadSecretFlag)?;
        let (variable, key) = match source.split_once(':') {
            Some((variable, key)) => (variable, Some(key)),
            None => (source, None),
        };
        let is_variable = !variable.is_empty()
            && variable.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !variable.starts_with(|letter: char| letter.is_ascii_digit());
        if !is_variable || key == Some("") {
            return Err(BadSecretFlag);
        }
        Ok(SecretFlag {
            secret: secret.parse().map_err(|_| BadSecretFlag)?,
            variable: variable.to_owned(),
            key: key.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_flag_names_a_secret_a_variable_and_perhaps_a_key() {
        let flag = |namespace: &str, name: &str, variable: &str, key: Option<&str>| {
            Ok(SecretFlag {
                secret: ObjectKey { namespace: namespace.into(), name: name.into() },
                variable: variable.into(),
                key: key.map(str::to_owned),
            })
        };
        for (text, parsed) in [
            ("a=KEY", flag("default", "a", "KEY", None)),
            ("team/a=_KEY1:api-key", flag("team", "a", "_KEY1", Some("api-key"))),
            ("a", Err(BadSecretFlag)),
            ("=KEY", Err(BadSecretFlag)),
            ("a=", Err(BadSecretFlag)),
            ("a=KEY:", Err(BadSecretFlag)),
            ("a/b/c=KEY", Err(BadSecretFlag)),
            ("a=sk-ant-0123", Err(BadSecretFlag)),
        ] {
            assert_eq!(text.parse::<SecretFlag>(), parsed, "{text}");
        }
    }
}
