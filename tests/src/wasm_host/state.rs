//! What the host knows while a module runs: the phase, the maps it may touch, and everything it did.

use std::collections::BTreeMap;

use super::maps::Headers;

/// Answers of host calls, numbered as in the ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
}

/// An answer that the module gave in place of the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalReply {
    /// Status code.
    pub status: u32,
    /// Details for the access log.
    pub details: String,
    /// Header lines added to it.
    pub headers: Headers,
    /// Body.
    pub body: Vec<u8>,
}

/// A request that the module sent to a cluster on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// Its number, by which it is answered.
    pub number: u32,
    /// The cluster.
    pub cluster: String,
    /// Its head.
    pub headers: Headers,
    /// Its body.
    pub body: Vec<u8>,
}

/// A line that the module logged: level as in the ABI (0 trace to 5 critical), and text.
pub type LogLine = (u32, String);

/// The maps of one stream, and which of them the module may touch now.
#[derive(Debug, Clone, Default)]
pub(super) struct StreamState {
    pub(super) request: Map,
    pub(super) response: Map,
    pub(super) properties: BTreeMap<String, Vec<u8>>,
    pub(super) local_reply: Option<LocalReply>,
    /// The request's body as far as it is held, the piece at hand included.
    pub(super) body: Vec<u8>,
    /// Filter state that the module set, by name without its `wasm.`.
    pub(super) set: BTreeMap<String, Vec<u8>>,
}

/// A header map, and whether calls reach it.
#[derive(Debug, Clone, Default)]
pub(super) struct Map {
    pub(super) headers: Headers,
    pub(super) reach: Reach,
}

/// Whether calls reach a map. Envoy lets go of it when the callback says Continue, and not when it pauses or replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Reach {
    /// Not yet, or no more: reading fails but while the log is written, changing fails always.
    #[default]
    Out,
    /// From the start of its callback until one of them says Continue.
    In,
}

/// Which callback runs, where that decides what can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Phase {
    #[default]
    Other,
    /// The plugin configuration can be read.
    Configure,
    /// The request's body can be read.
    Body,
    /// Both maps can be read.
    Log,
    /// The answer to a call can be read.
    CallAnswer,
}

/// All that host calls work on.
#[derive(Default)]
pub(super) struct HostState {
    pub(super) phase: Phase,
    pub(super) streams: BTreeMap<u32, StreamState>,
    /// The context whose callback runs.
    pub(super) context: u32,
    pub(super) plugin_configuration: Vec<u8>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) logs: Vec<LogLine>,
    pub(super) calls: BTreeMap<&'static str, usize>,
    /// Nanoseconds since 1970; stands still unless a test moves it.
    pub(super) now: u64,
    pub(super) tick_period: Option<u32>,
    /// Calls to clusters since the last look, and how many there were.
    pub(super) http_calls: Vec<HttpCall>,
    pub(super) last_http_call: u32,
    /// The answer to the call that is being answered: its head and its body.
    pub(super) call_answer: (Headers, Vec<u8>),
    /// Each with the sum of its values; its number is its place.
    pub(super) metrics: Vec<(String, u64)>,
}

/// Map types of the ABI that the host knows.
const REQUEST_HEADERS: u32 = 0;
const RESPONSE_HEADERS: u32 = 2;
const HTTP_CALL_RESPONSE_HEADERS: u32 = 6;

impl HostState {
    pub(super) fn count(&mut self, call: &'static str) {
        *self.calls.entry(call).or_default() += 1;
    }

    pub(super) fn stream(&mut self) -> Option<&mut StreamState> {
        self.streams.get_mut(&self.context)
    }

    /// Keeps a call to a cluster; its number.
    pub(super) fn post(&mut self, cluster: String, headers: Headers, body: Vec<u8>) -> u32 {
        self.last_http_call += 1;
        self.http_calls.push(HttpCall { number: self.last_http_call, cluster, headers, body });
        self.last_http_call
    }

    /// The number of a metric, which is defined once.
    pub(super) fn define_metric(&mut self, name: String) -> u32 {
        let known = self.metrics.iter().position(|(other, _)| *other == name);
        let place = known.unwrap_or_else(|| {
            self.metrics.push((name, 0));
            self.metrics.len() - 1
        });
        u32::try_from(place).expect("few metrics")
    }

    /// Adds to a metric; `false`: there is none of this number.
    pub(super) fn add_to_metric(&mut self, number: u32, value: u64) -> bool {
        let metric = usize::try_from(number).ok().and_then(|place| self.metrics.get_mut(place));
        metric.map(|(_, sum)| *sum += value).is_some()
    }

    /// The map that may be read now.
    pub(super) fn readable(&mut self, map: u32) -> Option<&Headers> {
        if map == HTTP_CALL_RESPONSE_HEADERS {
            return (self.phase == Phase::CallAnswer).then_some(&self.call_answer.0);
        }
        let logging = self.phase == Phase::Log;
        let map = self.map(map)?;
        (logging || map.reach == Reach::In).then_some(&map.headers)
    }

    /// The map that may be changed now.
    pub(super) fn writable(&mut self, map: u32) -> Option<&mut Headers> {
        let map = self.map(map)?;
        (map.reach == Reach::In).then_some(&mut map.headers)
    }

    fn map(&mut self, map: u32) -> Option<&mut Map> {
        let stream = self.stream()?;
        match map {
            REQUEST_HEADERS => Some(&mut stream.request),
            RESPONSE_HEADERS => Some(&mut stream.response),
            _ => None,
        }
    }

    /// A property by its path, the parts joined by a dot. What the module set is read under its own name; every root
    /// context belongs to one plugin.
    pub(super) fn property(&mut self, path: &str) -> Option<Vec<u8>> {
        if path == "plugin_root_id" {
            return Some(b"keyward".to_vec());
        }
        let stream = self.stream()?;
        let own = path.strip_prefix("filter_state.wasm.").unwrap_or(path);
        stream.properties.get(path).or_else(|| stream.set.get(own)).cloned()
    }
}
