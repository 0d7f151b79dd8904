//! The core `Secret`, and the types that hold what must not be shown.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::Metadata;

/// A core/v1 `Secret`. Fields that do not concern its values (`type`, `immutable`) are accepted and ignored.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secret {
    /// Who it is.
    pub metadata: Metadata,
    /// Values in base64.
    #[serde(default, deserialize_with = "encoded")]
    pub data: BTreeMap<String, SecretValue>,
    /// Values as they are; they win over [`Secret::data`].
    #[serde(default, deserialize_with = "plain")]
    pub string_data: BTreeMap<String, SecretValue>,
}

impl Secret {
    /// A Secret that no manifest holds.
    #[must_use]
    pub fn new(metadata: Metadata) -> Self {
        Secret { metadata, data: BTreeMap::new(), string_data: BTreeMap::new() }
    }

    /// The values by key, `stringData` over `data`.
    #[must_use]
    pub fn values(self) -> BTreeMap<String, SecretValue> {
        let mut values = self.data;
        values.extend(self.string_data);
        values
    }
}

/// One value of a Secret. Zeroized on drop; it cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretValue {
    /// The bytes.
    Bytes(Zeroizing<Vec<u8>>),
    /// What the manifest holds is not base64, so there are no bytes.
    NotBase64,
}

impl SecretValue {
    /// From the base64 of a manifest's `data`. Line breaks inside are ignored, as the Kubernetes API does.
    #[must_use]
    pub fn from_base64(text: &SecretText) -> Self {
        let compact: Zeroizing<Vec<u8>> =
            Zeroizing::new(text.expose().bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect());
        match STANDARD.decode(compact.as_slice()) {
            Ok(bytes) => SecretValue::Bytes(Zeroizing::new(bytes)),
            Err(_) => SecretValue::NotBase64,
        }
    }

    /// From bytes as they are.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        SecretValue::Bytes(Zeroizing::new(bytes))
    }

    /// The bytes, for whoever seals or checks them; `None` when there are none to expose.
    #[must_use]
    pub fn expose(&self) -> Option<&[u8]> {
        match self {
            SecretValue::Bytes(bytes) => Some(bytes),
            SecretValue::NotBase64 => None,
        }
    }
}

/// Text of a manifest that may be a credential. Zeroized on drop; it cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// The text, for whoever decodes or sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        SecretText(Zeroizing::new(text))
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(SecretText::from)
    }
}

fn encoded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, SecretValue>, D::Error> {
    let texts = BTreeMap::<String, SecretText>::deserialize(deserializer)?;
    Ok(texts.into_iter().map(|(key, text)| (key, SecretValue::from_base64(&text))).collect())
}

fn plain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, SecretValue>, D::Error> {
    let texts = BTreeMap::<String, SecretText>::deserialize(deserializer)?;
    Ok(texts
        .into_iter()
        .map(|(key, text)| (key, SecretValue::from_bytes(text.expose().as_bytes().to_vec())))
        .collect())
}
