//! What never leaves with a request: control headers, and every carrier of a credential on its host.

use std::rc::Rc;

use crate::denial::Reason;
use crate::query;
use crate::rules::Credential;
use crate::secret::PLACEHOLDER;
use crate::wire::Carriers;

use super::{Decision, Edit, Head, Plan, Smuggle, same_header};

/// Headers by which proxies and frameworks are told another path, method, host or caller.
const CONTROL_PREFIXES: &[&str] = &["x-envoy-", "x-forwarded-", "x-keyward-"];
const CONTROL_HEADERS: &[&str] = &[
    "forwarded",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// The one control header that stays: Envoy sets it, and finds no route for a request without it, so that removing it
/// here would answer 404. The route removes it (`request_headers_to_remove`), which is after that.
pub(crate) const ROUTERS_HEADER: &[u8] = b"x-forwarded-proto";

/// A credential for the proxy itself; goes upstream nowhere.
const PROXY_AUTHORIZATION: &str = "proxy-authorization";

/// Whether a header tells someone behind us another path, method, host or caller.
pub(crate) fn is_control_header(name: &[u8]) -> bool {
    // Most headers begin otherwise.
    if !matches!(name.first(), Some(b'x' | b'X' | b'f' | b'F')) {
        return false;
    }
    let prefixed = |prefix: &&str| name.get(..prefix.len()).is_some_and(|start| same_header(start, prefix));
    CONTROL_PREFIXES.iter().any(prefixed) || CONTROL_HEADERS.iter().any(|control| same_header(name, control))
}

/// The removals that a request needs, and whether one of them removed a credential.
pub(super) struct Stripping {
    edits: Vec<Edit>,
    smuggle: Smuggle,
}

impl Stripping {
    /// Finds control headers, `carriers`, and other spellings of the places that `credentials` fill.
    pub(super) fn of(head: &Head<'_>, carriers: &[Rc<Carriers>], credentials: &[Rc<Credential>]) -> Self {
        let mut stripping = Stripping { edits: Vec::new(), smuggle: Smuggle::None };
        for (name, value) in &head.headers {
            let carrier = is_carrier(name, carriers, credentials);
            if carrier && !is_placeholder(value) {
                stripping.smuggle = Smuggle::Attempted;
            }
            // Setting a header leaves one value of it, so only its other spellings need removing.
            let set_later = credentials.iter().any(|credential| credential.header().as_bytes() == *name);
            let control = is_control_header(name) && *name != ROUTERS_HEADER;
            if (carrier || control) && !set_later {
                stripping.remove(name);
            }
        }
        stripping.strip_query(head, carriers);
        stripping
    }

    pub(super) fn into_plan(
        self,
        decision: Decision,
        reason: Option<Reason>,
        carriers: Vec<Rc<Carriers>>,
    ) -> Plan {
        Plan {
            edits: self.edits,
            decision,
            reason,
            route: None,
            credentials: Vec::new(),
            scrub: Vec::new(),
            smuggle: self.smuggle,
            carriers,
        }
    }

    fn remove(&mut self, name: &[u8]) {
        // Names were checked to be tokens, so nothing is lost here.
        let name = String::from_utf8_lossy(name).into_owned();
        let known = self.edits.iter().any(|edit| matches!(edit, Edit::RemoveHeader(other) if *other == name));
        if !known {
            self.edits.push(Edit::RemoveHeader(name));
        }
    }

    fn strip_query(&mut self, head: &Head<'_>, carriers: &[Rc<Carriers>]) {
        let carries = |name: &[u8]| query::is_one_of(name, parameters_of(carriers));
        if let Some(stripped) = query::strip(head.path, carries) {
            self.edits.push(Edit::SetPath(stripped.target));
            if stripped.held_value {
                self.smuggle = Smuggle::Attempted;
            }
        }
    }
}

fn is_carrier(name: &[u8], carriers: &[Rc<Carriers>], credentials: &[Rc<Credential>]) -> bool {
    same_header(name, PROXY_AUTHORIZATION)
        || credentials.iter().any(|credential| same_header(name, credential.header()))
        || carriers.iter().flat_map(|table| &table.headers).any(|carrier| same_header(name, carrier))
}

/// Names of the query parameters in which credentials travel.
pub(super) fn parameters_of(carriers: &[Rc<Carriers>]) -> impl Iterator<Item = &str> {
    carriers.iter().flat_map(|table| &table.query).map(String::as_str)
}

/// Nothing, or the placeholder, alone or behind a scheme such as `Bearer`.
fn is_placeholder(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let token = value.rsplit(|b| *b == b' ').next().unwrap_or(value);
    value.is_empty() || token == PLACEHOLDER.as_bytes() && value.split(|b| *b == b' ').count() <= 2
}
