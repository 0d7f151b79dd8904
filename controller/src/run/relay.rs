//! From the network of the command to the gateway: each connection to the listening socket that was made inside is
//! carried to the gateway's proxy port outside.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections at once, where as many files may be open. Further ones wait in the listening socket.
const CONNECTIONS: usize = 1024;

/// How long to wait after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves the listening socket for as long as it is polled; connections go on until their ends close.
pub(super) async fn serve(listener: TcpListener, gateway: SocketAddr) {
    serve_at_once(at_once(getrlimit(Resource::Nofile).current), listener, gateway).await;
}

/// Each takes two files, and at least half of all are left for everything else.
fn at_once(files: Option<u64>) -> usize {
    let possible = files.map_or(CONNECTIONS, |files| usize::try_from(files / 4).unwrap_or(CONNECTIONS));
    possible.clamp(1, CONNECTIONS)
}

async fn serve_at_once(connections: usize, listener: TcpListener, gateway: SocketAddr) {
    let free = Arc::new(Semaphore::new(connections));
    let mut is_said = false;
    loop {
        if free.available_permits() == 0 && !is_said {
            is_said = true;
            tracing::error!(connections, "the command has all its connections to the gateway; others wait");
        }
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

    #[test]
    fn files_are_left_for_everything_else() {
        for (files, connections) in [(None, 1024), (Some(1_000_000), 1024), (Some(1024), 256), (Some(0), 1)] {
            assert_eq!(at_once(files), connections, "{files:?}");
        }
    }

    #[tokio::test]
    async fn what_is_too_much_waits_until_another_connection_ends() {
        let (gateway, at_gateway) = listener().await;
        let (inside, at_inside) = listener().await;
        tokio::spawn(serve_at_once(2, inside, at_gateway));
        let connect = || async { TcpStream::connect(at_inside).await.expect("a connection") };
        let (first, second, mut third) = (connect().await, connect().await, connect().await);
        third.write_all(b"third").await.expect("written");
        let (upstream, _) = gateway.accept().await.expect("the first");
        let _other = gateway.accept().await.expect("the second");
        let waited = tokio::time::timeout(Duration::from_millis(200), gateway.accept()).await;
        assert!(waited.is_err(), "a third at once");
        drop((first, upstream));
        let (mut upstream, _) = gateway.accept().await.expect("the third");
        let mut said = [0; 5];
        upstream.read_exact(&mut said).await.expect("read");
        assert_eq!(&said, b"third");
        drop(second);
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
