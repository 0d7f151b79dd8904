//! HTTP/2 frame by frame (RFC 9113), for what a client library would not send. Header blocks are written without
//! Huffman coding and without a dynamic table (RFC 7541); those that come back are not read.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::failure::Failure;
use super::http1::Io;

/// How long to wait for the next byte.
const PATIENCE: Duration = Duration::from_secs(30);

/// DATA.
pub const DATA: u8 = 0;
/// HEADERS.
pub const HEADERS: u8 = 1;
/// RST_STREAM.
pub const RESET: u8 = 3;
/// SETTINGS.
pub const SETTINGS: u8 = 4;
/// PING.
pub const PING: u8 = 6;
/// GOAWAY.
pub const GOAWAY: u8 = 7;

/// CONTINUATION.
pub const CONTINUATION: u8 = 9;

/// The flag that ends a stream.
pub const END_STREAM: u8 = 1;
/// The flag that ends a header block.
pub const END_HEADERS: u8 = 4;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Type.
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// Stream.
    pub stream: u32,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame.
    #[must_use]
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Frame {
        Frame { kind, flags, stream, payload: payload.into() }
    }

    /// HEADERS with these fields, whole in one frame.
    #[must_use]
    pub fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Frame {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            literal(&mut block, name);
            literal(&mut block, value);
        }
        Frame::new(HEADERS, flags | END_HEADERS, stream, block)
    }

    /// A header block in frames of at most 16 KiB: HEADERS, then CONTINUATION.
    #[must_use]
    pub fn in_pieces(&self) -> Vec<Frame> {
        let mut frames: Vec<Frame> = (self.payload.chunks(16 << 10))
            .map(|piece| Frame::new(CONTINUATION, 0, self.stream, piece))
            .collect();
        if let Some(first) = frames.first_mut() {
            (first.kind, first.flags) = (self.kind, self.flags & !END_HEADERS);
        }
        if let Some(last) = frames.last_mut() {
            last.flags |= END_HEADERS;
        }
        frames
    }

    /// The frame on the wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a small payload").to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }
}

/// A string with its length in a prefix of seven bits (RFC 7541, section 5).
fn literal(block: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    if length < 127 {
        block.push(length as u8);
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push((length % 128 + 128) as u8);
            length /= 128;
        }
        block.push(length as u8);
    }
    block.extend(text.as_bytes());
}

/// One connection.
pub struct Frames<S> {
    stream: S,
}

impl<S: Io> Frames<S> {
    /// Sends the preface and empty settings.
    ///
    /// # Errors
    /// [`Failure::Closed`].
    pub async fn open(stream: S) -> Result<Frames<S>, Failure> {
        let mut frames = Frames { stream };
        frames.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        frames.send(&[Frame::new(SETTINGS, 0, 0, [])]).await?;
        Ok(frames)
    }

    /// Sends frames.
    ///
    /// # Errors
    /// [`Failure::Closed`].
    pub async fn send(&mut self, frames: &[Frame]) -> Result<(), Failure> {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        self.write(&bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        written.await.map_err(closed)
    }

    /// The next frame.
    ///
    /// # Errors
    /// [`Failure::Closed`] at the end of the connection, [`Failure::Silent`] when nothing comes.
    pub async fn next(&mut self) -> Result<Frame, Failure> {
        timeout(PATIENCE, self.read()).await.map_err(|_| Failure::Silent(PATIENCE.as_secs()))?
    }

    async fn read(&mut self) -> Result<Frame, Failure> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.map_err(closed)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await.map_err(closed)?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Every frame until `enough` or until the connection ends.
    pub async fn until(&mut self, enough: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let mut seen = Vec::new();
        while let Ok(frame) = self.next().await {
            let last = enough(&frame);
            seen.push(frame);
            if last {
                break;
            }
        }
        seen
    }
}

fn closed(error: std::io::Error) -> Failure {
    Failure::Closed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::{END_STREAM, Frame, HEADERS};

    #[test]
    fn a_header_block_is_written_as_literals() {
        let frame = Frame::headers(1, END_STREAM, &[("a", "b")]);
        assert_eq!(frame.encode(), [0, 0, 5, HEADERS, 5, 0, 0, 0, 1, 0, 1, b'a', 1, b'b']);
        let long = "x".repeat(300);
        let frame = Frame::headers(1, 0, &[("a", &long)]);
        assert_eq!(frame.payload[3..6], [127, 173, 1], "300 is 127, and 173 with one more 128");
    }
}
