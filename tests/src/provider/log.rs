//! What a provider keeps: the requests as parsed, and the bytes of every connection as they came out of TLS.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// One request, as the provider understood it.
#[derive(Debug, Clone, Serialize)]
pub struct Received {
    /// Number of its connection, from 0 in order of acceptance.
    pub connection: usize,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// Method.
    pub method: String,
    /// `:authority`, or the `host` header of HTTP/1.1.
    pub authority: String,
    /// Path and query.
    pub path: String,
    /// Header lines. HTTP/1.1: in order and spelling of the wire. HTTP/2: lower case, equal names together.
    pub headers: Vec<(String, String)>,
    /// Trailer lines, names in lower case.
    pub trailers: Vec<(String, String)>,
    /// Body, without transfer coding.
    #[serde(serialize_with = "as_text")]
    pub body: Vec<u8>,
}

impl Received {
    /// Every value of a header, whatever the case of its name.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// Names of all headers, lower case, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect()
    }

    /// Whether these bytes stand anywhere in path, headers, trailers or body.
    #[must_use]
    pub fn mentions(&self, needle: &str) -> bool {
        let fields = self.headers.iter().chain(&self.trailers);
        self.path.contains(needle)
            || self.authority.contains(needle)
            || fields.into_iter().any(|(name, value)| name.contains(needle) || value.contains(needle))
            || self.body.windows(needle.len().max(1)).any(|window| window == needle.as_bytes())
    }
}

/// UTF-8 as it is, other bytes as `base64:…`.
fn as_text<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => serializer.serialize_str(text),
        Err(_) => serializer.serialize_str(&format!("base64:{}", STANDARD.encode(bytes))),
    }
}

/// One TLS connection whose handshake succeeded.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// Server name of the handshake.
    pub sni: Option<String>,
    /// Protocol chosen by ALPN.
    pub alpn: Option<String>,
    /// Every byte received so far, decrypted.
    pub bytes: Vec<u8>,
    /// Whether the connection has ended.
    pub closed: bool,
}

/// Requests and connections, shared by all tasks of a provider.
#[derive(Default)]
pub(super) struct Log {
    requests: Mutex<Vec<Received>>,
    connections: Mutex<Vec<Arc<Mutex<Connection>>>>,
    accepted: std::sync::atomic::AtomicUsize,
}

/// Locks, whatever a task that panicked left behind: the data are records, valid after every write.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    pub(super) fn requests(&self) -> Vec<Received> {
        lock(&self.requests).clone()
    }

    pub(super) fn take_requests(&self) -> Vec<Received> {
        std::mem::take(&mut lock(&self.requests))
    }

    pub(super) fn connections(&self) -> Vec<Connection> {
        lock(&self.connections).iter().map(|connection| lock(connection).clone()).collect()
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(std::sync::atomic::Ordering::SeqCst)
    }

    pub(super) fn count_accepted(&self) {
        self.accepted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }

    pub(super) fn add_request(&self, request: Received) {
        lock(&self.requests).push(request);
    }

    /// Registers a connection; the number and the place to write its bytes to.
    pub(super) fn add_connection(&self, connection: Connection) -> (usize, Arc<Mutex<Connection>>) {
        let shared = Arc::new(Mutex::new(connection));
        let mut all = lock(&self.connections);
        all.push(Arc::clone(&shared));
        (all.len() - 1, shared)
    }
}
