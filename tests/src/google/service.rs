//! A Google service: TLS, and 401 for whatever has no bearer token that it accepts.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::jwt::Jwt;
use super::token_endpoint::TokenEndpoint;
use crate::provider::{Authority, Identity};

/// A request that it was sent.
#[derive(Debug, Clone)]
pub struct Call {
    /// The host that it was for.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// Every credential that it carried: values of `authorization`, `x-goog-api-key` and `cookie`.
    pub credentials: Vec<String>,
    /// Whether it was accepted.
    pub accepted: bool,
}

impl Call {
    /// Its only credential, without `Bearer `. Panics where it has another number of them.
    #[must_use]
    #[track_caller]
    pub fn token(&self) -> &str {
        match self.credentials.as_slice() {
            [one] => one.strip_prefix("Bearer ").expect("a bearer token"),
            all => panic!("{} credentials", all.len()),
        }
    }
}

/// Says of a host and a token whether it is accepted there.
type Judge = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// A running service. It stops when dropped.
pub struct Service {
    address: SocketAddr,
    authority: Arc<Authority>,
    calls: Arc<Mutex<Vec<Call>>>,
    judge: Arc<Mutex<Judge>>,
    task: JoinHandle<()>,
}

impl Service {
    /// Accepts tokens that this endpoint gave out and that have not ended.
    pub async fn trusting(endpoint: &TokenEndpoint, hosts: &[&str]) -> Service {
        let authority = Arc::new(Authority::new("a Google service"));
        Service::trusting_under(&authority, endpoint, hosts).await
    }

    /// The same, with a certificate that this authority signs.
    pub async fn trusting_under(
        authority: &Arc<Authority>,
        endpoint: &TokenEndpoint,
        hosts: &[&str],
    ) -> Service {
        let service = Service::start(authority, hosts, Arc::new(|_, _| false)).await;
        service.trust(endpoint);
        service
    }

    /// Accepts nothing yet.
    pub async fn trusting_nobody(hosts: &[&str]) -> Service {
        Service::start(&Arc::new(Authority::new("a Google service")), hosts, Arc::new(|_, _| false)).await
    }

    /// Accepts from now on what this endpoint gives out, until it ends.
    pub fn trust(&self, endpoint: &TokenEndpoint) {
        let judge = endpoint.judge();
        *lock(&self.judge) = Arc::new(move |_, token| judge(token));
    }

    /// Accepts tokens that an account signed for the host of the request.
    pub async fn of_self_signed(hosts: &[&str]) -> Service {
        let is_for = |host: &str, jwt: &Jwt| {
            jwt.claim("aud") == format!("https://{host}/") && jwt.claim("iss") == jwt.claim("sub")
        };
        let judge: Judge =
            Arc::new(move |host, token| Jwt::verify(token).is_some_and(|jwt| is_for(host, &jwt)));
        Service::start(&Arc::new(Authority::new("a Google service")), hosts, judge).await
    }

    async fn start(authority: &Arc<Authority>, hosts: &[&str], judge: Judge) -> Service {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let tls = TlsAcceptor::from(authority.server_config(&names, Identity::Valid, &["h2", "http/1.1"]));
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let judge = Arc::new(Mutex::new(judge));
        let (log, judges) = (Arc::clone(&calls), Arc::clone(&judge));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, tls.clone(), Arc::clone(&judges), Arc::clone(&log)));
            }
        });
        Service { address, authority: Arc::clone(authority), calls, judge, task }
    }

    /// The port of 127.0.0.1 where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The certificate of its CA, PEM.
    #[must_use]
    pub fn ca(&self) -> &str {
        self.authority.pem()
    }

    /// Takes what it was sent so far.
    #[must_use]
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut lock(&self.calls))
    }

    /// The only call since the last look. Panics where there is another number of them.
    #[must_use]
    #[track_caller]
    pub fn only_call(&self) -> Call {
        let mut calls = self.take_calls();
        assert_eq!(calls.len(), 1, "the service received {} requests, not one", calls.len());
        calls.remove(0)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn connection(
    stream: TcpStream,
    tls: TlsAcceptor,
    judge: Arc<Mutex<Judge>>,
    log: Arc<Mutex<Vec<Call>>>,
) {
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(move |request| answer(request, Arc::clone(&judge), Arc::clone(&log)));
    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    // How a connection ends is the client's business.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    judge: Arc<Mutex<Judge>>,
    log: Arc<Mutex<Vec<Call>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = request.headers();
    let host = request.uri().authority().map(ToString::to_string);
    let host = host.or_else(|| headers.get("host").map(text)).unwrap_or_default();
    let carriers = ["authorization", "x-goog-api-key", "cookie"];
    let credentials: Vec<String> =
        carriers.iter().flat_map(|name| headers.get_all(*name)).map(text).collect();
    let judge = Judge::clone(&lock(&judge));
    let accepted = match credentials.as_slice() {
        [one] => one.strip_prefix("Bearer ").is_some_and(|token| judge(&host, token)),
        _ => false,
    };
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let _ = request.into_body().collect().await;
    lock(&log).push(Call { host, path, credentials, accepted });
    let (status, body) = if accepted {
        let content = json!({"role": "model", "parts": [{"text": "Hello!"}]});
        (200, json!({"candidates": [{"content": content, "finishReason": "STOP"}]}))
    } else {
        (401, json!({"error": {"code": 401, "status": "UNAUTHENTICATED"}}))
    };
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Full::new(Bytes::from(body.to_string()))).expect("a response"))
}
