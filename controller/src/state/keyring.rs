//! The sealing keys of a state directory.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use policy::seal::Keyring;
use zeroize::Zeroizing;

use super::file::{self, Readers};
use super::{StateDir, StateError};

/// The id of the key that a new keyring holds.
const FIRST_ID: &str = "k1";

impl StateDir {
    /// The keyring in the form that a filter reads from its environment (`id:base64`), made on first use. It was
    /// parsed, so that parsing it again cannot fail.
    ///
    /// # Errors
    /// [`StateError::Corrupt`] where the one that is kept cannot be read; it is left as it is.
    pub fn keyring(&self) -> Result<Zeroizing<String>, StateError> {
        let path = self.path().join("keyring");
        let Some(kept) = file::read(&path, Readers::Owner)? else {
            let made = generate().map_err(StateError::io(&path))?;
            file::replace(&path, made.as_bytes(), 0o600)?;
            return Ok(made);
        };
        let kept = Zeroizing::new(kept.trim_end().to_owned());
        match Keyring::parse(&kept) {
            Ok(_) => Ok(kept),
            Err(error) => Err(StateError::Corrupt {
                path,
                cause: error.to_string(),
                remedy: "Restore it, or delete it together with overlay.json; values of `secret set` are then lost".into(),
            }),
        }
    }
}

/// A new keyring.
///
/// # Errors
/// The system has no randomness to give.
pub(crate) fn generate() -> std::io::Result<Zeroizing<String>> {
    let mut key = Zeroizing::new([0u8; 32]);
    getrandom::fill(&mut *key).map_err(std::io::Error::other)?;
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(*key));
    Ok(Zeroizing::new(format!("{FIRST_ID}:{}", *encoded)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_keyring_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path().join("state")).unwrap();
        let made = state.keyring().unwrap();
        assert!(Keyring::parse(&made).is_ok());
        assert_eq!(*state.keyring().unwrap(), *made);
        assert_eq!(fs::metadata(state.path().join("keyring")).unwrap().mode() & 0o777, 0o600);
        let other = StateDir::open(dir.path().join("other")).unwrap();
        assert_ne!(*other.keyring().unwrap(), *made);
    }

    #[test]
    fn a_broken_keyring_is_an_error_that_shows_no_key_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path().join("state")).unwrap();
        let path = state.path().join("keyring");
        file::replace(&path, b"k1:Y2FuYXJ5", 0o600).unwrap();
        let error = state.keyring().err().unwrap().to_string();
        assert!(error.contains("keyring") && error.contains("overlay.json"), "{error}");
        assert!(!error.contains("Y2FuYXJ5"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"k1:Y2FuYXJ5");
    }
}
