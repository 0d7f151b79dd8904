//! The system's CA bundle: what upstreams are verified against unless a gateway adds to it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where distributions keep it: Debian, Fedora, openSUSE, Alpine and FreeBSD, in this order.
const PATHS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// Why upstreams cannot be verified.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// No bundle was found.
    #[error("no system CA bundle found (looked at {0}); install ca-certificates or set SSL_CERT_FILE")]
    Missing(String),
    /// A bundle cannot be read.
    #[error("the CA bundle {path} cannot be read: {error}; repair it or set SSL_CERT_FILE")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A bundle holds no certificate.
    #[error("the CA bundle {0} holds no certificate in PEM; repair it or set SSL_CERT_FILE")]
    Empty(PathBuf),
}

/// Reads `SSL_CERT_FILE` where it is set, else the first of the distributions' paths that exists.
///
/// # Errors
/// [`TrustError`]: without a bundle no upstream could be verified, so nothing starts.
pub(crate) fn system_bundle(ssl_cert_file: Option<OsString>) -> Result<String, TrustError> {
    let path = match ssl_cert_file.filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => PATHS
            .iter()
            .map(Path::new)
            .find(|path| path.exists())
            .ok_or_else(|| TrustError::Missing(PATHS.join(", ")))?
            .to_owned(),
    };
    let bundle = std::fs::read_to_string(&path);
    let bundle = bundle.map_err(|error| TrustError::Unreadable { path: path.clone(), error })?;
    if bundle.contains("-----BEGIN CERTIFICATE-----") { Ok(bundle) } else { Err(TrustError::Empty(path)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_that_is_missing_or_holds_nothing_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bundle.pem");
        let message = |path: &Path| system_bundle(Some(path.into())).expect_err("no bundle").to_string();
        assert!(message(&path).contains("bundle.pem") && message(&path).contains("SSL_CERT_FILE"));
        std::fs::write(&path, "nothing").expect("written");
        assert!(message(&path).contains("no certificate"));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\n").expect("written");
        assert!(system_bundle(Some(path.into())).is_ok());
    }
}
