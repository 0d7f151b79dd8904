//! What an agent gets: an answer, or the way in which there was none.

use std::fmt;

use super::contains;

/// How much of a body a report quotes, bytes.
const QUOTED: usize = 120;

/// An answer, read to its end.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Status code.
    pub(crate) status: u16,
    /// Header lines in order.
    pub(crate) fields: Vec<(String, String)>,
    /// Body, without transfer coding.
    pub(crate) body: Vec<u8>,
}

/// As reports quote it: the body as text, and its beginning only.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Answer { status, fields, body } = self;
        write!(f, "{status} {fields:?}, {} bytes", body.len())?;
        let beginning = &body[..body.len().min(QUOTED)];
        if beginning.is_empty() { Ok(()) } else { write!(f, " {:?}", String::from_utf8_lossy(beginning)) }
    }
}

impl Answer {
    /// Every value of a header.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// The coarse reason that Keyward gives an agent; empty when there is none.
    pub(crate) fn reason(&self) -> &str {
        self.values("x-keyward-reason").first().copied().unwrap_or_default()
    }

    /// Whether these bytes stand anywhere in the answer.
    pub(crate) fn mentions(&self, needle: &str) -> bool {
        self.fields.iter().any(|(name, value)| name.contains(needle) || value.contains(needle))
            || contains(&self.body, needle.as_bytes())
    }
}

/// Why there is no answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The connection ended, or was reset.
    Closed(String),
    /// The HTTP/2 stream was reset with this error code.
    Reset(u32),
    /// The HTTP/2 connection was given up with this error code.
    GoAway(u32),
    /// What came is not HTTP.
    Malformed(String),
    /// Nothing came for as long as a row waits.
    Silent,
}

/// What became of an attempt, from its connection to its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The request was answered.
    Answer(Answer),
    /// CONNECT was answered with something else than 200.
    Refused(Answer),
    /// There was no TLS handshake.
    NoHandshake(String),
    /// The request was not answered.
    Cut(Cut),
}

impl Reply {
    /// The answer to the request, or to CONNECT.
    pub(crate) fn answered(&self) -> Option<&Answer> {
        match self {
            Reply::Answer(answer) | Reply::Refused(answer) => Some(answer),
            Reply::NoHandshake(_) | Reply::Cut(_) => None,
        }
    }

    /// The status of the answer to the request; 0 where there is none.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Reply::Answer(answer) => answer.status,
            _ => 0,
        }
    }

    /// Whether the proxy certainly did not do what was asked. Silence is not a refusal.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Reply::Answer(answer) => answer.status >= 400,
            Reply::Refused(_) | Reply::NoHandshake(_) => true,
            Reply::Cut(cut) => *cut != Cut::Silent,
        }
    }
}

impl From<Result<Answer, Cut>> for Reply {
    fn from(result: Result<Answer, Cut>) -> Self {
        match result {
            Ok(answer) => Reply::Answer(answer),
            Err(cut) => Reply::Cut(cut),
        }
    }
}
