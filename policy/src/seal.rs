//! Sealing: credentials travel in the plugin configuration encrypted, each bound to the rule that it was sealed for.
//!
//! AES-256-GCM-SIV (RFC 8452) with a fixed nonce, so that equal inputs give equal bytes on every replica and after
//! every restart. A fixed nonce is sound with this cipher and with few others: the nonce, the associated data and the
//! plaintext together determine the synthetic IV, so all that repeats for a repeated nonce is what repeats anyway
//! (RFC 8452, sections 4 and 9): equal sealed bytes tell that a value did not change under one binding, and no more.
//!
//! A sealed value is printed as `kw1.<key id>.<base64url without padding>`.

mod binding;

use aes_gcm_siv::aead::{Aead, Payload};
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use thiserror::Error;
use zeroize::Zeroizing;

pub use binding::{Binding, BindingError};

use crate::secret::Secret;

/// The first part of every sealed value: format and cipher.
pub const FORMAT: &str = "kw1";

/// The sealing keys, newest first: the first one seals, all of them open.
pub struct Keyring {
    keys: Vec<SealingKey>,
}

struct SealingKey {
    id: String,
    cipher: Aes256GcmSiv,
}

impl Keyring {
    /// Reads `id:base64(32 bytes)`, comma-separated, newest first, as `KEYWARD_KEYRING` holds it.
    ///
    /// # Errors
    /// [`KeyringError`] names the entry by its position; it never shows a key.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let mut keys: Vec<SealingKey> = Vec::new();
        for (index, entry) in text.trim_end_matches(['\r', '\n']).split(',').enumerate() {
            let key = SealingKey::parse(entry, index + 1)?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(KeyringError::Duplicate { entry: index + 1 });
            }
            keys.push(key);
        }
        Ok(Keyring { keys })
    }

    /// Seals under the newest key.
    ///
    /// # Errors
    /// [`SealError`]: the keyring is empty, or the value is larger than the cipher takes (64 GiB).
    pub fn seal(&self, binding: &Binding, secret: &Secret) -> Result<String, SealError> {
        let key = self.keys.first().ok_or(SealError)?;
        let aad = key.associated_data(binding);
        // Exposed to the cipher alone.
        let payload = Payload { msg: secret.expose(), aad: &aad };
        let sealed = key.cipher.encrypt(&Nonce::default(), payload).map_err(|_| SealError)?;
        Ok(format!("{FORMAT}.{}.{}", key.id, BASE64_URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Opens a value that was sealed under any key of the ring and for this very binding.
    ///
    /// # Errors
    /// [`OpenError`]; a value that was changed and one that was sealed for another rule look the same.
    pub fn open(&self, binding: &Binding, sealed: &str) -> Result<Secret, OpenError> {
        let mut parts = sealed.split('.');
        let (Some(FORMAT), Some(bytes)) = (parts.next(), parts.next_back()) else {
            return Err(OpenError::Format);
        };
        // Key ids may hold dots, so the id is all that stands between the first and the last one.
        let id = sealed.get(FORMAT.len() + 1..sealed.len() - bytes.len()).and_then(|id| id.strip_suffix('.'));
        let id = id.ok_or(OpenError::Format)?;
        let key = self.keys.iter().find(|key| key.id == id).ok_or(OpenError::UnknownKey)?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(bytes).map_err(|_| OpenError::Format)?;
        let aad = key.associated_data(binding);
        let opened = key.cipher.decrypt(&Nonce::default(), Payload { msg: &bytes, aad: &aad });
        opened.map(Secret::new).map_err(|_| OpenError::NotAuthentic)
    }
}

impl SealingKey {
    fn parse(entry: &str, position: usize) -> Result<Self, KeyringError> {
        let (id, key) = entry.trim().split_once(':').ok_or(KeyringError::Syntax { entry: position })?;
        if !is_key_id(id) {
            return Err(KeyringError::Id { entry: position });
        }
        let key = BASE64_STANDARD.decode(key).map(Zeroizing::new);
        let key = key.map_err(|_| KeyringError::Base64 { entry: position })?;
        let cipher =
            Aes256GcmSiv::new_from_slice(&key).map_err(|_| KeyringError::Length { entry: position })?;
        Ok(SealingKey { id: id.to_owned(), cipher })
    }

    fn associated_data(&self, binding: &Binding) -> Vec<u8> {
        binding.under(FORMAT, &self.id)
    }
}

fn is_key_id(id: &str) -> bool {
    (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Why a keyring cannot be read. Entries count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyringError {
    /// No colon.
    #[error("keyring entry {entry}: expected id:base64(32 bytes)")]
    Syntax {
        /// Position.
        entry: usize,
    },
    /// Not an id.
    #[error("keyring entry {entry}: the id takes 1 to 32 of A-Z a-z 0-9 . _ -")]
    Id {
        /// Position.
        entry: usize,
    },
    /// Not base64.
    #[error("keyring entry {entry}: the key is not standard base64 with padding")]
    Base64 {
        /// Position.
        entry: usize,
    },
    /// Not 32 bytes.
    #[error("keyring entry {entry}: the key is not 32 bytes long")]
    Length {
        /// Position.
        entry: usize,
    },
    /// An id that stood before.
    #[error("keyring entry {entry}: another entry has the same id")]
    Duplicate {
        /// Position.
        entry: usize,
    },
}

/// A value could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the value cannot be sealed")]
pub struct SealError;

/// Why a sealed value does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Not `kw1.<key id>.<base64url>`.
    #[error("not a sealed value")]
    Format,
    /// The keyring has no key of that id.
    #[error("sealed under a key that the keyring does not hold")]
    UnknownKey,
    /// Changed, or sealed for another rule.
    #[error("changed since it was sealed, or sealed for another rule")]
    NotAuthentic,
}

#[cfg(test)]
mod tests;
