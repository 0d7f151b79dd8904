//! Bytes in, bytes out: HTTP/1.1, HTTP/2 and TLS handshakes that say what a client library would tidy up.

mod answer;
pub(crate) mod hello;
pub(crate) mod http1;
pub(crate) mod http2;
mod request;

use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use answer::{Answer, Cut, Reply};
pub(crate) use request::{Field, Request};

/// Whether `needle` stands anywhere in `bytes`.
pub(crate) fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len().max(1)).any(|window| window == needle)
}

/// Everything that the agents of one case received, as it reads without compression.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transcript(Arc<Mutex<Vec<u8>>>);

impl Transcript {
    /// Adds what was received. What arrives in pieces is found whole, as long as the connections do not interleave.
    pub(crate) fn add(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }

    /// Whether these bytes were received.
    pub(crate) fn mentions(&self, needle: &str) -> bool {
        contains(&self.0.lock().unwrap_or_else(PoisonError::into_inner), needle.as_bytes())
    }
}
