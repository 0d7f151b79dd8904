//! Spans on their way to a collector, over OTLP/HTTP in protobuf
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>): kept until it has them, in bounded memory.
//!
//! Nothing here waits, sends, or looks at a clock. Whoever does asks [`Outbox::batch`] what is to be sent now, and
//! tells [`Outbox::ended`] what came of it. One batch is on its way at a time.

use std::collections::VecDeque;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use crate::protobuf::Message;

/// `service.name`.
const SERVICE: &str = "keyward";

/// Bytes of spans that are kept at most; what comes then is dropped. A worker has two VMs, so it is 4 MiB in all.
pub const MOST: usize = 2 << 20;

/// Bytes of one span at most. Whoever makes a larger one leaves out its bodies.
pub const LARGEST: usize = 256 << 10;

/// Bytes of spans in one batch, beyond which no other is added. So many do not wait for the time of a batch: what is put
/// together and compressed at once keeps requests waiting.
const BATCH: usize = 128 << 10;

/// How long a batch may be on its way. An answer may never come: the one who asked may be gone.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How often a batch is sent at most.
const ATTEMPTS: u32 = 6;

/// What is waited after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What is waited at most, whatever the collector asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long spans are kept that nobody asks for. Whoever sends asks every half minute at least, so their collector is
/// one that no rules name any more.
const ABANDONED: Duration = Duration::from_mins(1);

/// What became of spans, and of the attempts to send them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Spans that the collector took.
    pub sent: u64,
    /// Spans that found the outbox full, were too large, or were for a collector that is gone.
    pub dropped: u64,
    /// Spans that the collector refused, or did not take however often it was tried.
    pub refused: u64,
    /// Attempts that failed.
    pub failures: u64,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended<'a> {
    /// With this answer.
    Answered {
        /// Its status.
        status: u16,
        /// Its `retry-after`.
        retry_after: Option<&'a [u8]>,
        /// Its body.
        body: &'a [u8],
    },
    /// Without one.
    Failed,
}

/// Spans for one collector.
#[derive(Default)]
pub struct Outbox {
    waiting: VecDeque<Vec<u8>>,
    /// Of `waiting`.
    bytes: usize,
    on_its_way: Option<OnItsWay>,
    attempts: u32,
    not_before: Duration,
    /// When somebody asked for a batch last.
    asked: Option<Duration>,
    counts: Counts,
}

struct OnItsWay {
    /// How many of those that wait.
    spans: usize,
    until: Duration,
}

impl Outbox {
    /// Adds an encoded span; `false`: it was dropped.
    pub fn add(&mut self, span: Vec<u8>) -> bool {
        let fits = span.len() <= LARGEST && self.bytes + span.len() <= MOST;
        if fits {
            self.bytes += span.len();
            self.waiting.push_back(span);
        } else {
            self.counts.dropped += 1;
        }
        fits
    }

    /// Whether there is nothing to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a whole batch waits, and nothing keeps it from being sent.
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        self.bytes >= BATCH && self.on_its_way.is_none() && now >= self.not_before
    }

    /// Drops what waits where nobody has asked for it in a minute; whether it did.
    pub fn abandon(&mut self, now: Duration) -> bool {
        let asked = *self.asked.get_or_insert(now);
        let abandoned = now.saturating_sub(asked) >= ABANDONED;
        if abandoned {
            self.counts.dropped += self.waiting.drain(..).count() as u64;
            self.bytes = 0;
            self.on_its_way = None;
        }
        abandoned
    }

    /// The counts since the last call.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// What is to be sent now, an `ExportTraceServiceRequest`; `None`: nothing, or not yet.
    pub fn batch(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.asked = Some(now);
        if self.on_its_way.as_ref().is_some_and(|sent| sent.until <= now) {
            self.ended(now, &Ended::Failed);
        }
        if self.on_its_way.is_some() || now < self.not_before || self.waiting.is_empty() {
            return None;
        }
        let mut bytes = 0;
        let first = self.waiting.iter().take_while(|span| {
            let more = bytes == 0 || bytes + span.len() <= BATCH;
            bytes += span.len();
            more
        });
        let spans = first.count();
        let request = request(self.waiting.iter().take(spans));
        self.on_its_way = Some(OnItsWay { spans, until: now + PATIENCE });
        Some(request)
    }

    /// Takes what became of the batch that is on its way.
    pub fn ended(&mut self, now: Duration, ended: &Ended<'_>) {
        let Some(OnItsWay { spans, .. }) = self.on_its_way.take() else { return };
        let taken = match ended {
            Ended::Answered { status: 200..300, body, .. } => Some(spans - rejected(body).min(spans)),
            Ended::Answered { status: 429 | 502..=504, .. } | Ended::Failed => None,
            Ended::Answered { .. } => Some(0),
        };
        let failed = taken.is_none_or(|taken| taken == 0);
        self.counts.failures += u64::from(failed);
        self.attempts += 1;
        match taken {
            None if self.attempts < ATTEMPTS => {
                let asked = match ended {
                    Ended::Answered { retry_after, .. } => retry_after.and_then(seconds),
                    Ended::Failed => None,
                };
                let pause = asked.unwrap_or(FIRST_PAUSE * (1 << (self.attempts - 1)));
                self.not_before = now + pause.min(LONGEST_PAUSE);
            }
            _ => {
                let taken = taken.unwrap_or_default();
                self.counts.sent += taken as u64;
                self.counts.refused += (spans - taken) as u64;
                self.bytes -= self.waiting.drain(..spans).map(|span| span.len()).sum::<usize>();
                self.attempts = 0;
                self.not_before = Duration::ZERO;
            }
        }
    }
}

/// How many spans of a batch that was taken were not (`partial_success`).
fn rejected(body: &[u8]) -> usize {
    let answer = ExportTraceServiceResponse::decode(body).ok();
    let rejected = answer.and_then(|answer| answer.partial_success).map(|partial| partial.rejected_spans);
    rejected.and_then(|count| usize::try_from(count).ok()).unwrap_or_default()
}

/// Seconds of a `retry-after` (RFC 9110, 10.2.3). Of its dates none is understood.
fn seconds(value: &[u8]) -> Option<Duration> {
    std::str::from_utf8(value).ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// An `ExportTraceServiceRequest` with these spans, which are encoded already.
fn request<'a>(spans: impl Iterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    // Fields of OTLP's `trace_service.proto`, of `ResourceSpans` and of `ScopeSpans`.
    const RESOURCE_SPANS: u32 = 1;
    const RESOURCE: u32 = 1;
    const SCOPE_SPANS: u32 = 2;
    const SCOPE: u32 = 1;
    const SPANS: u32 = 2;
    let mut request = Message::default();
    request.message(RESOURCE_SPANS, |of_resource| {
        of_resource.bytes(RESOURCE, &resource().encode_to_vec());
        of_resource.message(SCOPE_SPANS, |of_scope| {
            of_scope.bytes(SCOPE, &scope().encode_to_vec());
            spans.for_each(|span| of_scope.bytes(SPANS, span));
        });
    });
    request.into_bytes()
}

/// Whose spans they are (<https://opentelemetry.io/docs/specs/semconv/resource/service/>).
fn resource() -> Resource {
    let attribute = |(key, value): (&str, &str)| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    };
    let attributes = [("service.name", SERVICE), ("service.version", env!("CARGO_PKG_VERSION"))];
    Resource { attributes: attributes.map(attribute).into(), ..Resource::default() }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: SERVICE.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest,
    };
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const OK: Ended<'_> = Ended::Answered { status: 200, retry_after: None, body: &[] };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000 + seconds)
    }

    fn span(name: &str) -> Vec<u8> {
        Span { name: name.to_owned(), ..Span::default() }.encode_to_vec()
    }

    /// Names of the spans that are sent at this time.
    fn sent(outbox: &mut Outbox, now: Duration) -> Option<Vec<String>> {
        let batch = outbox.batch(now)?;
        let request = ExportTraceServiceRequest::decode(batch.as_slice()).unwrap();
        let [ResourceSpans { resource: Some(whose), scope_spans, .. }] = &request.resource_spans[..] else {
            panic!("{request:?}")
        };
        let [ScopeSpans { scope: Some(named), spans, .. }] = &scope_spans[..] else { panic!("{request:?}") };
        assert_eq!((whose, named), (&resource(), &scope()));
        Some(spans.iter().map(|span| span.name.clone()).collect())
    }

    #[test]
    fn what_waits_is_sent_once_and_gone_when_it_is_taken() {
        let mut outbox = Outbox::default();
        assert_eq!(sent(&mut outbox, at(0)), None);
        assert!(outbox.add(span("a")) && outbox.add(span("b")));
        assert_eq!(sent(&mut outbox, at(0)), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert!(outbox.add(span("c")));
        assert_eq!(sent(&mut outbox, at(0)), None, "one batch at a time");
        outbox.ended(at(1), &OK);
        assert_eq!(sent(&mut outbox, at(1)), Some(vec!["c".to_owned()]));
        outbox.ended(at(1), &OK);
        assert!(outbox.is_empty());
        assert_eq!(outbox.take_counts(), Counts { sent: 3, ..Counts::default() });
        outbox.ended(at(1), &OK);
        assert_eq!(outbox.take_counts(), Counts::default(), "an answer to nothing");
    }

    #[test]
    fn what_fails_for_now_is_sent_again_after_a_pause_that_grows_and_at_last_given_up() {
        let busy = Ended::Answered { status: 503, retry_after: None, body: &[] };
        for ended in [&busy, &Ended::Failed] {
            let mut outbox = Outbox::default();
            outbox.add(span("a"));
            let mut now = 0;
            for pause in [1, 2, 4, 8, 16] {
                assert!(sent(&mut outbox, at(now)).is_some());
                outbox.ended(at(now), ended);
                now += pause;
                assert_eq!(sent(&mut outbox, at(now) - Duration::from_millis(1)), None, "{pause}");
            }
            assert!(sent(&mut outbox, at(now)).is_some());
            outbox.ended(at(now), ended);
            assert!(outbox.is_empty());
            assert_eq!(outbox.take_counts(), Counts { refused: 1, failures: 6, ..Counts::default() });
        }
    }

    #[test]
    fn a_collector_may_ask_for_a_pause_but_not_for_a_long_one() {
        for (value, pause) in [("7", 7), ("86400", 30), ("soon", 1), ("-1", 1)] {
            let mut outbox = Outbox::default();
            outbox.add(span("a"));
            assert!(sent(&mut outbox, at(0)).is_some());
            let retry_after = Some(value.as_bytes());
            outbox.ended(at(0), &Ended::Answered { status: 429, retry_after, body: &[] });
            assert_eq!(sent(&mut outbox, at(pause - 1)), None, "{value}");
            assert!(sent(&mut outbox, at(pause)).is_some(), "{value}");
        }
    }

    #[test]
    fn what_is_refused_is_not_sent_again() {
        for status in [400, 401, 404, 413, 500, 302] {
            let mut outbox = Outbox::default();
            outbox.add(span("a"));
            assert!(sent(&mut outbox, at(0)).is_some());
            outbox.ended(at(0), &Ended::Answered { status, retry_after: None, body: b"no" });
            assert!(outbox.is_empty());
            assert_eq!(outbox.take_counts(), Counts { refused: 1, failures: 1, ..Counts::default() });
        }
    }

    #[test]
    fn spans_that_are_rejected_of_a_batch_are_counted() {
        for (rejected, expected) in [(1, (2, 1)), (9, (0, 3)), (-1, (3, 0))] {
            let mut outbox = Outbox::default();
            assert!(["a", "b", "c"].iter().all(|name| outbox.add(span(name))));
            assert!(sent(&mut outbox, at(0)).is_some());
            let partial = ExportTracePartialSuccess { rejected_spans: rejected, ..Default::default() };
            let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
            outbox.ended(at(0), &Ended::Answered { status: 200, retry_after: None, body: &body });
            let counts = outbox.take_counts();
            assert_eq!((counts.sent, counts.refused), expected, "{rejected}");
            assert!(outbox.is_empty());
        }
    }

    #[test]
    fn an_answer_that_never_comes_is_a_failure() {
        let mut outbox = Outbox::default();
        outbox.add(span("a"));
        assert!(sent(&mut outbox, at(0)).is_some());
        assert_eq!(sent(&mut outbox, at(4)), None);
        assert_eq!(sent(&mut outbox, at(5)), None, "the pause");
        assert!(sent(&mut outbox, at(6)).is_some());
    }

    #[test]
    fn what_nobody_asks_for_is_dropped_and_counted() {
        let mut outbox = Outbox::default();
        outbox.add(span("a"));
        assert!(!outbox.abandon(at(0)), "it was never asked for, and is new");
        assert!(!outbox.abandon(at(59)));
        assert!(sent(&mut outbox, at(59)).is_some());
        outbox.add(span("b"));
        assert!(!outbox.abandon(at(118)));
        assert!(outbox.abandon(at(119)));
        assert!(outbox.is_empty());
        assert_eq!(outbox.take_counts(), Counts { dropped: 2, ..Counts::default() });
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut outbox = Outbox::default();
        assert!(!outbox.add(vec![0; LARGEST + 1]));
        let fit = MOST / LARGEST;
        assert!((0..fit).all(|_| outbox.add(vec![0; LARGEST])));
        assert!(!outbox.add(vec![0]));
        assert_eq!(outbox.take_counts(), Counts { dropped: 2, ..Counts::default() });
    }

    #[test]
    fn a_whole_batch_is_due_unless_one_is_on_its_way_or_a_pause_is_to_be_kept() {
        let mut outbox = Outbox::default();
        let parts = 8;
        for _ in 0..parts {
            assert!(!outbox.is_due(at(0)), "less than a batch");
            outbox.add(vec![0; BATCH / parts]);
        }
        assert!(outbox.is_due(at(0)));
        outbox.add(vec![0]);
        assert!(outbox.batch(at(0)).is_some());
        assert!(!outbox.is_due(at(0)), "one is on its way");
        outbox.ended(at(0), &Ended::Failed);
        assert!(!outbox.is_due(at(0)) && outbox.is_due(at(1)), "a pause");
        assert!(outbox.batch(at(1)).is_some());
        outbox.ended(at(1), &OK);
        assert_eq!(outbox.take_counts().sent, parts as u64);
        assert!(!outbox.is_due(at(1)) && !outbox.is_empty(), "less than a batch");
    }
}
