//! The record of one request: what was decided and why, with everything secret taken out.
//!
//! One compact JSON object of at most [`MAX_BYTES`], which Envoy's access log prints. The request in it is the one that
//! went upstream. Values are redacted by name and by value; there is no switch that turns this off. It is written once,
//! when the request ends, from the header maps as they are: nothing of a request is copied for it before.

mod headers;
mod line;
mod span;

use std::borrow::Cow;
use std::rc::Rc;

use crate::decide::{Decision, Facts, Head, Places, Smuggle, Verdict};
use crate::denial::Reason;
use crate::header_map::HeaderMap;
use crate::rules::{Credential, RuleSet};
use crate::scrub::Scrubber;
use crate::wire::{Carriers, RecordText};
pub use line::Line;
pub use span::Observed;

/// The size of a record at most, in bytes.
pub const MAX_BYTES: usize = 4096;

/// Exchanges `"` with `'`, and `\` with a backtick. Doing it twice gives the text back.
pub fn exchange_quotes(text: &mut [u8]) {
    for byte in text {
        *byte = *EXCHANGED.get(usize::from(*byte)).unwrap_or(byte);
    }
}

/// What stands in the place of each byte. A table, since every byte of a record is looked at.
#[expect(
    clippy::indexing_slicing,
    reason = "a byte is an index of 256, and the compiler looks each of them up"
)]
const EXCHANGED: [u8; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        table[index] = index as u8;
        index += 1;
    }
    table[b'"' as usize] = b'\'';
    table[b'\'' as usize] = b'"';
    table[b'\\' as usize] = b'`';
    table[b'`' as usize] = b'\\';
    table
};

/// What was decided about a request.
pub struct Decided<'a> {
    /// `namespace/name` of the route whose rule matched.
    pub route: Option<&'a str>,
    /// Whether a credential went out.
    pub decision: Decision,
    /// Why none did, or why its answer did not reach the agent.
    pub reason: Option<Reason>,
    /// Whether the agent sent a credential of its own.
    pub smuggled: bool,
}

/// What a record is written from.
pub struct Record {
    gateway: Rc<str>,
    text: RecordText,
    default_port: u16,
    request: HeaderMap,
    verdict: Verdict,
    /// Of a refused request: what carries credentials on the host that it names, and what rules put in there. A plan
    /// has its own.
    carriers: Vec<Rc<Carriers>>,
    credentials: Vec<Rc<Credential>>,
    response: HeaderMap,
    scrubber: Scrubber,
    cost: Option<Cost>,
    /// Why its answer did not reach the agent.
    withheld: Option<Reason>,
}

/// What a record says of the models that a request was about.
struct Cost {
    model: Option<String>,
    input: Option<u64>,
    output: Option<u64>,
}

impl Record {
    /// Of a request as the agent sent it. `rules` are those that judged it; `None`: there were none. `scrubber` holds
    /// whatever may not be seen in it or in its answer.
    #[must_use]
    pub fn new(
        rules: Option<&RuleSet>,
        facts: &Facts<'_>,
        request: HeaderMap,
        verdict: Verdict,
        scrubber: Scrubber,
    ) -> Self {
        let head = Head::of(&request);
        let (carriers, credentials) = match (&verdict, rules) {
            (Err(_), Some(rules)) => (rules.carriers_at(facts, &head), rules.credentials_at(facts, &head)),
            _ => (Vec::new(), Vec::new()),
        };
        Record {
            gateway: rules.map_or_else(|| Rc::from(""), |rules| Rc::clone(&rules.gateway)),
            text: rules.map_or(RecordText::Json, |rules| rules.frame.record),
            default_port: facts.default_port(),
            request,
            verdict,
            carriers,
            credentials,
            response: HeaderMap::default(),
            scrubber,
            cost: None,
            withheld: None,
        }
    }

    /// What the response, and the record itself, are cleaned of.
    #[must_use]
    pub fn scrubber(&self) -> &Scrubber {
        &self.scrubber
    }

    /// Where credentials travel on the host.
    fn places(&self) -> Places<'_> {
        match &self.verdict {
            Ok(plan) => plan.places(),
            Err(_) => Places { carriers: &self.carriers, credentials: &self.credentials },
        }
    }

    /// What was decided.
    #[must_use]
    pub fn decided(&self) -> Decided<'_> {
        match &self.verdict {
            Ok(plan) => Decided {
                route: plan.route.as_deref(),
                decision: plan.decision,
                reason: self.withheld.or(plan.reason),
                smuggled: plan.smuggle == Smuggle::Attempted,
            },
            Err(denial) => Decided {
                route: denial.route.as_deref(),
                decision: Decision::Denied,
                reason: Some(denial.reason),
                smuggled: false,
            },
        }
    }

    /// Adds the response's head, `:status` included.
    pub fn answered(&mut self, response: HeaderMap) {
        self.response = response;
    }

    /// The answer did not reach the agent, for this reason.
    pub fn withhold(&mut self, reason: Reason) {
        self.withheld = Some(reason);
    }

    /// Adds what was seen of the bodies.
    pub fn observed(&mut self, observed: &Observed) {
        let usage = observed.usage.as_ref().and_then(|usage| usage.as_ref().ok());
        let model = usage.and_then(|usage| usage.model.as_ref()).or(observed.asked.model.as_ref());
        self.cost = Some(Cost {
            model: model.cloned(),
            input: usage.and_then(|usage| usage.input),
            output: usage.and_then(|usage| usage.output),
        });
    }

    /// What may be seen of it. Cleaning it of secrets is what costs, so it is done once for all that is written of it.
    #[must_use]
    pub fn line(&self) -> Line<'_> {
        Line::of(self)
    }

    /// Names of the headers that did not go out as the agent sent them, and of those that were set.
    fn changed(&self) -> (Vec<Cow<'_, str>>, Vec<Cow<'_, str>>) {
        headers::changed(&Head::of(&self.request), self.verdict.as_ref().ok(), &self.scrubber)
    }
}

#[cfg(test)]
mod tests;
