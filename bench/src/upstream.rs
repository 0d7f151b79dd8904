//! The provider that gateways are measured in front of: real TLS, and an answer that costs it next to nothing.
//!
//! The answer has the head of a real one (twelve headers). The query says what else is wanted: [`NOTE_KEY`], [`EVENTS`]
//! or [`HOLD`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use harness::provider::{Authority, Identity};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How the query of a request begins whose credentials are noted.
pub const NOTE_KEY: &str = "note-key";
/// Query of a request that is answered by three events of a stream, [`EVENT_GAP`] apart.
pub const EVENTS: &str = "events";
/// Query of a request whose answer begins and does not end.
pub const HOLD: &str = "hold";

/// Silence between two events.
pub const EVENT_GAP: Duration = Duration::from_millis(20);

/// The body of the usual answer.
const BODY: &str = r#"{"id":"msg_013Zva2CMHLNnjNjJKqJ2EFu","type":"message","role":"assistant","model":"claude-test","content":[{"type":"text","text":"Hello! How can I help you today?"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":12,"output_tokens":10}}"#;
const EVENT: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n";

type Answer = Either<Full<Bytes>, Channel<Bytes>>;

/// A running provider. It stops when dropped.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    /// The certificate of its CA, PEM.
    pub ca: String,
    noted: Arc<Mutex<Option<Noted>>>,
    task: JoinHandle<()>,
}

/// Where a request carried credentials.
#[derive(Debug, Clone, Default)]
pub struct Noted {
    /// `x-api-key`.
    pub key: String,
    /// `authorization`.
    pub authorization: String,
    /// The query.
    pub query: String,
}

impl Upstream {
    /// Starts one with a certificate for these names that offers these protocols. Panics when it cannot listen.
    pub async fn start(names: &[String], alpn: &[&'static str]) -> Upstream {
        let authority = Authority::new("provider of the benchmarks");
        let tls = TlsAcceptor::from(authority.server_config(names, Identity::Valid, alpn));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let noted = Arc::default();
        let task = tokio::spawn(accept(listener, tls, Arc::clone(&noted)));
        Upstream { address, ca: authority.pem().to_owned(), noted, task }
    }

    /// What the last request with [`NOTE_KEY`] carried, taken.
    #[must_use]
    pub fn noted(&self) -> Option<Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, noted: Arc<Mutex<Option<Noted>>>) {
    let head = Arc::new(head());
    // Whoever listens no longer is dropped, and its connections with it.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, noted, head) = (tls.clone(), Arc::clone(&noted), Arc::clone(&head));
        let _ = stream.set_nodelay(true);
        connections.spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(move |request| answer(request, Arc::clone(&head), Arc::clone(&noted)));
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http2().max_concurrent_streams(5000);
            // A connection that ends in an error has ended.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    head: Arc<HeaderMap>,
    noted: Arc<Mutex<Option<Noted>>>,
) -> Result<Response<Answer>, Infallible> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    if query.starts_with(NOTE_KEY) {
        let header =
            |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (key, authorization) = (header("x-api-key").to_owned(), header("authorization").to_owned());
        let now = Noted { key, authorization, query: query.clone() };
        *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }
    // What cannot be read is answered all the same.
    let _ = request.into_body().collect().await;
    let body = match query.as_str() {
        EVENTS => Either::Right(events(3)),
        HOLD => Either::Right(events(usize::MAX)),
        _ => Either::Left(Full::new(Bytes::from_static(BODY.as_bytes()))),
    };
    let mut response = Response::new(body);
    response.headers_mut().clone_from(&head);
    if let Either::Right(_) = response.body() {
        response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
    }
    Ok(response)
}

/// A body of this many events; one without end keeps silent after its first.
fn events(count: usize) -> Channel<Bytes> {
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        for number in 0..count {
            match (number, count) {
                (0, _) => {}
                (_, usize::MAX) => std::future::pending().await,
                _ => tokio::time::sleep(EVENT_GAP).await,
            }
            if sender.send_data(Bytes::from_static(EVENT.as_bytes())).await.is_err() {
                return;
            }
        }
    });
    body
}

/// Eleven headers; the server adds `date`, and `content-length` where there is one.
fn head() -> HeaderMap {
    let headers = [
        ("content-type", "application/json"),
        ("anthropic-ratelimit-requests-limit", "4000"),
        ("anthropic-ratelimit-requests-remaining", "3999"),
        ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:00Z"),
        ("request-id", "req_011CSHoEeqs5C35K2UUqR7Fy"),
        ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
        ("anthropic-organization-id", "7e3c1c4e-3e7c-4a6c-9a0e-5c7f0ff2a8f6"),
        ("server", "cloudflare"),
        ("x-robots-tag", "none"),
        ("cf-cache-status", "DYNAMIC"),
    ];
    headers
        .into_iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}
