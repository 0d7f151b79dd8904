//! From the network of the command to the gateway: each connection to the listening socket that was made inside is
//! carried to the gateway's proxy port outside.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections at once. Further ones wait in the listening socket.
const CONNECTIONS: usize = 1024;

/// How long to wait after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves the listening socket for as long as it is polled; connections go on until their ends close.
pub(super) async fn serve(listener: TcpListener, gateway: SocketAddr) {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // It is never closed.
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((agent, _)) => {
                tokio::spawn(async move {
                    if let Err(error) = relay(agent, gateway).await {
                        tracing::debug!(%error, "a connection to the gateway broke");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection to the gateway can be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Carries both directions, each until its own end: a client may stop sending and still read.
async fn relay(mut agent: TcpStream, gateway: SocketAddr) -> io::Result<()> {
    let mut upstream = TcpStream::connect(gateway).await?;
    agent.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    copy_bidirectional(&mut agent, &mut upstream).await.map(drop)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        (listener, address)
    }

    #[tokio::test]
    async fn a_side_that_has_said_all_still_hears_the_other() {
        let (gateway, at_gateway) = listener().await;
        let (inside, at_inside) = listener().await;
        tokio::spawn(serve(inside, at_gateway));
        let mut agent = TcpStream::connect(at_inside).await.expect("a connection");
        let (mut upstream, _) = gateway.accept().await.expect("a connection");
        agent.write_all(b"question").await.expect("written");
        agent.shutdown().await.expect("half closed");
        let mut question = String::new();
        upstream.read_to_string(&mut question).await.expect("read to its end");
        upstream.write_all(b"answer").await.expect("written");
        drop(upstream);
        let mut answer = String::new();
        agent.read_to_string(&mut answer).await.expect("read to its end");
        assert_eq!((question.as_str(), answer.as_str()), ("question", "answer"));
    }

    #[tokio::test]
    async fn without_a_gateway_the_connection_is_closed() {
        let (gone, at_gateway) = listener().await;
        drop(gone);
        let (inside, at_inside) = listener().await;
        tokio::spawn(serve(inside, at_gateway));
        let mut agent = TcpStream::connect(at_inside).await.expect("a connection");
        assert_eq!(agent.read(&mut [0; 8]).await.expect("the end"), 0);
    }
}
