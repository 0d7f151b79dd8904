//! Requests with bodies of any size and framing, sent while the answer may already be on its way.

use bytes::Bytes;
use tokio::io::{AsyncWriteExt as _, join, sink, split};

use super::agent::{Agent, Http};
use super::failure::Failure;
use super::http1::Http1;
use super::http2::Http2;
use super::message::{Request, Response};

/// How much is written at once: no power of two, so that pieces meet no buffer's edge.
const PIECE: usize = 15_013;

/// Whether the head says how long the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// By `content-length`.
    Announced,
    /// HTTP/1.1 sends chunks, HTTP/2 just ends.
    Unknown,
}

/// A request with its body.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Its head; a body in it is sent too.
    pub request: Request,
    /// Whether its head says how long the body is.
    pub length: Length,
    /// Trailer lines; in HTTP/1.1 only after chunks.
    pub trailers: Vec<(&'static str, &'static str)>,
}

impl Upload {
    /// A request, announced or not.
    #[must_use]
    pub fn new(request: Request, length: Length) -> Upload {
        Upload { request, length, trailers: Vec::new() }
    }

    /// Adds a trailer line.
    #[must_use]
    pub fn trailer(mut self, name: &'static str, value: &'static str) -> Upload {
        self.trailers.push((name, value));
        self
    }

    /// The head in HTTP/1.1.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        Request { body: Vec::new(), ..self.announced() }.to_http1()
    }

    /// Sends it on a fresh connection and reads its whole answer, which may come before all of it is sent.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn send(&self, agent: &Agent) -> Result<Response, Failure> {
        match agent.http {
            Http::One => self.send_http1(agent).await,
            Http::Two => self.send_http2(agent).await,
        }
    }

    fn announced(&self) -> Request {
        match self.length {
            Length::Announced => {
                self.request.clone().header("content-length", &self.request.body.len().to_string())
            }
            Length::Unknown => self.request.clone(),
        }
    }

    async fn send_http1(&self, agent: &Agent) -> Result<Response, Failure> {
        let (read, mut write) = split(agent.open().await?);
        let bytes = self.to_http1();
        let sending = tokio::spawn(async move {
            for piece in bytes.chunks(PIECE) {
                // That nobody reads any more is seen by the answer, or by that there is none.
                if write.write_all(piece).await.is_err() || write.flush().await.is_err() {
                    break;
                }
            }
            write
        });
        let mut http = Http1::new(join(read, sink()));
        let head = http.head().await?;
        let answer = http.rest(head, &self.request.method).await;
        sending.abort();
        answer
    }

    fn to_http1(&self) -> Vec<u8> {
        if self.length == Length::Announced {
            return [self.head(), self.request.body.clone()].concat();
        }
        let chunked = Request { body: Vec::new(), ..self.request.clone() };
        let mut bytes = chunked.header("transfer-encoding", "chunked").to_http1();
        for piece in self.request.body.chunks(PIECE - 7) {
            bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n");
        for (name, value) in &self.trailers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    async fn send_http2(&self, agent: &Agent) -> Result<Response, Failure> {
        let (sender, connection) = h2::client::handshake(agent.open().await?).await.map_err(closed)?;
        let driver = tokio::spawn(connection);
        let answer = self.over(sender).await;
        driver.abort();
        answer
    }

    /// Sends it over a connection that somebody drives, and reads its whole answer.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn over(&self, sender: h2::client::SendRequest<Bytes>) -> Result<Response, Failure> {
        let mut sender = sender.ready().await.map_err(closed)?;
        let last = self.trailers.is_empty();
        let empty = self.request.body.is_empty();
        let head = http2_head(&self.announced());
        let (answer, mut stream) = sender.send_request(head, empty && last).map_err(closed)?;
        let pieces: Vec<_> = self.request.body.chunks(PIECE).map(Bytes::copy_from_slice).collect();
        let count = pieces.len();
        for (number, piece) in pieces.into_iter().enumerate() {
            // That the stream was reset is seen by the answer.
            let _ = stream.send_data(piece, last && number + 1 == count);
        }
        if !last {
            let fields = self.trailers.iter().map(|(name, value)| (name.parse(), value.parse()));
            let fields = fields.map(|(name, value)| (name.expect("a name"), value.expect("a value")));
            let _ = stream.send_trailers(fields.collect::<http::HeaderMap>());
        }
        let (head, mut body) = answer.await.map_err(closed)?.into_parts();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let mut whole = Vec::new();
        while let Some(part) = Http2::part(&mut body).await? {
            whole.extend_from_slice(&part);
        }
        Ok(Response { status: head.status.as_u16(), headers, body: whole.into() })
    }
}

/// The head of a request in HTTP/2.
///
/// # Panics
/// When it is none that the library takes.
#[must_use]
pub fn http2_head(request: &Request) -> http::Request<()> {
    let uri = format!("https://{}{}", request.authority, request.path);
    let builder = http::Request::builder().method(request.method.as_str()).uri(uri);
    let lines = request.headers.iter();
    let builder = lines.fold(builder, |head, (name, value)| head.header(name.to_ascii_lowercase(), value));
    builder.body(()).expect("a head")
}

fn closed(error: h2::Error) -> Failure {
    Failure::Closed(error.to_string())
}
