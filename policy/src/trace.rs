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
        ["00", &hex(&self.trace_id), &hex(&self.span_id), &hex(&[self.flags])].join("-")
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

/// Lower-case hexadecimal, without a formatter: there are two dozen bytes of it in each request.
fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::header_map::HeaderMap;

    const RANDOM: [u8; 24] = [7; 24];
    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn trace(headers: &[(&str, &str)]) -> Trace {
        let headers: HeaderMap = headers.iter().copied().collect();
        Trace::of(&Head::of(&headers), &RANDOM)
    }

    #[test]
    fn a_request_with_a_parent_belongs_to_its_trace() {
        let trace = trace(&[(TRACEPARENT, GIVEN), (TRACESTATE, "a=1,b=2"), (TRACESTATE, "c=3")]);
        assert_eq!(hex(&trace.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.parent.map(|id| hex(&id)).as_deref(), Some("00f067aa0ba902b7"));
        assert_eq!(trace.state, "a=1,b=2,c=3");
        assert_eq!(trace.traceparent(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0707070707070707-01");
    }

    #[test]
    fn a_request_without_one_begins_a_trace() {
        let trace = trace(&[(TRACESTATE, "a=1")]);
        assert_eq!((trace.parent, trace.state.as_str()), (None, ""));
        assert_eq!(trace.traceparent(), "00-07070707070707070707070707070707-0707070707070707-01");
    }

    #[test]
    fn the_flags_go_on_as_they_came() {
        for flags in ["00", "01", "02", "ff"] {
            let value = format!("{}-{flags}", &GIVEN[..52]);
            assert!(trace(&[(TRACEPARENT, &value)]).traceparent().ends_with(flags), "{value}");
        }
    }

    #[test]
    fn a_later_version_may_say_more() {
        for value in [format!("01{}", &GIVEN[2..]), format!("cc{}-more", &GIVEN[2..])] {
            let trace = trace(&[(TRACEPARENT, &value)]);
            assert!(trace.parent.is_some(), "{value}");
            assert!(trace.traceparent().starts_with("00-4bf9"), "{value}");
        }
    }

    #[test]
    fn what_is_not_valid_is_no_parent() {
        let zeros = "0".repeat(32);
        for value in [
            "",
            "00",
            "01-",
            &GIVEN[..54],
            &format!("{GIVEN}-more"),
            &format!("{GIVEN}-"),
            &format!("ff{}", &GIVEN[2..]),
            &GIVEN.to_uppercase(),
            &format!("00-{zeros}-00f067aa0ba902b7-01"),
            &format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", &zeros[..16]),
            &GIVEN.replace('4', "g"),
            &GIVEN.replace('-', "_"),
            &format!("{GIVEN}, {GIVEN}"),
        ] {
            assert_eq!(trace(&[(TRACEPARENT, value)]).parent, None, "{value}");
        }
        assert_eq!(trace(&[(TRACEPARENT, GIVEN), (TRACEPARENT, GIVEN)]).parent, None, "two of them");
    }

    proptest! {
        #[test]
        fn what_goes_on_is_always_valid(value: String) {
            let given = trace(&[(TRACEPARENT, &value)]).traceparent();
            prop_assert_eq!(trace(&[(TRACEPARENT, &given)]).parent, Some([7; 8]));
        }
    }
}
