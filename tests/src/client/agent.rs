//! An agent in front of a gateway: which port it uses, which protocol it speaks, what it says where.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::connect::connect;
use super::failure::Failure;
use super::http1::Http1;
use super::http2::Http2;
use super::message::{Request, Response};
use super::tls::{Handshake, handshake};

/// How an agent reaches the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By CONNECT to this target (`host:port`) through the proxy port.
    Proxy(SocketAddr, String),
    /// By TLS straight to this address: the transparent port, or a provider itself.
    Direct(SocketAddr),
}

/// Which HTTP an agent speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.1.
    One,
    /// HTTP/2.
    Two,
}

impl Http {
    fn alpn(self) -> Vec<&'static str> {
        match self {
            Http::One => vec!["http/1.1"],
            Http::Two => vec!["h2"],
        }
    }
}

/// An agent. It opens a fresh connection for each [`Agent::send`].
#[derive(Debug, Clone)]
pub struct Agent {
    /// How it reaches the gateway.
    pub way: Way,
    /// Which HTTP it speaks.
    pub http: Http,
    /// What it says in its handshake.
    pub handshake: Handshake,
}

impl Agent {
    /// One that wants `host`, and says so wherever a name is said.
    #[must_use]
    pub fn new(way: Way, http: Http, host: &str, ca: &str) -> Agent {
        let handshake = Handshake { sni: Some(host.into()), alpn: http.alpn(), ca: ca.into() };
        Agent { way, http, handshake }
    }

    /// Sends this server name instead.
    #[must_use]
    pub fn sni(mut self, sni: Option<&str>) -> Agent {
        self.handshake.sni = sni.map(str::to_owned);
        self
    }

    /// Opens its connection, up to and with the TLS handshake.
    ///
    /// # Errors
    /// Any failure before a request can be sent.
    pub async fn open(&self) -> Result<TlsStream<TcpStream>, Failure> {
        let stream = match &self.way {
            Way::Proxy(proxy, target) => connect(*proxy, target).await?,
            Way::Direct(address) => TcpStream::connect(address).await.map_err(Failure::Connect)?,
        };
        handshake(stream, &self.handshake).await
    }

    /// Opens an HTTP/1.1 connection.
    ///
    /// # Errors
    /// Any failure before a request can be sent.
    pub async fn open_http1(&self) -> Result<Http1<TlsStream<TcpStream>>, Failure> {
        Ok(Http1::new(self.open().await?))
    }

    /// Opens an HTTP/2 connection.
    ///
    /// # Errors
    /// Any failure before a request can be sent.
    pub async fn open_http2(&self) -> Result<Http2, Failure> {
        Http2::new(self.open().await?).await
    }

    /// Sends one request on a fresh connection and reads its whole answer.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn send(&self, request: &Request) -> Result<Response, Failure> {
        match self.http {
            Http::One => self.open_http1().await?.send(&request.to_http1()).await,
            Http::Two => self.open_http2().await?.send(request).await,
        }
    }
}

/// The four combinations of port and protocol, each wanting `host`, with a name for messages.
#[must_use]
pub fn every_way(proxy: SocketAddr, transparent: SocketAddr, host: &str, ca: &str) -> Vec<(String, Agent)> {
    let ways = [Way::Proxy(proxy, format!("{host}:443")), Way::Direct(transparent)];
    let with = |way: &Way, http| (format!("{way:?} {http:?}"), Agent::new(way.clone(), http, host, ca));
    ways.iter().flat_map(|way| [with(way, Http::One), with(way, Http::Two)]).collect()
}
