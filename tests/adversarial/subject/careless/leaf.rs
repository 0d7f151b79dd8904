//! Certificates for whatever name is asked for.

use std::fmt;
use std::sync::Arc;

use harness::provider::Authority;
use harness::tls::crypto;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// A CA that signs any name.
pub(super) struct Minter(Authority);

impl Minter {
    pub(super) fn new() -> Minter {
        Minter(Authority::new("careless"))
    }

    pub(super) fn ca(&self) -> &str {
        self.0.pem()
    }

    pub(super) fn server_config(self: Arc<Self>) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(crypto())
            .with_safe_default_protocol_versions()
            .expect("the default protocol versions")
            .with_no_client_auth()
            .with_cert_resolver(self);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }

    fn mint(&self, name: &str) -> Option<CertifiedKey> {
        let (certificate, key) = self.0.leaf(&[name.to_owned()]);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        CertifiedKey::from_der(vec![certificate.der().clone()], key, &crypto()).ok()
    }
}

impl ResolvesServerCert for Minter {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.mint(hello.server_name().unwrap_or("127.0.0.1")).map(Arc::new)
    }
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Minter")
    }
}
