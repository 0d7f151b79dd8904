//! Requests at a steady rate, whatever the answers do: latency counts from when a request was due, so that a stall
//! shows in every request that it delayed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use harness::client::{Agent, Failure, Http, Http1, Http2, Request, Response};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

/// What an agent sends where the key would be.
const PLACEHOLDER: &str = "clrk-injected-by-proxy";

/// An open connection of either protocol.
pub(crate) enum Connection {
    /// HTTP/1.1.
    One(Box<Http1<TlsStream<TcpStream>>>),
    /// HTTP/2.
    Two(Http2),
}

impl Connection {
    /// Opens one.
    ///
    /// # Errors
    /// Any failure before a request can be sent.
    pub(crate) async fn open(agent: &Agent) -> Result<Connection, Failure> {
        match agent.http {
            Http::One => agent.open_http1().await.map(|connection| Connection::One(Box::new(connection))),
            Http::Two => agent.open_http2().await.map(Connection::Two),
        }
    }

    /// Sends a request and reads its whole answer.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub(crate) async fn send(&mut self, request: &Request) -> Result<Response, Failure> {
        match self {
            Connection::One(connection) => connection.send(&request.to_http1()).await,
            Connection::Two(connection) => connection.send(request).await,
        }
    }
}

/// A request as agents send it: with fourteen header lines, the placeholder among them.
#[must_use]
pub(crate) fn request(host: &str) -> Request {
    Request::messages().authority(host).headers(&[
        ("x-api-key", PLACEHOLDER),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate"),
        ("accept-language", "*"),
        ("anthropic-version", "2023-06-01"),
        ("user-agent", "Anthropic/Python 0.60.0"),
        ("x-stainless-arch", "x64"),
        ("x-stainless-async", "false"),
        ("x-stainless-lang", "python"),
        ("x-stainless-os", "Linux"),
        ("x-stainless-package-version", "0.60.0"),
        ("x-stainless-retry-count", "0"),
        ("x-stainless-runtime", "CPython"),
    ])
}

/// The generation of the key that came with a request, by its answer; `None` where none did.
#[must_use]
pub(crate) fn generation(answer: &Response) -> Option<usize> {
    answer.values("x-generation").first()?.parse().ok()
}

/// What became of one request.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// When it was due.
    pub(crate) due: Instant,
    /// From then to the end of its answer.
    pub(crate) latency: Duration,
    /// Why it failed, where it did.
    pub(crate) failure: Option<String>,
}

/// Requests that go on until [`Load::stop`].
pub(crate) struct Load {
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts one connection for each agent, each with a request every `period`, shifted against each other.
    #[must_use]
    pub(crate) fn start(agents: &[Agent], period: Duration) -> Load {
        let (samples, stop) = (Arc::<Mutex<Vec<Sample>>>::default(), Arc::<AtomicBool>::default());
        let many = u32::try_from(agents.len().max(1)).unwrap_or(1);
        let first = tokio::time::Instant::now() + Duration::from_millis(20);
        let workers = agents.iter().zip(0..).map(|(agent, index)| {
            let start = first + period / many * index;
            tokio::spawn(worker(agent.clone(), start, period, samples.clone(), stop.clone()))
        });
        let workers = workers.collect();
        Load { samples, stop, workers }
    }

    /// Takes all samples so far.
    #[must_use]
    pub(crate) fn take(&self) -> Vec<Sample> {
        std::mem::take(&mut *self.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends it, and returns what was not taken.
    pub(crate) async fn stop(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::SeqCst);
        for worker in self.workers {
            worker.await.expect("no panic");
        }
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *samples)
    }
}

async fn worker(
    agent: Agent,
    start: tokio::time::Instant,
    period: Duration,
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: Arc<AtomicBool>,
) {
    let request = request(agent.handshake.sni.as_deref().unwrap_or_default());
    let mut ticks = tokio::time::interval_at(start, period);
    let mut connection = None;
    while !stop.load(Ordering::SeqCst) {
        let due = ticks.tick().await.into_std();
        let failure = send(&agent, &mut connection, &request).await.err();
        let sample = Sample { due, latency: due.elapsed(), failure };
        samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
    }
}

/// Sends over the connection, which is opened anew after a failure.
async fn send(agent: &Agent, connection: &mut Option<Connection>, request: &Request) -> Result<(), String> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Connection::open(agent).await.map_err(|failure| format!("{failure:?}"))?,
    };
    let answer = open.send(request).await.map_err(|failure| format!("{failure:?}"))?;
    match (answer.status, generation(&answer)) {
        (200, Some(_)) => {
            *connection = Some(open);
            Ok(())
        }
        (200, None) => Err("answered without a credential".to_owned()),
        (status, _) => Err(format!("status {status}, {}", answer.reason())),
    }
}
