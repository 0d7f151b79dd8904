//! What is seen of a request for its span. Nothing that fails here changes what becomes of the request.

use std::time::Duration;

use policy::decide::Head;
use policy::header_map::HeaderMap;
use policy::record::{Observed, Record};
use policy::rules::RuleSet;
use policy::trace::{TRACEPARENT, Trace};
use policy::usage::{AskedReader, Meter};
use prost::Message as _;

use crate::host;

/// One request, where somebody is told of it.
pub(crate) struct Watch {
    trace: Trace,
    started: Duration,
    asked: AskedReader,
    seen: usize,
    meter: Option<Meter>,
}

impl Watch {
    /// Begins with the request's head; `None`: nobody is told.
    pub(crate) fn begin(rules: &RuleSet, head: &Head<'_>) -> Option<Watch> {
        if rules.collectors().is_empty() {
            return None;
        }
        let mut random = [0; 24];
        getrandom::fill(&mut random).ok()?;
        let started = host::now().ok()?;
        let trace = Trace::of(head, &random);
        Some(Watch { trace, started, asked: AskedReader::default(), seen: 0, meter: None })
    }

    /// Tells the upstream which trace it is in. To be called while the request's head is held.
    pub(crate) fn pass_on(&self) {
        let _ = host::set_request_header(TRACEPARENT, self.trace.traceparent().as_bytes());
    }

    /// Sees what arrived of a request's body that is passed on as it comes.
    pub(crate) fn request_piece(&mut self, size: usize) {
        if let Ok(piece) = host::request_body(0, size) {
            self.asked.feed(&piece);
        }
    }

    /// The same of one that is held: `size` is that of all that arrived.
    pub(crate) fn held_piece(&mut self, size: usize) {
        if let Ok(piece) = host::request_body(self.seen, size.saturating_sub(self.seen)) {
            self.asked.feed(&piece);
            self.seen += piece.len();
        }
    }

    /// Sees the answer's head.
    pub(crate) fn answer(&mut self, headers: &HeaderMap) {
        let encoded = headers.first("content-encoding").is_some_and(|value| value != b"identity");
        self.meter = headers.first("content-type").filter(|_| !encoded).and_then(Meter::of);
    }

    /// Sees what arrived of its body.
    pub(crate) fn response_piece(&mut self, size: usize) {
        let Some(meter) = &mut self.meter else { return };
        if let Ok(piece) = host::response_body(size) {
            meter.feed(&piece);
        }
    }

    /// The encoded span.
    pub(crate) fn end(self, record: &Record) -> Option<Vec<u8>> {
        let observed = Observed {
            trace: self.trace,
            started: self.started,
            ended: host::now().ok()?,
            request_bytes: host::request_size(),
            response_bytes: host::response_size(),
            asked: self.asked.asked().clone(),
            usage: self.meter.and_then(Meter::end).unwrap_or_default(),
        };
        Some(record.span(&observed).encode_to_vec())
    }
}
