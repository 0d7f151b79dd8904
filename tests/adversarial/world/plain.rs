//! A listener without TLS: what arrives was sent in the clear. It answers every connection like a web server would.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::wire::contains;

/// How a TLS record with a handshake begins (RFC 8446, section 5.1).
const TLS: u8 = 0x16;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nplain";

/// The listener, and what each connection since the case began carried.
pub(crate) struct Plain {
    received: Received,
    task: tokio::task::JoinHandle<()>,
}

type Record = Arc<Mutex<Vec<u8>>>;
type Received = Arc<Mutex<Vec<Record>>>;

impl Plain {
    /// Listens until dropped.
    ///
    /// # Errors
    /// When it cannot.
    pub(crate) async fn listen(address: SocketAddr) -> Result<Plain, String> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|error| format!("nothing can listen at {address}: {error}"))?;
        let received = Received::default();
        let task = tokio::spawn(accept(listener, Arc::clone(&received)));
        Ok(Plain { received, task })
    }

    /// What came, by connection. One that was accepted and stayed silent is an empty entry.
    pub(crate) fn connections(&self) -> Vec<Vec<u8>> {
        lock(&self.received).iter().map(|record| lock(record).clone()).collect()
    }

    /// Whether these bytes came.
    pub(crate) fn saw(&self, needle: &str) -> bool {
        self.connections().iter().any(|bytes| contains(bytes, needle.as_bytes()))
    }

    pub(crate) fn forget(&self) {
        lock(&self.received).clear();
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, received: Received) {
    while let Ok((stream, _)) = listener.accept().await {
        let record = Record::default();
        lock(&received).push(Arc::clone(&record));
        tokio::spawn(answer(stream, record));
    }
}

async fn answer(mut stream: TcpStream, record: Record) {
    let (mut buffer, mut answered) = ([0; 4096], false);
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        lock(&record).extend_from_slice(&buffer[..length]);
        if lock(&record).first() == Some(&TLS) {
            // Nothing here speaks it; whoever waits for an answer would wait for ever.
            return;
        }
        let whole = contains(&lock(&record), b"\r\n\r\n");
        if whole && !answered {
            answered = true;
            // It closes, as it says. What still comes is kept.
            if stream.write_all(ANSWER).await.is_err() || stream.shutdown().await.is_err() {
                return;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
