//! One request: judged at its head, its answer scrubbed, its record handed to the access log.
//!
//! Bodies and trailers are never asked for: in the *light* capability class the host does not call those callbacks.

use std::rc::Rc;

use policy::decide::{Edit, Facts, Head, Plan};
use policy::denial::{Denial, Reason};
use policy::record::Record;
use policy::rules::RuleSet;
use policy::scrub::Scrubber;
use policy::wire::AgentSide;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::host::{self, Refused};
use crate::vm;

/// A request and what its response needs. It keeps the rules that it started with.
pub(crate) struct Stream {
    rules: Option<Rc<RuleSet>>,
    progress: Progress,
    record: Option<Record>,
}

enum Progress {
    /// Forwarded, or not seen yet: the response is scrubbed of these.
    Forwarded(Scrubber),
    /// Answered here: the response is ours.
    Refused,
}

impl Stream {
    pub(crate) fn new(rules: Option<Rc<RuleSet>>) -> Self {
        Stream { rules, progress: Progress::Forwarded(Scrubber::default()), record: None }
    }

    /// Judges the request and edits it in place.
    fn judge(&mut self) -> Result<(), Denial> {
        let headers = host::request_headers().map_err(host_failed)?;
        #[cfg(feature = "trap")]
        trap_on_request(&headers);
        let head = Head::from_map(borrow(&headers));
        let Some(rules) = self.rules.clone() else {
            return Err(self.record_refusal("", &Facts::parse(b""), &head, Reason::NoConfiguration.into()));
        };
        let property = connection_property(rules.agent_side()).map_err(host_failed)?;
        let facts = facts(rules.agent_side(), property.as_deref());
        match rules.decide(&facts, &head) {
            Ok(plan) => self.carry_out(&rules, &facts, &head, &plan),
            Err(denial) => Err(self.record_refusal(rules.gateway(), &facts, &head, denial)),
        }
    }

    fn carry_out(
        &mut self,
        rules: &RuleSet,
        facts: &Facts<'_>,
        head: &Head<'_>,
        plan: &Plan,
    ) -> Result<(), Denial> {
        let scrubber = vm::with(|vm| vm.vault.scrubber(&plan.scrub)).ok_or(Reason::HostCallFailed)?;
        for edit in &plan.edits {
            if apply(edit).is_err() {
                return Err(self.record_refusal(rules.gateway(), facts, head, host_failed(Refused)));
            }
        }
        self.record = Some(Record::forwarded(rules, facts, head, plan, &scrubber));
        self.progress = Progress::Forwarded(scrubber);
        Ok(())
    }

    fn record_refusal(
        &mut self,
        gateway: &str,
        facts: &Facts<'_>,
        head: &Head<'_>,
        denial: Denial,
    ) -> Denial {
        let live = self.rules.as_ref().map(|rules| rules.credentials_at(facts, head)).unwrap_or_default();
        let scrubber = vm::with(|vm| vm.vault.scrubber(&live));
        // A record that cannot be scrubbed is not written.
        self.record = scrubber.map(|scrubber| Record::refused(gateway, facts, head, &denial, &scrubber));
        denial
    }

    /// Scrubs the response's head and adds it to the record.
    fn scrub(&mut self) -> Result<(), Refused> {
        let Progress::Forwarded(scrubber) = &self.progress else { return Ok(()) };
        let headers = host::response_headers()?;
        let headers: Vec<_> = borrow(&headers).collect();
        for rewrite in scrubber.rewrite(&headers) {
            let mut values = rewrite.values.iter();
            match values.next() {
                Some(first) => host::set_response_header(&rewrite.name, first)?,
                None => host::remove_response_header(&rewrite.name)?,
            }
            values.try_for_each(|value| host::add_response_header(&rewrite.name, value))?;
        }
        if let Some(record) = &mut self.record {
            record.answered(&headers, scrubber);
        }
        Ok(())
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

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        match self.scrub() {
            Ok(()) => Action::Continue,
            Err(refused) => self.refuse(&host_failed(refused)),
        }
    }

    fn on_log(&mut self) {
        if let Some(record) = self.record.take()
            && host::set_record(&record.to_json()).is_err()
        {
            host::log_error("keyward: a record could not be handed to the access log");
        }
    }
}

/// What the connection is known by: one property, which one depends on the agent side.
fn connection_property(side: &AgentSide) -> Result<Option<Vec<u8>>, Refused> {
    match side {
        AgentSide::Tls => host::connection(),
        AgentSide::TrustedPlaintext { .. } => host::cluster(),
    }
}

fn facts<'a>(side: &AgentSide, property: Option<&'a [u8]>) -> Facts<'a> {
    match (side, property) {
        (AgentSide::Tls, Some(connection)) => Facts::parse(connection),
        (AgentSide::Tls, None) => Facts::Cleartext,
        (AgentSide::TrustedPlaintext { .. }, cluster) => Facts::Cluster(cluster.unwrap_or_default()),
    }
}

fn apply(edit: &Edit) -> Result<(), Refused> {
    match edit {
        Edit::RemoveHeader(name) => host::remove_request_header(name),
        Edit::SetPath(path) => host::set_request_header(":path", path),
        // Exposed to the request that it was sealed for.
        Edit::SetHeader { name, value } => host::set_request_header(name, value.expose()),
    }
}

fn borrow(headers: &host::Headers) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()))
}

fn host_failed(_: Refused) -> Denial {
    Denial::new(Reason::HostCallFailed)
}

/// Aborts the module when a test asks for it.
#[cfg(feature = "trap")]
fn trap_on_request(headers: &host::Headers) {
    if headers.iter().any(|(name, _)| name == "x-keyward-trap") {
        std::process::abort();
    }
}
