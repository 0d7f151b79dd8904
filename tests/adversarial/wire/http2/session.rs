//! A connection: reads frames as they come, keeps what belongs to each stream, acknowledges what must be.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::frame::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE,
};
use super::hpack::{decode, encode};
use crate::wire::http1::{Io, PATIENCE};
use crate::wire::{Answer, Cut, Field, Request, Transcript};

/// What a client says first (RFC 9113, section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// No dynamic table, no push, a window that no answer here fills.
const SETTINGS_PAYLOAD: [u8; 18] = [0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 4, 0x10, 0, 0, 0];

/// One connection.
pub(crate) struct Session<S> {
    stream: S,
    buffer: Vec<u8>,
    streams: BTreeMap<u32, Stream>,
    /// The header block under way: its stream, whether it ends the stream, its bytes so far.
    block: Option<(u32, bool, Vec<u8>)>,
    goaway: Option<u32>,
    closed: Option<String>,
    next: u32,
    seen: Transcript,
}

/// What came for a stream.
#[derive(Debug, Clone, Default)]
struct Stream {
    answer: Answer,
    ended: bool,
    reset: Option<u32>,
}

impl<S: Io> Session<S> {
    /// Sends the preface and our settings.
    pub(crate) async fn start(stream: S, seen: Transcript) -> Session<S> {
        let mut session = Session {
            stream,
            buffer: Vec::new(),
            streams: BTreeMap::new(),
            block: None,
            goaway: None,
            closed: None,
            next: 1,
            seen,
        };
        let settings = Frame::new(SETTINGS, 0, 0, SETTINGS_PAYLOAD).bytes();
        let window = Frame::new(WINDOW_UPDATE, 0, 0, 0x0fff_0000u32.to_be_bytes()).bytes();
        session.write(&[PREFACE, &settings, &window].concat()).await;
        session
    }

    /// Sends bytes as they are. That the other side no longer reads is seen when its answer is.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        if self.stream.write_all(bytes).await.is_ok() {
            let _ = self.stream.flush().await;
        }
    }

    /// Sends frames in one piece.
    pub(crate) async fn send(&mut self, frames: &[Frame]) {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        self.write(&bytes).await;
    }

    /// The number of the next stream, for frames that a row writes itself.
    pub(crate) fn new_stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Opens a stream with exactly these fields, and perhaps ends it.
    pub(crate) async fn open(&mut self, fields: &[Field], end: bool) -> u32 {
        let (stream, block) = (self.new_stream(), encode(fields));
        let mut frames: Vec<_> =
            block.chunks(16_384).map(|chunk| Frame::new(CONTINUATION, 0, stream, chunk)).collect();
        if let Some(first) = frames.first_mut() {
            (first.kind, first.flags) = (HEADERS, if end { END_STREAM } else { 0 });
        }
        if let Some(last) = frames.last_mut() {
            last.flags |= END_HEADERS;
        }
        self.send(&frames).await;
        stream
    }

    /// Sends a request and returns the number of its stream.
    pub(crate) async fn request(&mut self, request: &Request) -> u32 {
        let (has_body, has_trailers) = (!request.body.is_empty(), !request.trailers.is_empty());
        let stream = self.open(&request.to_http2(), !has_body && !has_trailers).await;
        let mut frames = Vec::new();
        let chunks = request.body.chunks(16_384);
        let last = chunks.len().saturating_sub(1);
        for (number, chunk) in chunks.enumerate() {
            let end = if number == last && !has_trailers { END_STREAM } else { 0 };
            frames.push(Frame::new(DATA, end, stream, chunk));
        }
        if has_trailers {
            frames.push(Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, encode(&request.trailers)));
        }
        self.send(&frames).await;
        stream
    }

    /// Sends a request and reads its whole answer.
    pub(crate) async fn ask(&mut self, request: &Request) -> Result<Answer, Cut> {
        let stream = self.request(request).await;
        self.answer(stream).await
    }

    /// Reads the whole answer of a stream.
    pub(crate) async fn answer(&mut self, stream: u32) -> Result<Answer, Cut> {
        self.answer_within(PATIENCE, stream).await
    }

    /// Reads the whole answer of a stream, for as long as this.
    pub(crate) async fn answer_within(&mut self, patience: Duration, stream: u32) -> Result<Answer, Cut> {
        let end = Instant::now() + patience;
        loop {
            if let Some(known) = self.streams.get(&stream) {
                if known.ended {
                    return Ok(known.answer.clone());
                }
                if let Some(code) = known.reset {
                    return Err(Cut::Reset(code));
                }
            }
            match (&self.closed, self.goaway) {
                // An error ends everything; after a plain GOAWAY what was asked may still be answered.
                (None, Some(code @ 1..)) | (Some(_), Some(code)) => return Err(Cut::GoAway(code)),
                (Some(reason), None) => return Err(Cut::Closed(reason.clone())),
                (None, _) => self.more(end).await?,
            }
        }
    }

    /// Reads until the connection is given up: it ended, or GOAWAY with an error came. Whether that was within
    /// `patience`, and the code of the GOAWAY.
    pub(crate) async fn ended(&mut self, patience: Duration) -> (bool, Option<u32>) {
        let end = Instant::now() + patience;
        let given_up =
            |session: &Self| session.closed.is_some() || session.goaway.is_some_and(|code| code != 0);
        while !given_up(self) && self.more(end).await.is_ok() {}
        (given_up(self), self.goaway)
    }

    async fn more(&mut self, end: Instant) -> Result<(), Cut> {
        match timeout_at(end, self.stream.read_buf(&mut self.buffer)).await {
            Err(_) => return Err(Cut::Silent),
            Ok(Ok(0)) => self.closed = Some("the connection ended".into()),
            Ok(Err(error)) => self.closed = Some(error.to_string()),
            Ok(Ok(_)) => {}
        }
        while let Some((frame, length)) = Frame::parse(&self.buffer) {
            self.buffer.drain(..length);
            self.take(&frame).await?;
        }
        Ok(())
    }

    async fn take(&mut self, frame: &Frame) -> Result<(), Cut> {
        match frame.kind {
            SETTINGS if frame.flags & END_STREAM == 0 => {
                self.send(&[Frame::new(SETTINGS, END_STREAM, 0, [])]).await;
            }
            PING if frame.flags & END_STREAM == 0 => {
                self.send(&[Frame::new(PING, END_STREAM, 0, frame.payload.clone())]).await;
            }
            GOAWAY => self.goaway = Some(frame.number(4)),
            RST_STREAM => self.streams.entry(frame.stream).or_default().reset = Some(frame.number(0)),
            DATA => self.data(frame).await,
            HEADERS => {
                self.block = Some((frame.stream, frame.flags & END_STREAM != 0, frame.content().to_vec()));
                self.headers(frame.flags)?;
            }
            CONTINUATION => {
                if let Some((_, _, block)) = &mut self.block {
                    block.extend(&frame.payload);
                }
                self.headers(frame.flags)?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn data(&mut self, frame: &Frame) {
        self.seen.add(frame.content());
        let stream = self.streams.entry(frame.stream).or_default();
        stream.answer.body.extend(frame.content());
        stream.ended |= frame.flags & END_STREAM != 0;
    }

    fn headers(&mut self, flags: u8) -> Result<(), Cut> {
        if flags & END_HEADERS == 0 {
            return Ok(());
        }
        let Some((number, end, block)) = self.block.take() else { return Ok(()) };
        let fields = decode(&block).ok_or_else(|| Cut::Malformed("a header block".into()))?;
        let stream = self.streams.entry(number).or_default();
        for (name, value) in &fields {
            self.seen.add(&[&name[..], b": ", value, b"\r\n"].concat());
            let value = String::from_utf8_lossy(value).into_owned();
            match &name[..] {
                b":status" => stream.answer.status = value.parse().unwrap_or(0),
                name => stream.answer.fields.push((String::from_utf8_lossy(name).into_owned(), value)),
            }
        }
        stream.ended |= end;
        Ok(())
    }
}
