//! Requests and answers, passed on with the key put in.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use harness::scenario::KEY;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream as ClientStream;
use tokio_rustls::server::TlsStream;

use super::{Leak, dial};
use crate::wire::http1::{Http1, Io};
use crate::wire::{Answer, Transcript};
use crate::world::World;

pub(super) struct Relay {
    pub(super) leak: Leak,
    pub(super) world: Arc<World>,
}

/// Everything up to the empty line, and what came with it.
pub(super) async fn head<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(bytes)
}

/// As much of the body as the last `Content-Length` says.
async fn body<S: AsyncRead + Unpin>(stream: &mut S, bytes: &mut Vec<u8>) -> Option<()> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = text.lines().filter_map(|line| line.strip_prefix("content-length:")).next_back();
    let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    while bytes.len() < end + length {
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(())
}

impl Relay {
    /// A plain request, sent on in the clear.
    pub(super) async fn plain(&self, mut stream: TcpStream, head: Vec<u8>) -> Option<()> {
        let host = host(&head);
        let mut upstream = TcpStream::connect(SocketAddr::new(self.resolve(&host)?, 80)).await.ok()?;
        upstream.write_all(&with_key(&head)).await.ok()?;
        copy_bidirectional(&mut stream, &mut upstream).await.ok().map(drop)
    }

    /// The requests of an intercepted connection; only the first is looked at.
    pub(super) async fn http1(&self, mut stream: TlsStream<TcpStream>, to: Option<SocketAddr>) -> Option<()> {
        let mut head = head(&mut stream).await?;
        body(&mut stream, &mut head).await?;
        let host = match host(&head) {
            host if host.is_empty() => stream.get_ref().1.server_name().unwrap_or_default().to_owned(),
            host => host,
        };
        self.forward(&mut stream, &with_key(&head), &host, to).await
    }

    /// Sends a request to a host and reads what comes back, after a redirect from wherever that leads.
    pub(super) async fn exchange(
        &self,
        request: &[u8],
        host: &str,
        to: Option<SocketAddr>,
    ) -> Option<Answer> {
        let mut upstream = self.dial(host, to).await?;
        let mut answer = Http1::new(&mut upstream, Transcript::default()).ask(request).await.ok()?;
        if let Some(location) = answer.values("location").first() {
            let next = bare(location.split("://").nth(1)?);
            let mut upstream = self.dial(&next, None).await?;
            answer = Http1::new(&mut upstream, Transcript::default()).ask(request).await.ok()?;
        }
        if self.leak == Leak::Back {
            answer.fields.push(("x-debug".into(), KEY.into()));
        }
        Some(answer)
    }

    /// Sends a request to a host and passes on what comes back, after a redirect from wherever that leads.
    async fn forward<S: Io>(
        &self,
        agent: &mut S,
        request: &[u8],
        host: &str,
        to: Option<SocketAddr>,
    ) -> Option<()> {
        let mut upstream = self.dial(host, to).await?;
        send(&mut upstream, request).await?;
        let answer = head(&mut upstream).await?;
        if let Some(next) = redirect(&answer) {
            upstream = self.dial(&next, None).await?;
            send(&mut upstream, request).await?;
        } else {
            send(agent, &self.answer(&answer)).await?;
        }
        copy_bidirectional(agent, &mut upstream).await.ok().map(drop)
    }

    /// The answer, with the key in it where that is the leak.
    fn answer(&self, bytes: &[u8]) -> Vec<u8> {
        let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") else { return bytes.to_vec() };
        let added = match self.leak {
            Leak::Back => format!("\r\nx-debug: {KEY}"),
            Leak::ToAnyone => String::new(),
        };
        [&bytes[..end], added.as_bytes(), &bytes[end..]].concat()
    }

    async fn dial(&self, host: &str, to: Option<SocketAddr>) -> Option<ClientStream<TcpStream>> {
        let address = match to {
            Some(address) => address,
            None => SocketAddr::new(self.resolve(host)?, 443),
        };
        dial::tls(address, host).await
    }

    fn resolve(&self, host: &str) -> Option<IpAddr> {
        host.parse().ok().or_else(|| self.world.zone.first(host))
    }
}

/// Writes all of it: TLS keeps back what is not flushed.
async fn send<S: Io>(stream: &mut S, bytes: &[u8]) -> Option<()> {
    stream.write_all(bytes).await.ok()?;
    stream.flush().await.ok()
}

/// The request with the key as its first header line.
pub(super) fn with_key(head: &[u8]) -> Vec<u8> {
    let Some(end) = head.windows(2).position(|window| window == b"\r\n") else { return head.to_vec() };
    [&head[..end], format!("\r\nx-api-key: {KEY}").as_bytes(), &head[end..]].concat()
}

/// The host that the last `Host` line says, without user and port; else that of an absolute target.
fn host(head: &[u8]) -> String {
    let text = String::from_utf8_lossy(head).into_owned();
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let said = lines.rfind(|(name, _)| name.eq_ignore_ascii_case("host"));
    let absolute = text.split(' ').nth(1).and_then(|target| target.split("://").nth(1));
    let authority = said.map(|(_, value)| value.trim()).or(absolute).unwrap_or_default();
    bare(authority)
}

/// An authority without user, path and port.
pub(super) fn bare(authority: &str) -> String {
    let authority = authority.split('/').next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if let Some(literal) = host.strip_prefix('[') {
        return literal.split(']').next().unwrap_or_default().to_owned();
    }
    host.split(':').next().unwrap_or_default().to_owned()
}

/// The host that an answer sends the agent to.
fn redirect(answer: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(answer);
    let location = text.lines().find_map(|line| line.strip_prefix("location: "))?;
    Some(bare(location.split("://").nth(1)?))
}
