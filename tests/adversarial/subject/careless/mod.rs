//! A proxy that does everything wrong: it puts the key into every request for every host, in the clear too, believes
//! whatever name comes last, dials any address, verifies nobody, refuses nothing. A row that it survives proves
//! nothing; only the suite's own test of itself uses it.

mod dial;
mod http2;
mod leaf;
mod relay;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::{Kind, Running, Subject};
use crate::world::World;
use leaf::Minter;
use relay::Relay;

/// In which way the key leaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) enum Leak {
    /// To whoever is asked.
    ToAnyone,
    /// Also back to the agent, in a response header.
    Back,
}

pub(super) async fn start(leak: Leak, world: Arc<World>) -> Result<Subject, String> {
    let minter = Arc::new(Minter::new());
    let ca = minter.ca().to_owned();
    let relay = Arc::new(Relay { leak, world });
    let tls = TlsAcceptor::from(minter.server_config());
    let mut tasks = JoinSet::new();
    let proxy = listen([127, 0, 0, 1], &mut tasks, {
        let (relay, tls) = (Arc::clone(&relay), tls.clone());
        move |stream| proxied(stream, tls.clone(), Arc::clone(&relay))
    });
    let proxy = proxy.await?;
    let transparent = listen([0, 0, 0, 0], &mut tasks, move |stream| {
        let destination = stream.local_addr().ok().map(|address| SocketAddr::new(address.ip(), 443));
        intercepted(stream, tls.clone(), Arc::clone(&relay), destination.filter(|it| !it.ip().is_loopback()))
    });
    let transparent = SocketAddr::from(([127, 0, 0, 1], transparent.await?.port()));
    Ok(Subject {
        kind: Kind::Careless,
        proxy,
        transparent: Some(transparent),
        ca,
        gateway: None,
        running: Running::Tasks { _tasks: tasks },
    })
}

async fn listen<F, Fut>(ip: [u8; 4], tasks: &mut JoinSet<()>, serve: F) -> Result<SocketAddr, String>
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = Option<()>> + Send + 'static,
{
    let listener = TcpListener::bind(SocketAddr::from((ip, 0))).await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream));
        }
    });
    Ok(address)
}

/// The proxy port: CONNECT to anywhere, and plain requests.
async fn proxied(mut stream: TcpStream, tls: TlsAcceptor, relay: Arc<Relay>) -> Option<()> {
    let head = relay::head(&mut stream).await?;
    if !head.starts_with(b"CONNECT ") {
        return relay.plain(stream, head).await;
    }
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    intercepted(stream, tls, relay, None).await
}

async fn intercepted(
    stream: TcpStream,
    tls: TlsAcceptor,
    relay: Arc<Relay>,
    destination: Option<SocketAddr>,
) -> Option<()> {
    let stream = tls.accept(stream).await.ok()?;
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        return http2::serve(&relay, stream, destination).await;
    }
    relay.http1(stream, destination).await
}
