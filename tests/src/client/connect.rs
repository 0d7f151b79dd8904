//! The proxy port: CONNECT for tunnels, plain requests for what no tunnel hides.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::failure::Failure;
use super::http1::Http1;
use super::message::Response;

/// Opens a tunnel to `target` (`host:port`) through the proxy.
///
/// # Errors
/// [`Failure::Refused`] with the proxy's answer when that is not 200.
pub async fn connect(proxy: SocketAddr, target: &str) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(proxy).await.map_err(Failure::Connect)?;
    let mut http = Http1::new(stream);
    http.write(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes()).await?;
    let head = http.head().await?;
    if head.status == 200 {
        return Ok(http.into_inner());
    }
    Err(Failure::Refused(http.rest(head, "CONNECT").await?))
}

/// Sends raw bytes to the proxy port without a tunnel, and reads one answer.
///
/// # Errors
/// When no whole answer comes.
pub async fn plain(proxy: SocketAddr, bytes: &[u8]) -> Result<Response, Failure> {
    let stream = TcpStream::connect(proxy).await.map_err(Failure::Connect)?;
    Http1::new(stream).send(bytes).await
}
