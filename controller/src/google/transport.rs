//! One POST to a token endpoint: bounded in time and size, over TLS that is verified against the given roots.
//!
//! Absent on purpose: redirects, proxies, pools and retries. A connection serves one exchange an hour.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use super::answer::ExchangeError;
use super::endpoint::{Channel, Endpoint};

/// From looking up the name to the last byte of the answer.
const LIMIT: Duration = Duration::from_secs(10);

/// An answer is a token of a kilobyte and some words around it.
pub(super) const ANSWER_LIMIT: usize = 64 * 1024;

/// Why token endpoints could not be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TrustError {
    /// No certificate that could be a root.
    #[error("the CA bundle holds no certificate that token endpoints could be verified against")]
    Empty,
    /// The library refuses its own defaults.
    #[error("TLS cannot be set up")]
    Setup,
}

/// How token endpoints are reached.
#[derive(Clone)]
pub struct Transport {
    tls: TlsConnector,
    limit: Duration,
    /// Of the roots.
    digest: [u8; 32],
}

/// What came back.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<String>,
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Transport {
    /// `trust_bundle` is the PEM of the roots that token endpoints are verified against. What of it cannot be a root is
    /// passed over, as in other programs.
    ///
    /// # Errors
    /// [`TrustError`] where nothing of it can.
    pub fn new(trust_bundle: &str) -> Result<Transport, TrustError> {
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_slice_iter(trust_bundle.as_bytes());
        let (added, _) = roots.add_parsable_certificates(certificates.filter_map(Result::ok));
        if added == 0 {
            return Err(TrustError::Empty);
        }
        // Named, so that it does not matter which other providers the program links.
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().map_err(|_| TrustError::Setup)?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let digest = Sha256::digest(trust_bundle).into();
        Ok(Transport { tls: TlsConnector::from(Arc::new(config)), limit: LIMIT, digest })
    }

    /// Whether both verify against the same roots.
    pub(super) fn is_same(&self, other: &Transport) -> bool {
        self.digest == other.digest
    }

    /// As patient as a test.
    #[cfg(test)]
    pub(super) fn within(self, limit: Duration) -> Transport {
        Transport { limit, ..self }
    }

    /// Sends a form and reads the answer.
    pub(super) async fn post(
        &self,
        endpoint: &Endpoint,
        form: Zeroizing<String>,
    ) -> Result<Reply, ExchangeError> {
        let exchanged = tokio::time::timeout(self.limit, self.dial_and_send(endpoint, form));
        exchanged.await.unwrap_or(Err(ExchangeError::Timeout))
    }

    async fn dial_and_send(
        &self,
        endpoint: &Endpoint,
        form: Zeroizing<String>,
    ) -> Result<Reply, ExchangeError> {
        let request = request(endpoint, form).ok_or(ExchangeError::Broken)?;
        let stream = self.dial(endpoint).await?;
        match &endpoint.channel {
            Channel::Loopback => send(stream, request).await,
            Channel::Tls(name) => send(self.shake_hands(name.clone(), stream).await?, request).await,
        }
    }

    /// The first address that answers. An address that swallows packets must not cost the others their turn.
    async fn dial(&self, endpoint: &Endpoint) -> Result<TcpStream, ExchangeError> {
        let addresses = lookup_host((endpoint.host.as_str(), endpoint.port)).await;
        for address in addresses.map_err(|_| ExchangeError::Unresolved)? {
            if let Ok(Ok(stream)) = tokio::time::timeout(self.limit / 3, TcpStream::connect(address)).await {
                return Ok(stream);
            }
        }
        Err(ExchangeError::Unreachable)
    }

    async fn shake_hands(
        &self,
        name: ServerName<'static>,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, ExchangeError> {
        self.tls.connect(name, stream).await.map_err(|error| {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match inner {
                Some(rustls::Error::InvalidCertificate(_)) => ExchangeError::Untrusted,
                _ => ExchangeError::Handshake,
            }
        })
    }
}

fn request(endpoint: &Endpoint, form: Zeroizing<String>) -> Option<Request<Full<Bytes>>> {
    let request = Request::post(&endpoint.target)
        .header(header::HOST, &endpoint.authority)
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::CONNECTION, "close");
    request.body(Full::new(Bytes::from_owner(form))).ok()
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<Reply, ExchangeError> {
    let shaken = Builder::new().max_buf_size(ANSWER_LIMIT).handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(|_| ExchangeError::Broken)?;
    // The answer may be read to its end after the connection has ended: only the answer ends this.
    let mut driven = pin!(async {
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    });
    tokio::select! {
        reply = reply(sender, request) => reply,
        never = &mut driven => match never {},
    }
}

async fn reply(
    mut sender: SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Reply, ExchangeError> {
    let response = sender.send_request(request).await.map_err(|_| ExchangeError::Broken)?;
    let status = response.status();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.map(str::to_owned);
    Ok(Reply { status, retry_after, body: body(response).await? })
}

async fn body(mut response: Response<Incoming>) -> Result<Zeroizing<Vec<u8>>, ExchangeError> {
    // As large as it ever gets from the start: growing would leave copies of the token behind.
    let mut body = Zeroizing::new(Vec::with_capacity(ANSWER_LIMIT));
    while let Some(frame) = response.frame().await {
        let frame = frame.map_err(|_| ExchangeError::Broken)?;
        let data = frame.data_ref().map_or(&[][..], |data| data);
        if body.len() + data.len() > ANSWER_LIMIT {
            return Err(ExchangeError::TooLarge);
        }
        body.extend_from_slice(data);
    }
    Ok(body)
}
