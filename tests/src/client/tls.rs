//! The client's side of a TLS handshake, with the server name and the protocols that a test chooses.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::Failure;

/// What the client says in its handshake, and whom it trusts.
#[derive(Debug, Clone)]
pub struct Handshake {
    /// Server name; absent: no SNI is sent, and a certificate for `127.0.0.1` is asked for.
    pub sni: Option<String>,
    /// Protocols offered; empty: no ALPN.
    pub alpn: Vec<&'static str>,
    /// Certificates trusted, PEM.
    pub ca: String,
}

/// Makes the handshake over an open connection. The server's certificate must be valid for the SNI.
///
/// # Errors
/// [`Failure::Handshake`].
pub async fn handshake(stream: TcpStream, with: &Handshake) -> Result<TlsStream<TcpStream>, Failure> {
    let name = match &with.sni {
        Some(sni) => ServerName::try_from(sni.clone()).expect("a name that TLS can carry"),
        None => ServerName::from(std::net::IpAddr::from([127, 0, 0, 1])),
    };
    TlsConnector::from(config(with)).connect(name, stream).await.map_err(Failure::Handshake)
}

fn config(with: &Handshake) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(with.ca.as_bytes()) {
        roots.add(certificate.expect("a PEM certificate")).expect("a CA certificate");
    }
    let mut config = ClientConfig::builder_with_provider(crate::tls::crypto())
        .with_safe_default_protocol_versions()
        .expect("the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = with.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}
