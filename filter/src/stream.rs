//! One request: judged at its head, its answer scrubbed, its record handed to the access log.
//!
//! Bodies are never asked for: in the *light* capability class the host does not call those callbacks.

use std::rc::Rc;

use policy::decide::{Edit, Facts, Head, Plan, Verdict};
use policy::denial::{Denial, Reason};
use policy::header_map::HeaderMap;
use policy::record::Record;
use policy::rules::RuleSet;
use policy::scrub::{Rewrite, Scrubber};
use policy::wire::{AgentSide, CONNECTION_HEADER, ConnectionFacts};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::host::{self, Refused};
use crate::vm;

/// A request and what its response needs. It keeps the rules that it started with.
pub(crate) struct Stream {
    rules: Option<Rc<RuleSet>>,
    progress: Progress,
    /// `None` until the request is judged, and where the vault is out of reach: what cannot be scrubbed is not written.
    record: Option<Record>,
}

enum Progress {
    /// Forwarded, or not seen yet.
    Forwarded,
    /// Answered here: the response is ours.
    Refused,
}

impl Stream {
    pub(crate) fn new(rules: Option<Rc<RuleSet>>) -> Self {
        Stream { rules, progress: Progress::Forwarded, record: None }
    }

    /// Judges the request, and edits it in place.
    fn judge(&mut self) -> Result<(), Denial> {
        let mut headers = host::request_headers().map_err(host_failed)?;
        #[cfg(feature = "trap")]
        trap_on_request(&headers);
        let Some(rules) = self.rules.clone() else {
            return self.keep(None, &Facts::parse(b""), headers, Err(Reason::NoConfiguration.into()));
        };
        let known = known_of_connection(&rules, &mut headers).map_err(host_failed)?;
        let facts = facts(rules.agent_side(), known.as_deref());
        let verdict = rules.decide(&facts, &Head::of(&headers)).and_then(carry_out);
        self.keep(Some(&rules), &facts, headers, verdict)
    }

    /// Keeps what the record is written from, and the scrubber that goes with it. Nothing is forwarded whose answer
    /// could not be scrubbed.
    fn keep(
        &mut self,
        rules: Option<&RuleSet>,
        facts: &Facts<'_>,
        headers: HeaderMap,
        verdict: Verdict,
    ) -> Result<(), Denial> {
        let outcome = verdict.as_ref().map(|_| ()).map_err(Denial::clone);
        let scrubber = match (&verdict, rules) {
            (Ok(plan), _) => vm::with(|vm| vm.vault.scrubber(&plan.scrub)),
            (Err(_), Some(rules)) => {
                let live = rules.credentials_at(facts, &Head::of(&headers));
                vm::with(|vm| vm.vault.scrubber(&live))
            }
            (Err(_), None) => Some(Scrubber::default()),
        };
        let scrubber =
            scrubber.ok_or_else(|| outcome.clone().err().unwrap_or(Reason::HostCallFailed.into()))?;
        self.record = Some(Record::new(rules, facts, headers, verdict, scrubber));
        outcome
    }

    /// Scrubs the response's head and adds it to the record.
    fn scrub(&mut self) -> Result<(), Refused> {
        let (Progress::Forwarded, Some(record)) = (&self.progress, &mut self.record) else { return Ok(()) };
        let headers = host::response_headers()?;
        for rewrite in record.scrubber().rewrite(&headers) {
            replace(&rewrite, &IN_HEAD)?;
        }
        record.answered(headers);
        Ok(())
    }

    /// Scrubs the response's trailers.
    fn scrub_trailers(&self) -> Result<(), Refused> {
        let (Progress::Forwarded, Some(record)) = (&self.progress, &self.record) else { return Ok(()) };
        let rewrites = record.scrubber().rewrite(&host::response_trailers()?);
        rewrites.iter().try_for_each(|rewrite| replace(rewrite, &IN_TRAILERS))
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
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        match self.judge() {
            Ok(()) => Action::Continue,
            Err(denial) => self.refuse(&denial),
        }
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        passing(drop_request_trailers())
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        match self.scrub() {
            Ok(()) => Action::Continue,
            Err(refused) => self.refuse(&host_failed(refused)),
        }
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        passing(self.scrub_trailers())
    }

    fn on_log(&mut self) {
        if let Some(record) = self.record.take()
            && host::set_record(&record.to_text()).is_err()
        {
            host::log_error("keyward: a record could not be handed to the access log");
        }
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

/// Applies every edit, or refuses.
fn carry_out(plan: Plan) -> Verdict {
    plan.edits.iter().try_for_each(apply).map_err(host_failed)?;
    Ok(plan)
}

fn apply(edit: &Edit) -> Result<(), Refused> {
    match edit {
        Edit::RemoveHeader(name) => host::remove_request_header(name),
        Edit::SetPath(path) => host::set_request_header(":path", path),
        // Exposed to the request that it was sealed for.
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

/// Trailers that the host does not let us change end the request: its head is on its way, so no answer can be given.
fn passing(changed: Result<(), Refused>) -> Action {
    match changed {
        Ok(()) => Action::Continue,
        Err(Refused) => {
            let _ = host::reset();
            Action::Pause
        }
    }
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
