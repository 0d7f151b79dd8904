//! Serves the page to browsers of this machine: its files, the rows as server-sent events, one request, the state.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::access::Access;
use super::store::{News, Store};
use super::{AskState, assets};

/// Connections at a time; further ones wait. A browser has six for each of its windows at most.
const CONNECTIONS: usize = 64;

/// How long a head may take.
const HEAD: Duration = Duration::from_secs(10);

/// Bytes that are read ahead of a request at most.
const BUFFER: usize = 32 << 10;

/// How long a stream of events is silent at most: a browser that is gone is noticed by it.
const SILENCE: Duration = Duration::from_secs(15);

/// A browser that takes nothing for so long is gone.
const STUCK: Duration = Duration::from_secs(30);

/// How long the state may take.
const STATE: Duration = Duration::from_secs(10);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Sent with every answer. Nothing is loaded from elsewhere, nothing in the page is script, and no text becomes markup.
const HEADERS: [(&str, &str); 8] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("cache-control", "no-store"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
];

type Body = BoxBody<Bytes, Infallible>;

/// What is served, and to whom.
pub(super) struct Page {
    access: Access,
    store: Arc<Store>,
    state: AskState,
}

impl Page {
    pub(super) fn new(access: Access, store: Arc<Store>, state: AskState) -> Page {
        Page { access, store, state }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let mut response = match self.access.judge(method, uri.path(), headers) {
            Ok(asked) => self.asked(asked, headers).await,
            Err(status) => refusal(status),
        };
        for (name, value) in HEADERS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Ok(response)
    }

    async fn asked(&self, asked: &str, headers: &HeaderMap) -> Response<Body> {
        if let Some(asset) = assets::find(asked) {
            return of(asset.kind, Bytes::from_static(asset.bytes));
        }
        match asked.split_once('/') {
            None if asked == "events" => self.events(headers),
            None if asked == "state" => match timeout(STATE, (self.state)()).await.ok().flatten() {
                Some(state) => of("application/json", state.into()),
                None => refusal(StatusCode::SERVICE_UNAVAILABLE),
            },
            Some(("requests", id)) => {
                let whole = id.parse().ok().and_then(|id| self.store.whole(id));
                whole.map_or_else(
                    || refusal(StatusCode::NOT_FOUND),
                    |whole| of("application/json", Bytes::copy_from_slice(whole.as_bytes())),
                )
            }
            _ => refusal(StatusCode::NOT_FOUND),
        }
    }

    /// Rows from where the browser was, and then as they come.
    fn events(&self, headers: &HeaderMap) -> Response<Body> {
        let seen = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()?.parse().ok()).unwrap_or(0);
        // One event waits for a browser that is slow; what it misses meanwhile stays in the store, or goes.
        let (sender, events) = mpsc::channel(1);
        tokio::spawn(tell(Arc::clone(&self.store), seen, sender));
        let frames = tokio_stream::StreamExt::map(ReceiverStream::new(events), |event| {
            Ok::<_, Infallible>(Frame::data(event))
        });
        let mut response = Response::new(BoxBody::new(StreamBody::new(frames)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        response
    }
}

async fn tell(store: Arc<Store>, mut seen: u64, to: mpsc::Sender<Bytes>) {
    let mut changes = store.changes();
    let mut told = None;
    loop {
        changes.mark_unchanged();
        let news = store.after(seen);
        let same = news.rows.is_empty() && told == Some(news.counts);
        let event = if same { Bytes::from_static(b":\n\n") } else { event(&news) };
        (seen, told) = (news.last, Some(news.counts));
        if !matches!(timeout(STUCK, to.send(event)).await, Ok(Ok(()))) {
            return;
        }
        if news.rows.is_empty() {
            tokio::select! {
                // What comes in quick succession goes out together.
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(SILENCE) => {}
                () = to.closed() => return,
            }
        }
    }
}

fn event(news: &News) -> Bytes {
    let counts = serde_json::to_string(&news.counts).unwrap_or_else(|_| "{}".to_owned());
    format!(
        "id: {}\nevent: rows\ndata: {{\"counts\":{counts},\"rows\":[{}]}}\n\n",
        news.last,
        news.rows.join(",")
    )
    .into()
}

fn of(kind: &'static str, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(bytes).boxed());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn refusal(status: StatusCode) -> Response<Body> {
    let mut response = of("text/plain; charset=utf-8", format!("{status}\n").into());
    *response.status_mut() = status;
    response
}

/// Accepts connections until it is dropped with the task.
pub(super) async fn serve(listener: TcpListener, page: Arc<Page>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let page = Arc::clone(&page);
                tokio::spawn(async move {
                    let answered = service_fn(|request| page.answer(request));
                    let mut http = http1::Builder::new();
                    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(BUFFER);
                    if let Err(error) = http.serve_connection(TokioIo::new(stream), answered).await {
                        tracing::debug!(%error, "a connection of a browser");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the inspector's port");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
