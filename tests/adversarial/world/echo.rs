//! A server that says what it is told to say first, then gives back every byte: what a tunnel carries when nobody looks
//! inside.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The server. It ends when dropped.
pub(crate) struct Echo {
    received: Arc<Mutex<Vec<u8>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Echo {
    /// Listens, and greets every connection.
    ///
    /// # Panics
    /// When nothing can listen there.
    pub(crate) async fn listen(address: SocketAddr, greeting: &'static str) -> Echo {
        let listener = TcpListener::bind(address).await.expect("an address to listen at");
        let received = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn({
            let received = Arc::clone(&received);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, greeting, Arc::clone(&received)));
                }
            }
        });
        Echo { received, task }
    }

    /// What all connections brought.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, greeting: &str, received: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4096];
    if stream.write_all(greeting.as_bytes()).await.is_err() {
        return;
    }
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        received.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..length]);
        if stream.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
