//! Bodies of answers, searched for credentials as they pass: nothing is kept here, and a piece that ends within what may be
//! one is left with Envoy until the next has come.

use policy::decide::Plan;
use policy::denial::Reason;
use policy::header_map::HeaderMap;
use policy::scrub::Scrubber;
use proxy_wasm::types::Action;

use crate::host::{self, Refused};

/// Headers of a request that let an answer be compressed inside its body, where nobody could search it.
const COMPRESSING: [&str; 2] = ["sec-websocket-extensions", "grpc-accept-encoding"];

/// The body of one answer.
#[derive(Default)]
pub(crate) struct Answer {
    /// Whether it is searched.
    is_searched: bool,
    /// How much of it Envoy holds back.
    held: usize,
}

impl Answer {
    /// Of a request that goes out by this plan: asks for an answer that can be searched, where it is to be.
    pub(crate) fn asked(plan: &Plan, headers: &HeaderMap, scrubber: &Scrubber) -> Result<Answer, Refused> {
        if plan.route.is_none() || scrubber.is_empty() {
            return Ok(Answer::default());
        }
        host::set_request_header("accept-encoding", b"identity")?;
        for name in COMPRESSING.into_iter().filter(|name| headers.first(name).is_some()) {
            host::remove_request_header(name)?;
        }
        Ok(Answer { is_searched: true, held: 0 })
    }

    /// Whether its head says that the body can be searched.
    pub(crate) fn check(&self, head: &HeaderMap, ended: bool) -> Result<(), Reason> {
        let encodings = head.iter().filter(|(name, _)| *name == b"content-encoding");
        let mut encodings = encodings.map(|(_, value)| value.trim_ascii());
        let plain = encodings.all(|value| value.is_empty() || value.eq_ignore_ascii_case(b"identity"));
        if self.is_searched && !ended && !plain { Err(Reason::AnswerEncoded) } else { Ok(()) }
    }

    /// How much of what Envoy holds was seen before.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Masks credentials in what Envoy holds, which is of this size, and says whether that may go on.
    pub(crate) fn pass(&mut self, scrubber: &Scrubber, size: usize, ended: bool) -> Result<Action, Refused> {
        self.held = 0;
        if !self.is_searched || size == 0 {
            return Ok(Action::Continue);
        }
        let mut body = host::response_body(0, size)?;
        let searched = scrubber.mask(&mut body, ended);
        if searched.masked {
            host::set_response_body(size, &body)?;
        }
        if searched.open {
            self.held = size;
            return Ok(Action::Pause);
        }
        Ok(Action::Continue)
    }

    /// Its body is over, since its trailers have come.
    pub(crate) fn end(&mut self, scrubber: &Scrubber) -> Result<Action, Refused> {
        self.pass(scrubber, self.held, true)
    }
}
