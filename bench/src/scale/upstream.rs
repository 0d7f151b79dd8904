//! The provider of these benchmarks: TLS, both protocols, and it forgets what it answered, so that its memory stays
//! flat through millions of requests. Every answer says in `x-generation` which generation of a key came with the
//! request (`none` where none of ours did).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use harness::provider::{Authority, Identity};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::tenants;

/// Request header that asks for a streamed answer: how many events, one each [`GAP`].
pub(crate) const EVENTS: &str = "x-events";

/// Silence between the events of a stream.
pub(crate) const GAP: Duration = Duration::from_millis(100);

/// A running upstream. It stops when dropped.
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The certificate of its CA, PEM.
    pub(crate) ca: String,
    task: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    /// Starts one with a certificate for these names. Panics when it cannot listen.
    pub(crate) async fn start(names: &[String]) -> Upstream {
        let authority = Authority::new("upstream of the benchmark");
        let tls = TlsAcceptor::from(authority.server_config(names, Identity::Valid, &["h2", "http/1.1"]));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let ca = authority.pem().to_owned();
        Upstream { address, ca, task: tokio::spawn(accept(listener, tls)) }
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let tls = tls.clone();
        tokio::spawn(async move {
            // A peer that goes away early has its reasons.
            let Ok(stream) = tls.accept(stream).await else { return };
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Events>, Infallible> {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let generation = text("x-api-key").and_then(tenants::generation);
    let generation = generation.map_or_else(|| "none".to_owned(), |generation| generation.to_string());
    let events = text(EVENTS).and_then(|count| count.parse().ok());
    // Read to its end: an answer that comes first makes the agent's protocol stack stop half-way.
    let _ = request.into_body().collect().await;
    let body = events.map_or_else(Events::one, Events::many);
    let response = Response::builder().header("x-generation", generation).body(body);
    Ok(response.expect("a response"))
}

/// An answer: events as they come.
struct Events(mpsc::Receiver<Bytes>);

impl Events {
    fn one() -> Events {
        let (sender, receiver) = mpsc::channel(1);
        // There is room for one.
        let _ = sender.try_send(Bytes::from_static(b"{\"type\":\"message\"}\n"));
        Events(receiver)
    }

    fn many(count: usize) -> Events {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            for _ in 0..count {
                if sender.send(Bytes::from_static(b"data: {\"type\":\"ping\"}\n\n")).await.is_err() {
                    return;
                }
                tokio::time::sleep(GAP).await;
            }
        });
        Events(receiver)
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}
