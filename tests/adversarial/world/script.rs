//! A provider that answers every request with bytes of a row's choice, whatever a server library makes of them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Duration, Instant, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::wire::contains;
use crate::wire::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, PREFACE, SETTINGS, decode,
};

/// What it answers, and so which protocol it speaks.
#[derive(Debug, Clone)]
pub(crate) enum Lines {
    /// HTTP/1.1: these bytes, then the connection ends.
    Http1(Vec<u8>),
    /// HTTP/2: these frames, on the stream of the request.
    Http2(Vec<Frame>),
}

impl Lines {
    pub(super) fn alpn(&self) -> &'static str {
        match self {
            Lines::Http1(_) => "http/1.1",
            Lines::Http2(_) => "h2",
        }
    }
}

/// The provider. It ends when dropped.
pub(crate) struct Script {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    lines: Mutex<Lines>,
    received: Mutex<Vec<u8>>,
}

impl Script {
    pub(super) async fn start(address: SocketAddr, tls: TlsAcceptor, lines: Lines) -> Script {
        let listener = bind(address).await;
        let shared = Arc::new(Shared { lines: Mutex::new(lines), received: Mutex::default() });
        let task = tokio::spawn(accept(listener, tls, Arc::clone(&shared)));
        Script { shared, task }
    }

    /// Answers so from the next request on. The protocol stays that of its start.
    pub(crate) fn say(&self, lines: Lines) {
        *lock(&self.shared.lines) = lines;
    }

    /// Takes what was received: of HTTP/1.1 every byte, of HTTP/2 header lines and bodies.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.shared.received))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens. The one before at this address may be a moment behind its drop.
async fn bind(address: SocketAddr) -> TcpListener {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => assert!(Instant::now() < end, "no listener at {address}: {error}"),
        }
        sleep(Duration::from_millis(5)).await;
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            let stream = tls.accept(stream).await.ok()?;
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => http2(stream, &shared).await,
                _ => http1(stream, &shared).await,
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn http1(mut stream: TlsStream<TcpStream>, shared: &Shared) -> Option<()> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        let before = request.len();
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
        lock(&shared.received).extend_from_slice(&request[before..]);
    }
    let Lines::Http1(bytes) = lock(&shared.lines).clone() else { return None };
    stream.write_all(&bytes).await.ok()?;
    stream.shutdown().await.ok()
}

/// Whether a request has come with its body.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let (head, body) = (String::from_utf8_lossy(&request[..end]).to_ascii_lowercase(), &request[end + 4..]);
    if head.contains("\r\ntransfer-encoding:") {
        return body.starts_with(b"0\r\n") || contains(body, b"\r\n0\r\n");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    body.len() >= length.and_then(|length| length.trim().parse().ok()).unwrap_or(0)
}

async fn http2(mut stream: TlsStream<TcpStream>, shared: &Shared) -> Option<()> {
    let mut preface = vec![0; PREFACE.len()];
    stream.read_exact(&mut preface).await.ok()?;
    // No dynamic table, which is not read here.
    stream.write_all(&Frame::new(SETTINGS, 0, 0, [0, 1, 0, 0, 0, 0]).bytes()).await.ok()?;
    stream.flush().await.ok()?;
    let (mut buffer, mut block) = (Vec::new(), Vec::new());
    loop {
        while let Some((frame, length)) = Frame::parse(&buffer) {
            buffer.drain(..length);
            note(&frame, &mut block, shared);
            // All of a request but its last frame is only noted: rows send no frame after END_STREAM but CONTINUATION.
            if [HEADERS, DATA].contains(&frame.kind) && frame.flags & END_STREAM != 0 {
                let Lines::Http2(frames) = lock(&shared.lines).clone() else { return None };
                for answer in frames {
                    stream.write_all(&Frame { stream: frame.stream, ..answer }.bytes()).await.ok()?;
                }
                stream.flush().await.ok()?;
            }
        }
        if stream.read_buf(&mut buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn note(frame: &Frame, block: &mut Vec<u8>, shared: &Shared) {
    match frame.kind {
        DATA => lock(&shared.received).extend_from_slice(frame.content()),
        HEADERS | CONTINUATION => {
            block.extend_from_slice(frame.content());
            if frame.flags & END_HEADERS != 0 {
                let fields = decode(&std::mem::take(block)).unwrap_or_default();
                let lines =
                    fields.iter().flat_map(|(name, value)| [name, &b": "[..], value, b"\r\n"].concat());
                lock(&shared.received).extend(lines);
            }
        }
        _ => {}
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
