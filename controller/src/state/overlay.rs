//! The overlay: values of `secret set`, kept over restarts, sealed with the directory's keyring.

use std::collections::BTreeMap;

use policy::seal::{Binding, Keyring};
use policy::secret::Secret;
use serde::{Deserialize, Serialize};

use super::file::{self, Readers};
use super::{StateDir, StateError};
use crate::plan::ObjectKey;

const FILE: &str = "overlay.json";
const VERSION: u32 = 1;

/// Values by Secret and key. No `Debug`: it holds them open.
#[derive(Default)]
pub struct Overlay(BTreeMap<ObjectKey, BTreeMap<String, Secret>>);

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    secrets: Vec<StoredSecret>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSecret {
    namespace: String,
    name: String,
    /// Key to sealed value.
    sealed: BTreeMap<String, String>,
}

impl Overlay {
    /// The value of a key of a Secret.
    #[must_use]
    pub fn find(&self, secret: &ObjectKey, key: &str) -> Option<&Secret> {
        self.0.get(secret)?.get(key)
    }

    /// Every value, by Secret, then by key.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &str, &Secret)> {
        self.0
            .iter()
            .flat_map(|(secret, values)| values.iter().map(move |(key, value)| (secret, key.as_str(), value)))
    }

    /// Sets a value, in the place of an earlier one. Kept by [`StateDir::keep_overlay`].
    pub fn set(&mut self, secret: ObjectKey, key: String, value: Secret) {
        self.0.entry(secret).or_default().insert(key, value);
    }
}

impl StateDir {
    /// The values that were set; none where nothing was.
    ///
    /// # Errors
    /// [`StateError::Corrupt`] where the file cannot be read or a value does not open.
    pub fn overlay(&self, keyring: &Keyring) -> Result<Overlay, StateError> {
        let Some(text) = file::read(&self.path().join(FILE), Readers::Owner)? else {
            return Ok(Overlay::default());
        };
        // The position alone: serde's message can quote the file.
        let stored: Stored = serde_json::from_str(&text)
            .map_err(|error| self.corrupt(&format!("line {} is not what was written", error.line())))?;
        if stored.version != VERSION {
            return Err(self.corrupt("another version of keyward wrote it"));
        }
        let mut overlay = Overlay::default();
        for StoredSecret { namespace, name, sealed } in stored.secrets {
            let secret = ObjectKey { namespace, name };
            for (key, sealed) in sealed {
                let value = keyring.open(&binding(&secret, &key), &sealed);
                let value =
                    value.map_err(|error| self.corrupt(&format!("a value of Secret {secret}: {error}")))?;
                overlay.set(secret.clone(), key, value);
            }
        }
        Ok(overlay)
    }

    /// Keeps the values, sealed.
    ///
    /// # Errors
    /// [`StateError::Io`]; the values kept before stay.
    pub fn keep_overlay(&self, overlay: &Overlay, keyring: &Keyring) -> Result<(), StateError> {
        let mut secrets = Vec::new();
        for (secret, values) in &overlay.0 {
            let sealed = values
                .iter()
                .map(|(key, value)| Ok((key.clone(), keyring.seal(&binding(secret, key), value)?)));
            let sealed = sealed.collect::<Result<_, policy::seal::SealError>>();
            let sealed = sealed.map_err(|error| self.corrupt(&error.to_string()))?;
            secrets.push(StoredSecret {
                namespace: secret.namespace.clone(),
                name: secret.name.clone(),
                sealed,
            });
        }
        let stored = Stored { version: VERSION, secrets };
        let text = serde_json::to_vec_pretty(&stored).map_err(|error| self.corrupt(&error.to_string()))?;
        file::replace(&self.path().join(FILE), &text, 0o600)
    }

    fn corrupt(&self, cause: &str) -> StateError {
        StateError::Corrupt {
            path: self.path().join(FILE),
            cause: cause.to_owned(),
            remedy:
                "Restore it together with keyring, or delete it and set the values again with `secret set`"
                    .into(),
        }
    }
}

/// What a value is sealed for, so that none can be moved to another Secret or key.
fn binding(secret: &ObjectKey, key: &str) -> Binding {
    Binding::kept(&secret.namespace, &secret.name, key)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn secret(name: &str) -> ObjectKey {
        ObjectKey { namespace: "default".to_owned(), name: name.to_owned() }
    }

    fn state() -> (tempfile::TempDir, StateDir, Keyring) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path().join("state")).unwrap();
        let keyring = Keyring::parse(&state.keyring().unwrap()).unwrap();
        (dir, state, keyring)
    }

    fn keep(state: &StateDir, keyring: &Keyring, values: &[(&str, &str, &str)]) {
        let mut overlay = state.overlay(keyring).unwrap();
        for (name, key, value) in values {
            overlay.set(secret(name), (*key).to_owned(), Secret::new(value.as_bytes().to_vec()));
        }
        state.keep_overlay(&overlay, keyring).unwrap();
    }

    fn value(overlay: &Overlay, name: &str, key: &str) -> Option<String> {
        // Exposed to compare it in a test.
        overlay.find(&secret(name), key).map(|value| String::from_utf8(value.expose().to_vec()).unwrap())
    }

    #[test]
    fn values_are_kept_merged_and_never_in_the_clear() {
        let (_dir, state, keyring) = state();
        keep(&state, &keyring, &[("a", "token", "canary-one"), ("b", "token", "canary-two")]);
        keep(&state, &keyring, &[("a", "other", "canary-three"), ("b", "token", "canary-four")]);
        let overlay = state.overlay(&keyring).unwrap();
        assert_eq!(value(&overlay, "a", "token").as_deref(), Some("canary-one"));
        assert_eq!(value(&overlay, "a", "other").as_deref(), Some("canary-three"));
        assert_eq!(value(&overlay, "b", "token").as_deref(), Some("canary-four"));
        assert_eq!(overlay.iter().count(), 3);
        let path = state.path().join("overlay.json");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let text = fs::read_to_string(path).unwrap();
        assert!(!text.contains("canary") && text.contains("kw1."), "{text}");
    }

    #[test]
    fn a_value_moved_to_another_secret_or_key_does_not_open() {
        for (from, to) in [("\"a\"", "\"b\""), ("token", "other")] {
            let (_dir, state, keyring) = state();
            keep(&state, &keyring, &[("a", "token", "canary-one")]);
            let path = state.path().join("overlay.json");
            let text = fs::read_to_string(&path).unwrap().replace(from, to);
            file::replace(&path, text.as_bytes(), 0o600).unwrap();
            let error = state.overlay(&keyring).err().unwrap().to_string();
            assert!(error.contains("overlay.json") && error.contains("secret set"), "{error}");
        }
    }

    #[test]
    fn what_is_not_an_overlay_is_an_error_that_quotes_nothing() {
        let (_dir, state, keyring) = state();
        for text in ["{\"canary\": 1}", "canary", "", r#"{"version": 2, "secrets": []}"#] {
            file::replace(&state.path().join("overlay.json"), text.as_bytes(), 0o600).unwrap();
            let error = state.overlay(&keyring).err().unwrap().to_string();
            assert!(error.contains("overlay.json") && !error.contains("canary"), "{error}");
        }
    }
}
