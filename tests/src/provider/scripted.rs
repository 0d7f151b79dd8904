//! A provider whose every byte a test writes: for answers that a server library would not send.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::{Authority, Identity};

/// A running scripted provider. It stops when dropped.
pub struct Scripted {
    address: SocketAddr,
    authority: Authority,
    task: JoinHandle<()>,
}

impl Scripted {
    /// Starts one for `names` that speaks `alpn`, and runs `serve` on every connection that was established.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start<F, Served>(
        names: &[&str],
        alpn: &[&'static str],
        serve: F,
    ) -> std::io::Result<Scripted>
    where
        F: Fn(TlsStream<TcpStream>) -> Served + Send + Sync + Clone + 'static,
        Served: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let authority = Authority::new(&format!("scripted provider at {address}"));
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let acceptor = TlsAcceptor::from(authority.server_config(&names, Identity::Valid, alpn));
        let task = tokio::spawn(accept(listener, acceptor, serve));
        Ok(Scripted { address, authority, task })
    }

    /// The port of 127.0.0.1 where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of its CA, PEM.
    #[must_use]
    pub fn ca(&self) -> &str {
        self.authority.pem()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<F, Served>(listener: TcpListener, acceptor: TlsAcceptor, serve: F)
where
    F: Fn(TlsStream<TcpStream>) -> Served + Send + Sync + Clone + 'static,
    Served: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, serve) = (acceptor.clone(), serve.clone());
        connections.spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
