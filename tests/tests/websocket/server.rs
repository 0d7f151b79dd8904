//! A provider that opens WebSockets, or does not: over HTTP/1.1 alone, or beside an HTTP/2 without RFC 8441.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{SinkExt as _, StreamExt as _};
use harness::provider::Scripted;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

/// What it does with an upgrade.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// Opens it, with `realtime` where that was offered, and sends every message back.
    Messages,
    /// Opens it, and sends every byte back.
    Bytes,
    /// Refuses it with this status, and gives the credential back in a header.
    Refuse(u16),
}

/// A request as it stood on the wire, or was read from HTTP/2.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The protocol that ALPN chose.
    pub(crate) alpn: String,
    /// Method, path and version.
    pub(crate) line: String,
    headers: Vec<(String, String)>,
}

impl Seen {
    /// Every value of a header.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// Whether this stands anywhere in it.
    pub(crate) fn mentions(&self, needle: &str) -> bool {
        self.line.contains(needle)
            || self.headers.iter().any(|(name, value)| name.contains(needle) || value.contains(needle))
    }

    fn offers(&self, subprotocol: &str) -> bool {
        self.values("sec-websocket-protocol")
            .iter()
            .any(|line| line.split(',').any(|member| member.trim() == subprotocol))
    }
}

#[derive(Clone)]
struct Shared {
    answer: Arc<Mutex<Answer>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A running provider. It stops when dropped.
pub(crate) struct Server {
    scripted: Scripted,
    shared: Shared,
}

impl Server {
    /// Starts one for these names.
    pub(crate) async fn start(names: &[&str], alpn: &[&'static str]) -> Server {
        let shared = Shared { answer: Arc::new(Mutex::new(Answer::Messages)), seen: Arc::default() };
        let serve = {
            let shared = shared.clone();
            move |stream| connection(stream, shared.clone())
        };
        let scripted = Scripted::start(names, alpn, serve).await.expect("a provider");
        Server { scripted, shared }
    }

    pub(crate) fn port(&self) -> u16 {
        self.scripted.port()
    }

    pub(crate) fn ca(&self) -> &str {
        self.scripted.ca()
    }

    /// Does this from the next upgrade on.
    pub(crate) fn answers(&self, answer: Answer) {
        *lock(&self.shared.answer) = answer;
    }

    /// Takes what it received.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut lock(&self.shared.seen))
    }

    /// Takes the only request that it received. Panics when there are none or several.
    #[track_caller]
    pub(crate) fn only(&self) -> Seen {
        let mut all = self.take();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }
}

async fn connection(stream: TlsStream<TcpStream>, shared: Shared) {
    // How a connection ends is the other side's business.
    let _ = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => http2(stream, shared).await,
        _ => http1(stream, shared).await,
    };
}

/// HTTP/2 as most servers speak it: they do not announce that CONNECT may be extended.
async fn http2(stream: TlsStream<TcpStream>, shared: Shared) -> Option<()> {
    let mut connection = h2::server::handshake(stream).await.ok()?;
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let line = format!("{} {} HTTP/2", request.method(), request.uri().path());
        lock(&shared.seen).push(Seen { alpn: "h2".into(), line, headers });
        let _ = respond.send_response(http::Response::new(()), true);
    }
    None
}

async fn http1(mut stream: TlsStream<TcpStream>, shared: Shared) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let seen = read_head(&buffer.drain(..end).collect::<Vec<u8>>());
        lock(&shared.seen).push(seen.clone());
        let answer = *lock(&shared.answer);
        match answer {
            _ if seen.values("upgrade").is_empty() => {
                send(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await?
            }
            Answer::Refuse(status) => send(&mut stream, &refusal(status, &seen)).await?,
            Answer::Messages => {
                send(&mut stream, &switching(&seen)).await?;
                return messages(stream, buffer).await;
            }
            Answer::Bytes => {
                send(&mut stream, &switching(&seen)).await?;
                stream.write_all(&buffer).await.ok()?;
                let (mut read, mut write) = tokio::io::split(stream);
                return tokio::io::copy(&mut read, &mut write).await.ok().map(drop);
            }
        }
    }
}

fn read_head(bytes: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.trim_end().split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    Seen { alpn: "http/1.1".into(), line, headers }
}

/// The answer to the key of RFC 6455, section 1.3, which every agent here sends.
fn switching(seen: &Seen) -> String {
    let chosen = if seen.offers("realtime") { "Sec-WebSocket-Protocol: realtime\r\n" } else { "" };
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{chosen}\r\n"
    )
}

fn refusal(status: u16, seen: &Seen) -> String {
    let credential = seen.values("authorization").join(", ");
    let body = r#"{"error":"no"}"#;
    format!(
        "HTTP/1.1 {status} No\r\nx-echo: {credential}\r\nwww-authenticate: Bearer\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn send(stream: &mut TlsStream<TcpStream>, text: &str) -> Option<()> {
    stream.write_all(text.as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

async fn messages(stream: TlsStream<TcpStream>, early: Vec<u8>) -> Option<()> {
    let mut socket = WebSocketStream::from_partially_read(stream, early, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() || message.is_binary() {
            socket.send(message).await.ok()?;
        }
    }
    None
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
