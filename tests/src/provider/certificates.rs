//! A certificate authority for tests, and server identities that are valid or wrong in one way.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What is wrong with a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Nothing.
    Valid,
    /// It is for another name.
    WrongName,
    /// Its validity ended.
    Expired,
    /// Another authority signed it, whose certificate nobody was given.
    UnknownAuthority,
}

/// A certificate authority of one test run. Its key never leaves this process.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// Makes one. Panics when the operating system gives no randomness.
    #[must_use]
    pub fn new(name: &str) -> Authority {
        let key = KeyPair::generate().expect("a key pair");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).expect("a self-signed certificate");
        Authority { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }

    /// Its certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The TLS configuration of a server with these names and protocols. Panics when a name is no DNS name.
    #[must_use]
    pub fn server_config(
        &self,
        names: &[String],
        identity: Identity,
        alpn: &[&'static str],
    ) -> Arc<ServerConfig> {
        let stranger;
        let signer = match identity {
            Identity::UnknownAuthority => {
                stranger = Authority::new("a stranger");
                &stranger
            }
            _ => self,
        };
        let (certificate, key) = signer.leaf_with(names, identity);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(crate::tls::crypto())
            .with_safe_default_protocol_versions()
            .expect("the default protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate that fits its key");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// A leaf for these names, with its key. Panics when a name is no DNS name.
    #[must_use]
    pub fn leaf(&self, names: &[String]) -> (Certificate, KeyPair) {
        self.leaf_with(names, Identity::Valid)
    }

    fn leaf_with(&self, names: &[String], identity: Identity) -> (Certificate, KeyPair) {
        let names = match identity {
            Identity::WrongName => vec!["another.example".to_owned()],
            _ => names.to_vec(),
        };
        let key = KeyPair::generate().expect("a key pair");
        let mut params = CertificateParams::new(names).expect("DNS names");
        params.distinguished_name.push(DnType::CommonName, "provider");
        if identity == Identity::Expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
        }
        (params.signed_by(&key, &self.issuer).expect("a signed certificate"), key)
    }
}
