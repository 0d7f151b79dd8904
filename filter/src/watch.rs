//! What is seen of a request for its record and its span. Nothing that fails here changes what becomes of the request.

use std::rc::Rc;
use std::time::Duration;

use policy::bodies::{self, Body};
use policy::decide::{Head, Plan};
use policy::header_map::HeaderMap;
use policy::record::Observed;
use policy::rules::RuleSet;
use policy::trace::{TRACEPARENT, Trace};
use policy::usage::{AskedReader, Meter, Unknown};

use crate::host;

const ACCEPT_ENCODING: &str = "accept-encoding";

/// One request, where its bodies are read.
pub(crate) struct Watch {
    rules: Rc<RuleSet>,
    /// The trace that it is in, where a collector is told.
    trace: Option<Trace>,
    started: Duration,
    request: Body<AskedReader>,
    /// How much of the request's body arrived.
    request_bytes: u64,
    /// Of a request that is held, how much of it was read.
    seen: usize,
    /// Whether anything is to be read of the answer.
    reads: bool,
    response: Option<Body<Option<Meter>>>,
    /// Whether the answer is of a kind that says what it cost.
    metered: bool,
    /// How much of the answer's body arrived; `None`: there was no answer from upstream.
    response_bytes: Option<u64>,
    /// Whether all of it came.
    whole: bool,
}

impl Watch {
    /// Begins with the request's head; `None`: nobody wants to know.
    pub(crate) fn begin(rules: &Rc<RuleSet>, headers: &HeaderMap) -> Option<Watch> {
        if !rules.reads_usage() {
            return None;
        }
        let trace = match rules.collectors() {
            [] => None,
            _ => Some(trace(headers)?),
        };
        Some(Watch {
            rules: Rc::clone(rules),
            trace,
            started: host::now().ok()?,
            request: Body::of(headers, AskedReader::default(), rules.capture()),
            request_bytes: 0,
            seen: 0,
            reads: false,
            response: None,
            metered: false,
            response_bytes: None,
            whole: false,
        })
    }

    /// Tells the upstream which trace the request is in, and how its answer can be read here. To be called while the
    /// request's head is held.
    pub(crate) fn pass_on(&mut self, plan: &Plan, headers: &HeaderMap) {
        if let Some(trace) = &self.trace {
            let _ = host::set_request_header(TRACEPARENT, trace.traceparent().as_bytes());
        }
        // Elsewhere nothing says what anything costs.
        self.reads = plan.route.is_some() || self.rules.capture().is_some();
        if self.reads
            && let Some(narrowed) = headers.first(ACCEPT_ENCODING).and_then(bodies::narrowed)
        {
            let _ = host::set_request_header(ACCEPT_ENCODING, narrowed.as_bytes());
        }
    }

    /// Sees what arrived of a request's body that is passed on as it comes.
    pub(crate) fn request_piece(&mut self, size: usize) {
        // A body may end with nothing.
        if size == 0 {
            return;
        }
        self.request_bytes += size as u64;
        if let Ok(piece) = host::request_body(0, size) {
            self.request.feed(&piece);
        }
    }

    /// The same of one that is held: `size` is that of all that arrived.
    pub(crate) fn held_piece(&mut self, size: usize) {
        self.request_bytes = size as u64;
        if let Ok(piece) = host::request_body(self.seen, size.saturating_sub(self.seen)) {
            self.seen += piece.len();
            self.request.feed(&piece);
        }
    }

    /// Sees the answer's head.
    pub(crate) fn answer(&mut self, headers: &HeaderMap) {
        self.response_bytes = Some(0);
        if self.reads {
            let meter = headers.first("content-type").and_then(Meter::of);
            let meter = meter.map(|meter| meter.with_head(headers));
            self.metered = meter.is_some();
            self.response = Some(Body::of(headers, meter, self.rules.capture()));
        }
    }

    /// Its body ended where it should.
    pub(crate) fn answered(&mut self) {
        self.whole = true;
    }

    /// Sees what arrived of its body: `size` bytes, behind those that were seen and are held.
    pub(crate) fn response_piece(&mut self, held: usize, size: usize) {
        if let Some(bytes) = &mut self.response_bytes {
            *bytes += size as u64;
        }
        let Some(response) = self.response.as_mut().filter(|_| size > 0) else { return };
        if let Ok(piece) = host::response_body(held, size) {
            response.feed(&piece);
        }
    }

    /// What was seen, once it is over.
    pub(crate) fn end(self) -> Option<Seen> {
        let request = self.request.end();
        let response = self.response.map(Body::end);
        let (meter, response_body) = response.map_or((None, None), |seen| (Some(seen.reader), seen.shown));
        // The host knows too, but each of its answers takes a while. What was refused did not come by here.
        let (request_bytes, response_bytes) = match self.response_bytes {
            Some(bytes) => (Some(self.request_bytes), Some(bytes)),
            None => (host::request_size(), host::response_size()),
        };
        let observed = Observed {
            started: self.started,
            ended: host::now().ok()?,
            request_bytes,
            response_bytes,
            asked: request.reader.map(AskedReader::end).unwrap_or_default(),
            usage: match meter {
                Some(Some(meter)) => meter.map(|meter| meter.end(self.whole)),
                Some(None) if self.metered => Some(Err(Unknown::Encoding)),
                _ => None,
            },
            request_body: request.shown,
            response_body,
        };
        Some(Seen { rules: self.rules, trace: self.trace, observed })
    }
}

/// The trace that a request is in; `None` where no id can be drawn for a span.
fn trace(headers: &HeaderMap) -> Option<Trace> {
    let mut random = [0; 24];
    getrandom::fill(&mut random).ok()?;
    Some(Trace::of(&Head::of(headers), &random))
}

/// What was seen of a request.
pub(crate) struct Seen {
    pub(crate) rules: Rc<RuleSet>,
    /// The trace that it was in, where a collector is told.
    pub(crate) trace: Option<Trace>,
    pub(crate) observed: Observed,
}
