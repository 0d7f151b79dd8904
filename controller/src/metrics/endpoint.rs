//! The HTTP server: bounded in connections, in time and in what it reads, on a thread of its own.
//!
//! A flood of requests costs that thread and nothing else: the controller and each Envoy are asked once a second at most.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hyper::header::HOST;
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::pages::Pages;
use super::reading::Reading;

/// Someone who wants to know how everything stands.
pub(crate) type Question = oneshot::Sender<Reading>;

/// How many connections there are at once. One more ends the oldest, so that many slow ones do not keep Prometheus out.
const CONNECTIONS: usize = 64;

/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(5);

/// How long a connection lasts, which is one request: as long as Prometheus waits by default.
const CONNECTION: Duration = Duration::from_secs(10);

/// How many bytes a request's head may have, and how many headers.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;

/// How long to wait where the system has no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Why it cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    /// The address is taken, or is not this machine's.
    #[error(
        "--metrics-listen {address} cannot be used ({cause}): choose another address, or port 0 for a free one"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        cause: io::Error,
    },
    /// The system has no room for a thread.
    #[error("the metrics cannot be served")]
    Thread(#[source] io::Error),
}

/// A running server. It ends when this is dropped.
pub(crate) struct Endpoint {
    address: SocketAddr,
    _stop: oneshot::Sender<Infallible>,
}

impl Endpoint {
    /// Serves what is answered to questions.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub(crate) fn start(
        address: SocketAddr,
        questions: mpsc::Sender<Question>,
    ) -> Result<Endpoint, EndpointError> {
        let (listener, address) =
            listen(address).map_err(|cause| EndpointError::Listen { address, cause })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(EndpointError::Thread)?;
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    served = serve(listener, address, Arc::new(Pages::new(questions))) => {
                        if let Err(error) = served {
                            tracing::error!(%error, "the metrics are no longer served");
                        }
                    }
                    _ = stopped => {}
                }
            });
        };
        thread::Builder::new().name("metrics".to_owned()).spawn(serve).map_err(EndpointError::Thread)?;
        Ok(Endpoint { address, _stop: stop })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn listen(address: SocketAddr) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn serve(listener: std::net::TcpListener, address: SocketAddr, pages: Arc<Pages>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut open: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "metrics");
                sleep(PAUSE).await;
                continue;
            }
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(tokio::spawn(connection(stream, address, Arc::clone(&pages))));
    }
}

async fn connection(stream: TcpStream, address: SocketAddr, pages: Arc<Pages>) {
    let service = service_fn(move |request| {
        let pages = Arc::clone(&pages);
        async move { Ok::<_, Infallible>(answer(&request, address, &pages).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever is too slow, or speaks no HTTP, sees that it ended.
    if let Ok(Err(error)) = timeout(CONNECTION, served).await {
        tracing::debug!(%error, "metrics");
    }
}

async fn answer(request: &Request<Incoming>, address: SocketAddr, pages: &Pages) -> Response<String> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    // Behind `0.0.0.0` only whoever asks knows by which address it does.
    let authority = host.map_or_else(|| address.to_string(), |host| host.to_string());
    pages.answer(request.method(), request.uri().path(), request.headers(), &authority).await
}
