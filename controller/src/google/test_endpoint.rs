//! A token endpoint on loopback that verifies assertions as Google does, or misbehaves as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::testing::verify;

/// What a request is answered with.
#[derive(Clone)]
pub(super) enum Answer {
    /// A token for assertions that this key signed, `invalid_grant` for others.
    Verified(&'static str),
    /// These bytes.
    Raw(String),
    /// These bytes again and again.
    Endless(&'static str),
    /// A byte now and then, for ever.
    Drip,
    /// Nothing, for ever.
    Silence,
    /// The end of the connection.
    Hangup,
}

/// A status line, headers and a body.
pub(super) fn response(status: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    Answer::Raw(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"))
}

/// The endpoint. It ends with its owner.
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    /// The root that its certificate is verified against, where it speaks TLS.
    pub(super) root: String,
    scheme: &'static str,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Endpoint {
    /// Gives one answer after the other, and the last of them for ever.
    pub(super) async fn start(answers: Vec<Answer>) -> Endpoint {
        Endpoint::with(None, answers).await
    }

    /// Over TLS, with a certificate for these names.
    pub(super) async fn start_tls(names: &[&str], answers: Vec<Answer>) -> Endpoint {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate =
            CertificateParams::new(names).expect("names").self_signed(&key).expect("a certificate");
        let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
        let config = config.with_single_cert(vec![certificate.der().clone()], private).expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut endpoint = Endpoint::with(Some(acceptor), answers).await;
        endpoint.root = certificate.pem();
        endpoint.scheme = "https";
        endpoint
    }

    async fn with(acceptor: Option<TlsAcceptor>, answers: Vec<Answer>) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, seen, acceptor) = (answers.clone(), seen.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, &answers, &seen).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => serve(stream, &answers, &seen).await,
                            Err(error) => Err(error),
                        },
                    }
                });
            }
        });
        Endpoint { address, root: String::new(), scheme: "http", requests, task }
    }

    pub(super) fn token_uri(&self) -> String {
        format!("{}://{}/token?a=b", self.scheme, self.address)
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: &[Answer],
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let request = request(&mut stream).await?;
    let index = {
        let mut seen = seen.lock().expect("no panic");
        seen.push(request.clone());
        seen.len() - 1
    };
    match answers.get(index).or(answers.last()) {
        None | Some(Answer::Hangup) => {}
        Some(Answer::Silence) => std::future::pending().await,
        Some(Answer::Raw(text)) => stream.write_all(text.as_bytes()).await?,
        Some(Answer::Endless(text)) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                stream.write_all(text.as_bytes()).await?;
            }
        }
        Some(Answer::Drip) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
        Some(Answer::Verified(key)) => stream.write_all(judge(&request, key, index).as_bytes()).await?,
    }
    stream.shutdown().await
}

async fn request(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8(request).expect("text"))
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| body.len() >= length)
}

/// Google's answer. The n-th token says so.
fn judge(request: &str, key: &str, n: usize) -> String {
    let assertion = request.rsplit_once("&assertion=").map_or("", |(_, assertion)| assertion);
    let (status, body) = match verify(assertion, key) {
        Ok(_) => (
            "200 OK",
            json!({"access_token": format!("ya29.canary-{n}"), "token_type": "Bearer", "expires_in": 3599}),
        ),
        Err(_) => (
            "400 Bad Request",
            json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}),
        ),
    };
    let body = body.to_string();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
