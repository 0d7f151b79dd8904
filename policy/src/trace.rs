//! The trace that a request belongs to, by W3C Trace Context (<https://www.w3.org/TR/trace-context/>).

use crate::decide::{Head, same_header};

/// The header that carries it.
pub const TRACEPARENT: &str = "traceparent";

/// What vendors add to it.
pub const TRACESTATE: &str = "tracestate";

/// The flag that says that the caller may have recorded its part.
const SAMPLED: u8 = 1;

/// The trace of one request, and its part in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The whole trace.
    pub trace_id: [u8; 16],
    /// This request.
    pub span_id: [u8; 8],
    /// The span of whoever sent it; `None`: the trace begins here.
    pub parent: Option<[u8; 8]>,
    /// The flags that came with it.
    pub flags: u8,
    /// `tracestate` as it came, empty without one.
    pub state: String,
}

impl Trace {
    /// The trace that the request names, else a new one. `random` makes its ids; a part of it that is all zeros would be
    /// none (2.2.3), so it must not be.
    #[must_use]
    pub fn of(head: &Head<'_>, random: &[u8; 24]) -> Trace {
        let (new_trace, span_id) = split(random);
        let Some((trace_id, parent, flags)) = parent(head) else {
            return Trace {
                trace_id: new_trace,
                span_id,
                parent: None,
                flags: SAMPLED,
                state: String::new(),
            };
        };
        let states = values(head, TRACESTATE).map(|value| String::from_utf8_lossy(value));
        let state = states.collect::<Vec<_>>().join(",");
        Trace { trace_id, span_id, parent: Some(parent), flags, state }
    }

    /// The value of `traceparent` with which the request goes on: this span is the parent of what is behind it.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", hex(&self.trace_id), hex(&self.span_id), self.flags)
    }
}

fn split(random: &[u8; 24]) -> ([u8; 16], [u8; 8]) {
    let (mut trace, mut span) = ([0; 16], [0; 8]);
    trace.iter_mut().chain(&mut span).zip(random).for_each(|(to, from)| *to = *from);
    (trace, span)
}

/// What the one `traceparent` says; `None` where there is none, more than one, or one that is not valid (3.2).
fn parent(head: &Head<'_>) -> Option<([u8; 16], [u8; 8], u8)> {
    let mut headers = values(head, TRACEPARENT);
    let (value, None) = (headers.next()?, headers.next()) else { return None };
    let text = std::str::from_utf8(value).ok()?.trim_ascii();
    let mut parts = text.split('-');
    let version = unhex::<1>(parts.next()?)?[0];
    let (trace_id, parent) = (unhex(parts.next()?)?, unhex(parts.next()?)?);
    let flags = unhex::<1>(parts.next()?)?[0];
    let is_whole = match version {
        0 => parts.next().is_none(),
        0xff => false,
        // A later version may add parts (3.2.4).
        _ => true,
    };
    (is_whole && trace_id != [0; 16] && parent != [0; 8]).then_some((trace_id, parent, flags))
}

fn values<'a>(head: &Head<'a>, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    let headers = head.headers.clone().into_iter();
    headers.filter(move |(other, _)| same_header(other, name)).map(|(_, value)| value)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lower-case hexadecimal of just this many bytes.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let lower = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if !lower || digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
