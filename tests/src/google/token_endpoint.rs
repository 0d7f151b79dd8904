//! A token endpoint: verifies assertions as Google does, counts exchanges, and misbehaves by path as it is told.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::jwt::Jwt;
use crate::provider::{Authority, Identity};

/// The audience that Google wants of every assertion.
const AUDIENCE: &str = "https://oauth2.googleapis.com/token";

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// What an assertion is answered with.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A token that lives so long, where the assertion is sound; else `invalid_grant`.
    Token(Duration),
    /// A status and a body.
    Status(u16, &'static str),
    /// Nothing, for ever.
    Silence,
}

/// A token that was given out.
#[derive(Debug, Clone)]
struct Given {
    token: String,
    ends: Instant,
}

#[derive(Default)]
struct State {
    answers: BTreeMap<String, Answer>,
    asked: usize,
    assertions: Vec<Jwt>,
    given: Vec<Given>,
}

/// A running token endpoint. It stops when dropped.
pub struct TokenEndpoint {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl TokenEndpoint {
    /// Starts one in clear on a free port of loopback.
    pub async fn start() -> TokenEndpoint {
        TokenEndpoint::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts one in clear at an address. Panics where that is taken.
    pub async fn start_at(address: SocketAddr) -> TokenEndpoint {
        TokenEndpoint::serve(address, None).await
    }

    /// Starts one whose certificate, for 127.0.0.1, this authority signs.
    pub async fn start_under(authority: &Authority) -> TokenEndpoint {
        let config = authority.server_config(&["127.0.0.1".to_owned()], Identity::Valid, &["http/1.1"]);
        TokenEndpoint::serve(SocketAddr::from(([127, 0, 0, 1], 0)), Some(TlsAcceptor::from(config))).await
    }

    async fn serve(address: SocketAddr, tls: Option<TlsAcceptor>) -> TokenEndpoint {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, tls) = (Arc::clone(&shared), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => connection(stream, state).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                connection(stream, state).await;
                            }
                        }
                    }
                });
            }
        });
        TokenEndpoint { address, scheme, state, task }
    }

    /// Its `token_uri`, with this path.
    #[must_use]
    pub fn uri(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// Answers what is asked for at this path so from now on. Else a token lives for an hour.
    pub fn answer(&self, path: &str, answer: Answer) {
        lock(&self.state).answers.insert(path.to_owned(), answer);
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> usize {
        lock(&self.state).asked
    }

    /// The sound assertions that it was sent.
    #[must_use]
    pub fn assertions(&self) -> Vec<Jwt> {
        lock(&self.state).assertions.clone()
    }

    /// Every token that was given out, in order.
    #[must_use]
    pub fn tokens(&self) -> Vec<String> {
        lock(&self.state).given.iter().map(|given| given.token.clone()).collect()
    }

    /// Says of a token whether it was given out and has not ended.
    pub(super) fn judge(&self) -> impl Fn(&str) -> bool + Send + Sync + 'static {
        let state = Arc::clone(&self.state);
        move |token| {
            lock(&state).given.iter().any(|given| given.token == token && Instant::now() < given.ends)
        }
    }
}

impl Drop for TokenEndpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request| exchange(request, Arc::clone(&state)));
    // A client that goes away early has its reasons.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn exchange(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let is_form = request.method() == "POST"
        && request.headers().get("content-type").is_some_and(|it| it == "application/x-www-form-urlencoded");
    let form = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let answer = {
        let mut state = lock(&state);
        state.asked += 1;
        state.answers.get(&path).cloned().unwrap_or(Answer::Token(Duration::from_secs(3600)))
    };
    Ok(match answer {
        Answer::Silence => std::future::pending().await,
        Answer::Status(status, body) => response(status, body),
        Answer::Token(life) => {
            let form: BTreeMap<_, _> = form_urlencoded::parse(&form).into_owned().collect();
            let granted = is_form && form.get("grant_type").is_some_and(|grant| grant == GRANT);
            match form.get("assertion").filter(|_| granted).and_then(|assertion| sound(assertion)) {
                None => response(400, r#"{"error": "invalid_grant", "error_description": "Invalid JWT."}"#),
                Some(assertion) => response(200, &give(&mut lock(&state), assertion, life)),
            }
        }
    })
}

/// An assertion as Google wants it.
fn sound(assertion: &str) -> Option<Jwt> {
    let jwt = Jwt::verify(assertion)?;
    let is_sound =
        jwt.claim("aud") == AUDIENCE && !jwt.claim("iss").is_empty() && !jwt.claim("scope").is_empty();
    is_sound.then_some(jwt)
}

fn give(state: &mut State, assertion: Jwt, life: Duration) -> String {
    let token = format!("ya29.given-{}-{:04}-Xb8rV2mQ", assertion.key.id(), state.given.len());
    state.assertions.push(assertion);
    state.given.push(Given { token: token.clone(), ends: Instant::now() + life });
    json!({"access_token": token, "token_type": "Bearer", "expires_in": life.as_secs()}).to_string()
}

fn response(status: u16, body: &str) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).expect("a response")
}
