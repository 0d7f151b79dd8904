//! The certificate authorities of the gateways, kept in the state directory.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::file::{self, Readers};
use super::{StateDir, StateError, short_hash};
use crate::certificates::Authority;
use crate::certificates::ca::AuthorityError;
use crate::plan::ObjectKey;

/// The socket that Envoy makes beside its bootstrap.
const ADMIN_SOCKET: &str = "admin.sock";

impl StateDir {
    /// Where the certificate that a gateway's agents trust is.
    ///
    /// # Errors
    /// [`StateError::Name`] where namespace or name cannot be a directory's name.
    pub fn authority_path(&self, gateway: &ObjectKey) -> Result<PathBuf, StateError> {
        Ok(self.gateway_directory(gateway)?.join("ca.crt"))
    }

    /// A gateway's certificate authority: the one that is kept, or a new one that is kept from now on.
    ///
    /// # Errors
    /// [`StateError::Corrupt`] where what is kept cannot be used; it is left as it is.
    pub fn authority(&self, gateway: &ObjectKey, now: OffsetDateTime) -> Result<Authority, StateError> {
        let directory = self.gateway_directory(gateway)?;
        let certificate = file::read(&directory.join("ca.crt"), Readers::Anyone)?;
        let key = file::read(&directory.join("ca.key"), Readers::Owner)?;
        match (certificate, key) {
            (Some(certificate), Some(key)) => {
                Authority::load(&certificate, &key, now).map_err(|error| unusable(&directory, error))
            }
            (None, None) => create(&directory, gateway, now),
            (Some(_), None) => Err(corrupt(&directory, "ca.key", "it is missing beside ca.crt")),
            (None, Some(_)) => Err(corrupt(&directory, "ca.crt", "it is missing beside ca.key")),
        }
    }

    /// A directory for what a gateway's Envoy keeps while it runs: its bootstrap and its sockets. This user's alone.
    ///
    /// # Errors
    /// [`StateError`] where it cannot be made.
    pub fn envoy_directory(&self, gateway: &ObjectKey) -> Result<PathBuf, StateError> {
        let name = short_hash(self.gateway_directory(gateway)?.as_os_str().as_bytes());
        let mut directory = self.socket(&format!("envoy-{name}/{ADMIN_SOCKET}"))?;
        directory.pop();
        file::private_directory(&directory)?;
        Ok(directory)
    }

    fn gateway_directory(&self, gateway: &ObjectKey) -> Result<PathBuf, StateError> {
        let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
        if !plain(&gateway.namespace) || !plain(&gateway.name) {
            return Err(StateError::Name);
        }
        Ok(self.path().join("gateways").join(&gateway.namespace).join(&gateway.name))
    }
}

/// Writes both files beside their place and moves them there at once, so that a crash leaves both or none.
fn create(directory: &Path, gateway: &ObjectKey, now: OffsetDateTime) -> Result<Authority, StateError> {
    let (authority, key) =
        Authority::create(&gateway.to_string(), now).map_err(|error| unusable(directory, error))?;
    // No gateway's name starts with a dot.
    let temporary = directory.with_file_name(format!(".{}.new", gateway.name));
    let _ = fs::remove_dir_all(&temporary);
    file::private_directory(&temporary)?;
    file::replace(&temporary.join("ca.key"), key.as_bytes(), 0o600)?;
    file::replace(&temporary.join("ca.crt"), authority.certificate().as_bytes(), 0o644)?;
    fs::rename(&temporary, directory).map_err(StateError::io(directory))?;
    file::sync_parent(directory).map_err(StateError::io(directory))?;
    Ok(authority)
}

fn unusable(directory: &Path, error: AuthorityError) -> StateError {
    let name = match error {
        AuthorityError::Key | AuthorityError::Mismatch => "ca.key",
        _ => "ca.crt",
    };
    corrupt(directory, name, &error.to_string())
}

fn corrupt(directory: &Path, name: &str, cause: &str) -> StateError {
    let remedy = format!(
        "Restore ca.crt and ca.key, or delete {} to have a new authority made; its agents must then be given the new ca.crt",
        directory.display()
    );
    StateError::Corrupt { path: directory.join(name), cause: cause.to_owned(), remedy }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
    }

    fn key(namespace: &str, name: &str) -> ObjectKey {
        ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn state() -> (tempfile::TempDir, StateDir) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path().join("state")).unwrap();
        (dir, state)
    }

    #[test]
    fn an_authority_is_made_once_for_each_gateway() {
        let (_dir, state) = state();
        let one = state.authority(&key("default", "one"), now()).unwrap();
        let other = state.authority(&key("default", "other"), now()).unwrap();
        assert_ne!(one.certificate(), other.certificate());
        let again = state.authority(&key("default", "one"), now()).unwrap();
        assert_eq!(one.certificate(), again.certificate());
        let path = state.authority_path(&key("default", "one")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), one.certificate());
        let mode = |name: &str| fs::metadata(path.with_file_name(name)).unwrap().mode() & 0o777;
        assert_eq!((mode("ca.crt"), mode("ca.key")), (0o644, 0o600));
        assert_eq!(
            fs::read_dir(path.parent().unwrap().parent().unwrap()).unwrap().count(),
            2,
            "nothing left over"
        );
    }

    #[test]
    fn a_broken_authority_is_an_error_with_a_remedy_and_stays_as_it_is() {
        let garbage: fn(&Path) = |path| fs::write(path, "garbage").unwrap();
        let missing: fn(&Path) = |path| fs::remove_file(path).unwrap();
        for (name, break_it) in
            [("ca.key", garbage), ("ca.crt", garbage), ("ca.key", missing), ("ca.crt", missing)]
        {
            let (_dir, state) = state();
            let gateway = key("default", "one");
            state.authority(&gateway, now()).unwrap();
            let path = state.authority_path(&gateway).unwrap().with_file_name(name);
            break_it(&path);
            let before = fs::read(&path).ok();
            let error = state.authority(&gateway, now()).err().unwrap().to_string();
            assert!(error.contains(path.to_str().unwrap()) && error.contains("delete"), "{error}");
            assert_eq!(fs::read(&path).ok(), before);
        }
    }

    #[test]
    fn an_expired_authority_is_not_replaced_silently() {
        let (_dir, state) = state();
        state.authority(&key("default", "one"), now()).unwrap();
        let error =
            state.authority(&key("default", "one"), now() + time::Duration::days(4000)).err().unwrap();
        assert!(error.to_string().contains("expired"), "{error}");
    }

    #[test]
    fn names_that_leave_the_directory_are_refused() {
        let (_dir, state) = state();
        for (namespace, name) in [("..", "a"), ("a", "../b"), ("", "a"), ("a", ""), ("a", ".b")] {
            assert!(matches!(state.authority(&key(namespace, name), now()), Err(StateError::Name)));
        }
    }

    #[test]
    fn what_a_killed_run_left_half_made_is_made_anew() {
        let (_dir, state) = state();
        let half = state.path().join("gateways/default/.one.new");
        fs::create_dir_all(&half).unwrap();
        fs::write(half.join("ca.key"), "half").unwrap();
        state.authority(&key("default", "one"), now()).unwrap();
        assert!(!half.exists());
    }
}
