//! HTTP/1.1 by hand: any bytes go out, one answer comes in, whole or part by part.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::failure::Failure;
use super::message::Response;

/// How long an agent waits for the next byte, seconds. Tests of silence are shorter.
const PATIENCE: u64 = 120;

/// A stream of bytes in both directions.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Io for S {}

/// One connection; requests follow each other on it.
pub struct Http1<S> {
    stream: S,
    buffer: BytesMut,
    /// How the body of the current answer ends.
    framing: Framing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Left(usize),
    Chunked,
    UntilClose,
}

impl<S: Io> Http1<S> {
    /// Speaks over an open connection.
    pub fn new(stream: S) -> Self {
        Http1 { stream, buffer: BytesMut::new(), framing: Framing::Left(0) }
    }

    /// The connection itself. Bytes already read beyond an answer are lost.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// [`Failure::Closed`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        written.await.map_err(|error| Failure::Closed(error.to_string()))
    }

    /// Sends bytes as they are and reads one whole answer.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<Response, Failure> {
        self.write(bytes).await?;
        let method = String::from_utf8_lossy(bytes.split(|byte| *byte == b' ').next().unwrap_or_default());
        let head = self.head().await?;
        self.rest(head, &method).await
    }

    /// Reads the head of the next final answer; its body is empty until [`Http1::part`] or [`Http1::rest`] reads it.
    ///
    /// # Errors
    /// When no whole head comes.
    pub async fn head(&mut self) -> Result<Response, Failure> {
        loop {
            let head = self.read_until(b"\r\n\r\n").await?;
            let response = parse_head(&head)?;
            self.framing = framing(&response)?;
            if response.status >= 200 || response.status == 101 {
                return Ok(response);
            }
        }
    }

    /// Reads what remains of an answer to a request of this method.
    ///
    /// # Errors
    /// When the body does not come to its end.
    pub async fn rest(&mut self, mut head: Response, method: &str) -> Result<Response, Failure> {
        let mut body = BytesMut::new();
        let has_body = method != "HEAD" && !matches!(head.status, 101 | 204 | 304);
        while has_body && let Some(part) = self.part().await? {
            body.extend_from_slice(&part);
        }
        head.body = body.freeze();
        Ok(head)
    }

    /// The next part of the body as it arrives; None at its end.
    ///
    /// # Errors
    /// When the body does not come to its end.
    pub async fn part(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.framing {
            Framing::Left(0) => Ok(None),
            Framing::Left(left) => {
                self.fill(1).await?;
                let taken = self.buffer.len().min(left);
                self.framing = Framing::Left(left - taken);
                Ok(Some(self.buffer.split_to(taken).freeze()))
            }
            Framing::Chunked => self.chunk().await,
            Framing::UntilClose => {
                let open = !self.buffer.is_empty() || self.read_more().await? > 0;
                Ok(open.then(|| self.buffer.split().freeze()))
            }
        }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let line = self.read_until(b"\r\n").await?;
        let text = String::from_utf8_lossy(&line);
        let size = text.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16)
            .map_err(|_| Failure::Malformed(format!("chunk size {size:?}")))?;
        if size == 0 {
            while self.read_until(b"\r\n").await?.len() > 2 {}
            self.framing = Framing::Left(0);
            return Ok(None);
        }
        self.fill(size + 2).await?;
        let chunk = self.buffer.split_to(size).freeze();
        let _ = self.buffer.split_to(2);
        Ok(Some(chunk))
    }

    async fn read_until(&mut self, end: &[u8]) -> Result<Bytes, Failure> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Ok(self.buffer.split_to(at + end.len()).freeze());
            }
            self.fill(self.buffer.len() + 1).await?;
        }
    }

    async fn fill(&mut self, wanted: usize) -> Result<(), Failure> {
        while self.buffer.len() < wanted {
            if self.read_more().await? == 0 {
                return Err(Failure::Closed(format!(
                    "the connection ended after {} bytes",
                    self.buffer.len()
                )));
            }
        }
        Ok(())
    }

    async fn read_more(&mut self) -> Result<usize, Failure> {
        let read = timeout(Duration::from_secs(PATIENCE), self.stream.read_buf(&mut self.buffer)).await;
        let read = read.map_err(|_| Failure::Silent(PATIENCE))?;
        read.map_err(|error| Failure::Closed(error.to_string()))
    }
}

fn parse_head(bytes: &[u8]) -> Result<Response, Failure> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    let status = status.and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| Failure::Malformed(format!("status line {status_line:?}")))?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    Ok(Response { status, headers, body: Bytes::new() })
}

fn framing(response: &Response) -> Result<Framing, Failure> {
    if response.values("transfer-encoding").iter().any(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Ok(Framing::Chunked);
    }
    match response.values("content-length").as_slice() {
        [] if response.status == 200 || response.status >= 300 => Ok(Framing::UntilClose),
        [] => Ok(Framing::Left(0)),
        [length] => {
            length.parse().map(Framing::Left).map_err(|_| Failure::Malformed(format!("length {length:?}")))
        }
        several => Err(Failure::Malformed(format!("{} lengths", several.len()))),
    }
}
