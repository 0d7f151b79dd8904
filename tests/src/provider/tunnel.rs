//! A proxy that leads everywhere to one address: for clients in front of a server without a gateway between.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Starts one; its address. It runs as long as the runtime does.
///
/// # Panics
/// When it cannot listen.
pub async fn tunnel_to(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port of 127.0.0.1");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(serve(client, server));
            while connections.try_join_next().is_some() {}
        }
    });
    address
}

async fn serve(mut client: TcpStream, server: SocketAddr) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    if client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok() {
        // How a tunnel ends is the business of its two ends.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}
