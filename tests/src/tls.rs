//! TLS settings that the provider and the clients share.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The cryptography of every test: chosen here, so that no process-wide default is needed.
#[must_use]
pub fn crypto() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
