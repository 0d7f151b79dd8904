//! Bodies as they pass: decoded, given to whoever reads them, and as much of them kept as a span may show.
//!
//! Memory does not grow with a body, nor with what it decodes to. Nothing that fails here changes the body.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

use crate::header_map::HeaderMap;
use crate::scrub::{Cut, Scrubber};
use crate::usage::{AskedReader, Meter};
use crate::wire::Capture;

/// What a body may decode to, in bytes, until no more of it is read: one of a few kilobytes can be made to decode to
/// gigabytes.
pub const MOST_DECODED: u64 = 64 << 20;

/// `accept-encoding` for an upstream: of what the agent takes, what is decoded here. `None`: as it is.
#[must_use]
pub fn narrowed(accepted: &[u8]) -> Option<&'static str> {
    let accepts = |coding: &[u8]| {
        accepted.split(|byte| *byte == b',').any(|item| {
            let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding) || name == b"*");
            // RFC 9110, 12.4.2: a weight of zero refuses.
            let refused = parts.any(|part| {
                let weight = part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q="));
                weight.is_some_and(|weight| weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
            });
            named && !refused
        })
    };
    let narrowed = if accepts(b"gzip") { "gzip" } else { "identity" };
    (!accepted.trim_ascii().eq_ignore_ascii_case(narrowed.as_bytes())).then_some(narrowed)
}

/// Whoever reads a body, piece by piece.
pub trait Reader {
    /// Takes the next piece.
    fn feed(&mut self, piece: &[u8]);
}

impl Reader for AskedReader {
    fn feed(&mut self, piece: &[u8]) {
        AskedReader::feed(self, piece);
    }
}

impl Reader for Option<Meter> {
    fn feed(&mut self, piece: &[u8]) {
        if let Some(meter) = self {
            meter.feed(piece);
        }
    }
}

/// A body that passes.
pub struct Body<R: Reader> {
    how: Option<How<R>>,
    encoding: Option<String>,
}

enum How<R: Reader> {
    Plain(Taps<R>),
    Gzip(Box<MultiGzDecoder<Taps<R>>>),
}

/// What is read of a body, once it is over.
pub struct Seen<R> {
    /// The reader, which has read all of it; `None`: it could not be decoded.
    pub reader: Option<R>,
    /// What is to be shown of it.
    pub shown: Option<Shown>,
}

impl<R: Reader> Body<R> {
    /// The body of a request or an answer with these headers.
    #[must_use]
    pub fn of(headers: &HeaderMap, reader: R, capture: Option<&Capture>) -> Body<R> {
        let content_type = headers.first("content-type").unwrap_or_default();
        let taps = Taps {
            reader: Some(reader),
            kept: capture
                .filter(|capture| capture.takes(content_type))
                .map(|capture| Kept::of(capture, content_type)),
            decoded: 0,
        };
        let encoding = headers.first("content-encoding").map(<[u8]>::trim_ascii);
        let how = match encoding.map(<[u8]>::to_ascii_lowercase).as_deref() {
            None | Some(b"" | b"identity") => Some(How::Plain(taps)),
            Some(b"gzip" | b"x-gzip") => Some(How::Gzip(Box::new(MultiGzDecoder::new(taps)))),
            Some(_) => None,
        };
        let encoding = encoding.filter(|encoding| !encoding.is_empty());
        Body { how, encoding: encoding.map(|encoding| String::from_utf8_lossy(encoding).into_owned()) }
    }

    /// Takes the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        let read = match &mut self.how {
            Some(How::Plain(taps)) => taps.write_all(piece),
            Some(How::Gzip(decoder)) => decoder.write_all(piece),
            None => Ok(()),
        };
        if read.is_err() {
            self.how = None;
        }
    }

    /// What was read.
    #[must_use]
    pub fn end(self) -> Seen<R> {
        let taps = match self.how {
            Some(How::Plain(taps)) => Some(taps),
            // What was broken off has been read as far as it came.
            Some(How::Gzip(mut decoder)) => {
                let _ = decoder.flush();
                Some(std::mem::take(decoder.get_mut()))
            }
            None => None,
        };
        let Some(Taps { reader, kept, decoded }) = taps else { return Seen { reader: None, shown: None } };
        let shown = kept.map(|kept| Shown { kept, bytes: decoded, encoding: self.encoding });
        Seen { reader, shown }
    }
}

/// What the decoded bytes of a body go to.
struct Taps<R> {
    reader: Option<R>,
    kept: Option<Kept>,
    decoded: u64,
}

impl<R> Default for Taps<R> {
    fn default() -> Self {
        Taps { reader: None, kept: None, decoded: 0 }
    }
}

impl<R: Reader> Write for Taps<R> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.decoded += piece.len() as u64;
        if self.decoded > MOST_DECODED {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if let Some(reader) = &mut self.reader {
            reader.feed(piece);
        }
        if let Some(kept) = &mut self.kept {
            kept.take(piece);
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The first bytes of a body, or the last ones.
struct Kept {
    bytes: Vec<u8>,
    most: usize,
    /// Which end of the body is cut off once it is longer.
    cut: Cut,
}

impl Kept {
    fn of(capture: &Capture, content_type: &[u8]) -> Kept {
        let cut = if is_stream(content_type) { Cut::Before } else { Cut::After };
        Kept { bytes: Vec::new(), most: usize::try_from(capture.max_bytes).unwrap_or(usize::MAX), cut }
    }

    fn take(&mut self, piece: &[u8]) {
        match self.cut {
            Cut::After => {
                let room = self.most.saturating_sub(self.bytes.len()).min(piece.len());
                self.bytes.extend_from_slice(piece.get(..room).unwrap_or_default());
            }
            Cut::Before => {
                let fits = piece.len().saturating_sub(self.most);
                self.bytes.extend_from_slice(piece.get(fits..).unwrap_or_default());
                // Seldom, since what is drained is moved.
                if self.bytes.len() > self.most.saturating_mul(2) {
                    self.drop_first();
                }
            }
        }
    }

    fn drop_first(&mut self) {
        self.bytes.drain(..self.bytes.len().saturating_sub(self.most));
    }
}

/// The media types of which each is a row of events: what a stream ends with says more than what it begins with.
fn is_stream(content_type: &[u8]) -> bool {
    const STREAMS: [&[u8]; 4] = [
        b"text/event-stream",
        b"application/x-ndjson",
        b"application/jsonl",
        b"application/vnd.amazon.eventstream",
    ];
    let essence = essence(content_type);
    STREAMS.iter().any(|stream| essence.eq_ignore_ascii_case(stream))
}

fn essence(content_type: &[u8]) -> &[u8] {
    content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

impl Capture {
    /// Whether bodies of this `content-type` are kept.
    #[must_use]
    pub fn takes(&self, content_type: &[u8]) -> bool {
        let essence = essence(content_type);
        self.content_types.iter().any(|taken| essence.eq_ignore_ascii_case(taken.as_bytes()))
    }
}

/// What a span shows of a body.
pub struct Shown {
    kept: Kept,
    bytes: u64,
    encoding: Option<String>,
}

impl Shown {
    /// How long the body is, decoded.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its `content-encoding`. What is shown is decoded.
    #[must_use]
    pub fn encoding(&self) -> Option<&str> {
        self.encoding.as_deref()
    }

    /// Whether it is longer than what is shown.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.bytes > self.kept.most as u64
    }

    /// The part that is shown, without any live credential, nor a part of one that was cut through.
    #[must_use]
    pub fn text(mut self, scrubber: &Scrubber) -> Vec<u8> {
        let truncated = self.is_truncated();
        if self.kept.cut == Cut::Before {
            self.kept.drop_first();
        }
        scrubber.scrub_part(self.kept.bytes, truncated.then_some(self.kept.cut))
    }
}

#[cfg(test)]
mod tests;
