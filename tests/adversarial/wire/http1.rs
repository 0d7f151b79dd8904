//! HTTP/1.1 by hand: any bytes go out; answers come in one by one, or everything until the end.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::{Answer, Cut, Transcript};

/// How long a row waits for an answer unless it says otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A stream of bytes in both directions.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Io for S {}

/// One connection.
pub(crate) struct Http1<S> {
    stream: S,
    buffer: Vec<u8>,
    seen: Transcript,
    patience: Duration,
}

impl<S: Io> Http1<S> {
    /// Speaks over an open connection; what is received goes into the transcript.
    pub(crate) fn new(stream: S, seen: Transcript) -> Self {
        Http1 { stream, buffer: Vec::new(), seen, patience: PATIENCE }
    }

    /// Waits this long for an answer unless the row says otherwise.
    pub(crate) fn waiting(self, patience: Duration) -> Self {
        Http1 { patience, ..self }
    }

    /// The connection itself. Bytes read beyond an answer are lost.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    /// Sends bytes as they are. That the other side no longer reads is seen when its answer is.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        if self.stream.write_all(bytes).await.is_ok() {
            let _ = self.stream.flush().await;
        }
    }

    /// Sends bytes as they are and reads one whole answer.
    pub(crate) async fn ask(&mut self, bytes: &[u8]) -> Result<Answer, Cut> {
        self.write(bytes).await;
        self.answer(!bytes.starts_with(b"HEAD ")).await
    }

    /// Reads the next final answer.
    pub(crate) async fn answer(&mut self, has_body: bool) -> Result<Answer, Cut> {
        self.answer_within(self.patience, has_body).await
    }

    /// Reads the next final answer, for as long as this.
    pub(crate) async fn answer_within(&mut self, patience: Duration, has_body: bool) -> Result<Answer, Cut> {
        let end = Instant::now() + patience;
        loop {
            let head = self.until(b"\r\n\r\n", end).await?;
            let mut answer = parse(&head)?;
            if answer.status < 200 && answer.status != 101 {
                continue;
            }
            if has_body && !matches!(answer.status, 101 | 204 | 304) {
                answer.body = self.body(&answer, end).await?;
            }
            return Ok(answer);
        }
    }

    /// Every whole answer until the connection ends, or nothing came for `patience`; and whether it ended.
    pub(crate) async fn answers(&mut self, patience: Duration) -> (Vec<Answer>, bool) {
        let mut answers = Vec::new();
        loop {
            match self.answer_within(patience, true).await {
                Ok(answer) => answers.push(answer),
                Err(Cut::Silent) => return (answers, false),
                Err(_) => return (answers, true),
            }
        }
    }

    /// Everything that comes until the connection ends, or nothing came for `patience`; and whether it ended.
    pub(crate) async fn rest(&mut self, patience: Duration) -> (Vec<u8>, bool) {
        loop {
            match self.more(Instant::now() + patience).await {
                Ok(()) => {}
                Err(cut) => return (std::mem::take(&mut self.buffer), cut != Cut::Silent),
            }
        }
    }

    async fn body(&mut self, answer: &Answer, end: Instant) -> Result<Vec<u8>, Cut> {
        if answer.values("transfer-encoding").iter().any(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.chunks(end).await;
        }
        if let Some(length) = answer.values("content-length").first() {
            let length: usize = length.parse().map_err(|_| Cut::Malformed("a content-length".into()))?;
            return self.exactly(length, end).await;
        }
        while self.more(end).await.is_ok() {}
        Ok(std::mem::take(&mut self.buffer))
    }

    async fn chunks(&mut self, end: Instant) -> Result<Vec<u8>, Cut> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8_lossy(&self.until(b"\r\n", end).await?).into_owned();
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| Cut::Malformed("a chunk".into()))?;
            if size == 0 {
                while self.until(b"\r\n", end).await?.len() > 2 {}
                return Ok(body);
            }
            body.extend(self.exactly(size, end).await?);
            self.exactly(2, end).await?;
        }
    }

    async fn until(&mut self, mark: &[u8], end: Instant) -> Result<Vec<u8>, Cut> {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|window| window == mark) {
                return Ok(self.buffer.drain(..at + mark.len()).collect());
            }
            self.more(end).await?;
        }
    }

    async fn exactly(&mut self, length: usize, end: Instant) -> Result<Vec<u8>, Cut> {
        while self.buffer.len() < length {
            self.more(end).await?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    async fn more(&mut self, end: Instant) -> Result<(), Cut> {
        let before = self.buffer.len();
        let read = timeout_at(end, self.stream.read_buf(&mut self.buffer)).await.map_err(|_| Cut::Silent)?;
        match read {
            Ok(0) => Err(Cut::Closed("the connection ended".into())),
            Err(error) => Err(Cut::Closed(error.to_string())),
            Ok(_) => {
                self.seen.add(&self.buffer[before..]);
                Ok(())
            }
        }
    }
}

fn parse(head: &[u8]) -> Result<Answer, Cut> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    let status = status.and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| Cut::Malformed(format!("status line {first:?}")))?;
    let fields = lines.filter_map(|line| line.split_once(':'));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    Ok(Answer { status, fields, body: Vec::new() })
}
