//! One request: judged at its head, its answer scrubbed, its record handed to the access log.
//!
//! Bodies are held back only where the verdict needs them. In the *light* capability class, which has no such rules,
//! the host does not call those callbacks.

use std::rc::Rc;
use std::time::Duration;

use policy::aws::BodyHash;
use policy::decide::{Edit, Facts, Head, Needs, Plan, Step, Verdict};
use policy::denial::{Denial, Reason};
use policy::header_map::HeaderMap;
use policy::model;
use policy::record::Record;
use policy::rules::RuleSet;
use policy::scrub::{Rewrite, Scrubber};
use policy::wire::{AgentSide, CONNECTION_HEADER, ConnectionFacts};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::answer::Answer;
use crate::body::Body;
use crate::host::{self, Refused};
use crate::jwt;
use crate::vm;
use crate::watch::{Seen, Watch};

/// A request and what its response needs. It keeps the rules that it started with.
pub(crate) struct Stream {
    rules: Option<Rc<RuleSet>>,
    progress: Progress,
    /// `None` until the request is judged, and where the vault is out of reach: what cannot be scrubbed is not written.
    record: Option<Record>,
    watch: Option<Watch>,
    answer: Answer,
}

/// What an upstream sets a cookie by (RFC 6265, 4.1).
const SET_COOKIE: &str = "set-cookie";

enum Progress {
    /// Forwarded, or not seen yet.
    Forwarded,
    /// Waits for its body.
    Held(Box<Held>),
    /// Answered here: the response is ours.
    Refused,
}

/// A request as the agent sent it, and what is known of its connection.
struct Request {
    headers: HeaderMap,
    known: Option<Vec<u8>>,
}

/// A request that waits for its body.
struct Held {
    request: Request,
    /// `None`: which rule it is for depends on its body.
    plan: Option<Plan>,
    body: Body,
}

impl Held {
    /// Takes what arrived of the body. It is hashed meanwhile where it is signed for sure.
    fn arrive(&mut self, size: usize, most: usize) -> Result<(), Denial> {
        self.body.arrive(size, most)?;
        match self.plan {
            Some(_) => self.body.hash_arrived().map_err(host_failed),
            None => Ok(()),
        }
    }
}

impl Stream {
    pub(crate) fn new(rules: Option<Rc<RuleSet>>) -> Self {
        Stream { rules, progress: Progress::Forwarded, record: None, watch: None, answer: Answer::default() }
    }

    /// Judges the request by its head: edits it in place, or holds it back.
    fn judge(&mut self, ended: bool) -> Result<Action, Denial> {
        let mut headers = host::request_headers().map_err(host_failed)?;
        #[cfg(feature = "trap")]
        trap_on_request(&headers);
        let Some(rules) = self.rules.clone() else {
            let request = Request { headers, known: None };
            return self.conclude(None, request, Err(Reason::NoConfiguration.into()));
        };
        let known = known_of_connection(&rules, &mut headers).map_err(host_failed)?;
        let request = Request { headers, known };
        let head = Head::of(&request.headers);
        self.watch = Watch::begin(&rules, &request.headers);
        let body = if ended || head.is_endless() { model::Body::None } else { model::Body::Unread };
        let verdict = match rules.decide(&request.facts(&rules), &head, body) {
            Ok(Step::Forward(plan)) if plan.needs() != Needs::Body => {
                finish(plan, &head, BodyHash::default())
            }
            Ok(step) if announced(&head) <= rules.max_held_body() => return Ok(self.hold(request, step)),
            Ok(_) => Err(Reason::BodyTooLarge.into()),
            Err(denial) => Err(denial),
        };
        self.conclude(Some(&rules), request, verdict)
    }

    fn hold(&mut self, request: Request, step: Step) -> Action {
        let plan = match step {
            Step::Forward(plan) => Some(plan),
            Step::ReadBody => None,
        };
        self.progress = Progress::Held(Box::new(Held { request, plan, body: Body::default() }));
        Action::Pause
    }

    /// Takes what arrived of a body that is waited for.
    fn arrive(&mut self, size: usize, ended: bool) -> Result<Action, Denial> {
        match (&mut self.progress, &self.rules) {
            (Progress::Held(held), Some(rules)) => {
                if let Some(watch) = &mut self.watch {
                    watch.held_piece(size);
                }
                if let Err(denial) = held.arrive(size, rules.max_held_body()) {
                    return self.release(Err(denial));
                }
            }
            (Progress::Refused, _) => return Ok(Action::Pause),
            _ => {
                if let Some(watch) = &mut self.watch {
                    watch.request_piece(size);
                }
                return Ok(Action::Continue);
            }
        }
        if ended { self.release(Ok(())) } else { Ok(Action::Pause) }
    }

    /// Judges a request that was held, now that its body is there, or will not come.
    fn release(&mut self, arrived: Result<(), Denial>) -> Result<Action, Denial> {
        let (Progress::Held(held), Some(rules)) =
            (std::mem::replace(&mut self.progress, Progress::Forwarded), self.rules.clone())
        else {
            return Ok(Action::Continue);
        };
        let Held { request, plan, body } = *held;
        let verdict = arrived.and_then(|()| request.settle(&rules, plan, body));
        self.conclude(Some(&rules), request, verdict)
    }

    /// Keeps what the record is written from, and the scrubber that goes with it. Nothing is forwarded whose answer
    /// could not be scrubbed.
    fn conclude(
        &mut self,
        rules: Option<&RuleSet>,
        request: Request,
        mut verdict: Verdict,
    ) -> Result<Action, Denial> {
        let outcome = verdict.as_ref().map(|_| Action::Continue).map_err(Denial::clone);
        let Request { headers, known } = request;
        let facts = facts(rules.map_or(&AgentSide::Tls, RuleSet::agent_side), known.as_deref());
        let scrubber = match (&mut verdict, rules) {
            (Ok(plan), _) => {
                let scrubber = vm::with(|vm| vm.vault.scrubber(&plan.scrub));
                match plan.one_time.take() {
                    Some(secret) => scrubber.map(|scrubber| scrubber.and(secret)),
                    None => scrubber,
                }
            }
            (Err(_), Some(rules)) => {
                let live = rules.credentials_at(&facts, &Head::of(&headers));
                vm::with(|vm| vm.vault.scrubber(&live))
            }
            (Err(_), None) => Some(Scrubber::default()),
        };
        let scrubber =
            scrubber.ok_or_else(|| outcome.clone().err().unwrap_or(Reason::HostCallFailed.into()))?;
        if let (Ok(plan), Some(watch)) = (&verdict, &mut self.watch) {
            watch.pass_on(plan, &headers);
        }
        if let (Ok(plan), Some(rules)) = (&verdict, rules)
            && rules.scrub().bodies
        {
            self.answer = Answer::asked(plan, &headers, &scrubber).map_err(host_failed)?;
        }
        self.record = Some(Record::new(rules, &facts, headers, verdict, scrubber));
        outcome
    }

    /// Scrubs the response's head and adds it to the record.
    fn scrub(&mut self, ended: bool) -> Result<(), Denial> {
        let (Progress::Forwarded, Some(record)) = (&self.progress, &mut self.record) else { return Ok(()) };
        let headers = host::response_headers().map_err(host_failed)?;
        if let Err(reason) = self.answer.check(&headers, ended) {
            record.withhold(reason);
            return Err(reason.into());
        }
        for rewrite in record.scrubber().rewrite(&headers) {
            replace(&rewrite, &IN_HEAD).map_err(host_failed)?;
        }
        let drops_cookies = self.rules.as_ref().is_some_and(|rules| rules.scrub().set_cookie);
        if drops_cookies && record.decided().route.is_some() && headers.first(SET_COOKIE).is_some() {
            host::remove_response_header(SET_COOKIE).map_err(host_failed)?;
        }
        if let Some(watch) = &mut self.watch {
            watch.answer(&headers);
        }
        record.answered(headers);
        Ok(())
    }

    /// Scrubs what arrived of the response's body; whether it may go on.
    fn scrub_body(&mut self, size: usize, ended: bool) -> Result<Action, Refused> {
        let (Progress::Forwarded, Some(record)) = (&self.progress, &self.record) else {
            return Ok(Action::Continue);
        };
        self.answer.pass(record.scrubber(), size, ended)
    }

    /// Scrubs the response's trailers, and what is left of its body.
    fn scrub_trailers(&mut self) -> Result<(), Refused> {
        let (Progress::Forwarded, Some(record)) = (&self.progress, &self.record) else { return Ok(()) };
        self.answer.end(record.scrubber())?;
        let rewrites = record.scrubber().rewrite(&host::response_trailers()?);
        rewrites.iter().try_for_each(|rewrite| replace(rewrite, &IN_TRAILERS))
    }

    /// Notes whether that was the last of the answer.
    fn answered(&mut self, ended: bool) {
        if let (true, Some(watch)) = (ended, &mut self.watch) {
            watch.answered();
        }
    }

    fn answer(&mut self, judged: Result<Action, Denial>) -> Action {
        judged.unwrap_or_else(|denial| self.refuse(&denial))
    }

    /// Answers here. Nothing is forwarded even when the answer cannot be sent.
    fn refuse(&mut self, denial: &Denial) -> Action {
        self.progress = Progress::Refused;
        if host::answer(denial).is_err() {
            let _ = host::reset();
        }
        Action::Pause
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        let judged = self.judge(end_of_stream);
        self.answer(judged)
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let arrived = self.arrive(size, end_of_stream);
        self.answer(arrived)
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        let released = match self.progress {
            Progress::Held(_) => self.release(Ok(())),
            _ => Ok(Action::Continue),
        };
        match self.answer(released) {
            Action::Continue => passing(drop_request_trailers()),
            paused => paused,
        }
    }

    fn on_http_response_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        match self.scrub(end_of_stream) {
            Ok(()) => {
                self.answered(end_of_stream);
                Action::Continue
            }
            Err(denial) => self.refuse(&denial),
        }
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if let Some(watch) = &mut self.watch {
            let held = self.answer.held();
            watch.response_piece(held, size.saturating_sub(held));
        }
        self.answered(end_of_stream);
        or_reset(self.scrub_body(size, end_of_stream))
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        self.answered(true);
        let scrubbed = self.scrub_trailers();
        passing(scrubbed)
    }

    fn on_log(&mut self) {
        if matches!(self.progress, Progress::Held(_)) {
            // The agent went away. Nobody is left to be answered.
            let _ = self.release(Err(Reason::RequestIncomplete.into()));
        }
        let Some(mut record) = self.record.take() else { return };
        let seen = self.watch.take().and_then(Watch::end);
        if let Some(seen) = &seen {
            record.observed(&seen.observed);
        }
        let line = record.line();
        if host::set_record(&line.to_text()).is_err() {
            host::log_error("keyward: a record could not be handed to the access log");
        }
        count(&record, seen.as_ref());
        if let Some(Seen { rules, trace: Some(trace), observed }) = seen {
            let now = observed.ended;
            tell(&rules, &record.span(&line, &trace, observed), now);
        }
    }
}

fn count(record: &Record, seen: Option<&Seen>) {
    vm::with(|vm| {
        vm.metrics.request(record);
        if let Some(usage) = seen.and_then(|seen| seen.observed.usage.as_ref()) {
            vm.metrics.usage(record, usage);
        }
    });
}

/// Leaves a span for the collectors, and has the root context wake up to send it.
fn tell(rules: &RuleSet, span: &[u8], now: Duration) {
    let period = vm::with(|vm| {
        vm.tell(rules.collectors(), span);
        vm.hurry(now)
    });
    if let Some(period) = period.flatten() {
        let _ = host::tick_every(period);
    }
}

/// What is known of the connection, from where the configuration says. The header is ours, not the agent's: it is
/// taken out of what is judged and recorded, and the route removes it.
fn known_of_connection(rules: &RuleSet, headers: &mut HeaderMap) -> Result<Option<Vec<u8>>, Refused> {
    match (rules.agent_side(), rules.connection_facts()) {
        (AgentSide::Tls, ConnectionFacts::FilterState) => host::connection(),
        (AgentSide::Tls, ConnectionFacts::Header) => Ok(headers.take(CONNECTION_HEADER)),
        (AgentSide::TrustedPlaintext { .. }, _) => host::cluster(),
    }
}

fn facts<'a>(side: &AgentSide, known: Option<&'a [u8]>) -> Facts<'a> {
    match (side, known) {
        (AgentSide::Tls, Some(connection)) => Facts::parse(connection),
        (AgentSide::Tls, None) => Facts::Cleartext,
        (AgentSide::TrustedPlaintext { .. }, cluster) => Facts::Cluster(cluster.unwrap_or_default()),
    }
}

impl Request {
    fn facts(&self, rules: &RuleSet) -> Facts<'_> {
        facts(rules.agent_side(), self.known.as_deref())
    }

    /// The verdict with the whole body at hand, carried out.
    fn settle(&self, rules: &RuleSet, plan: Option<Plan>, body: Body) -> Verdict {
        let head = Head::of(&self.headers);
        if let Some(plan) = plan {
            return finish(plan, &head, body.into_hash());
        }
        let bytes = body.bytes().map_err(host_failed)?;
        let plan = rules.decide(&self.facts(rules), &head, model::Body::Whole(&bytes))?.plan()?;
        let hash = if plan.needs() == Needs::Body { BodyHash::of(&bytes) } else { BodyHash::default() };
        finish(plan, &head, hash)
    }
}

/// The size of the body that the head announces; one that cannot be counted here is larger than any that is held.
fn announced(head: &Head<'_>) -> usize {
    let lengths = head.headers.iter().filter(|(name, _)| *name == b"content-length");
    let length = |value| std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
    lengths.map(|(_, value)| length(*value).unwrap_or(usize::MAX)).max().unwrap_or_default()
}

/// Adds what the plan needs, and carries it out.
fn finish(mut plan: Plan, head: &Head<'_>, body: BodyHash) -> Verdict {
    if plan.needs() != Needs::Nothing {
        let now = host::now().map_err(host_failed)?;
        plan.finish(head, now, body, &jwt::Host)?;
        if let Ok(finished) = host::now() {
            let took = u64::try_from(finished.saturating_sub(now).as_micros()).unwrap_or(u64::MAX);
            vm::with(|vm| vm.metrics.signing(took));
        }
    }
    carry_out(plan)
}

/// Applies every edit, or refuses.
fn carry_out(plan: Plan) -> Verdict {
    plan.edits.iter().try_for_each(apply).map_err(host_failed)?;
    Ok(plan)
}

fn apply(edit: &Edit) -> Result<(), Refused> {
    match edit {
        Edit::RemoveHeader(name) => host::remove_request_header(name),
        // Exposed to the request that they were sealed for.
        Edit::SetPath(path) => host::set_request_header(":path", path.expose()),
        Edit::SetHeader { name, value } => host::set_request_header(name, value.expose()),
    }
}

/// A host call with a name and a value.
type Put = fn(&str, &[u8]) -> Result<(), Refused>;

/// How a header map of the response is changed.
struct Calls {
    set: Put,
    add: Put,
    remove: fn(&str) -> Result<(), Refused>,
}

const IN_HEAD: Calls = Calls {
    set: host::set_response_header,
    add: host::add_response_header,
    remove: host::remove_response_header,
};

const IN_TRAILERS: Calls = Calls {
    set: host::set_response_trailer,
    add: host::add_response_trailer,
    remove: host::remove_response_trailer,
};

/// Leaves exactly these values under the name.
fn replace(rewrite: &Rewrite, calls: &Calls) -> Result<(), Refused> {
    let name = text(&rewrite.name)?;
    let mut values = rewrite.values.iter();
    match values.next() {
        Some(first) => (calls.set)(name, first)?,
        None => (calls.remove)(name)?,
    }
    values.try_for_each(|value| (calls.add)(name, value))
}

/// No provider needs a request's trailers, and some read them as headers.
fn drop_request_trailers() -> Result<(), Refused> {
    host::request_trailers()?.iter().try_for_each(|(name, _)| host::remove_request_trailer(text(name)?))
}

/// A name that is no text cannot be given to the host.
fn text(name: &[u8]) -> Result<&str, Refused> {
    std::str::from_utf8(name).map_err(|_| Refused)
}

fn passing(changed: Result<(), Refused>) -> Action {
    or_reset(changed.map(|()| Action::Continue))
}

/// A body or trailers that the host does not let us see or change end the request: its head is on its way, so
/// no answer can be given.
fn or_reset(done: Result<Action, Refused>) -> Action {
    done.unwrap_or_else(|Refused| {
        let _ = host::reset();
        Action::Pause
    })
}

fn host_failed(_: Refused) -> Denial {
    Denial::new(Reason::HostCallFailed)
}

/// Aborts the module when a test asks for it.
#[cfg(feature = "trap")]
fn trap_on_request(headers: &HeaderMap) {
    if headers.first("x-keyward-trap").is_some() {
        std::process::abort();
    }
}
