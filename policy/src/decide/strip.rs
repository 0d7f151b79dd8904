//! What never leaves with a request: control headers, and every carrier of a credential on its host.

use std::rc::Rc;

use crate::aws;
use crate::denial::Reason;
use crate::query;
use crate::rules::Credential;
use crate::secret::{PLACEHOLDER, Secret};
use crate::wire::{Carriers, Member, Target};

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

/// Where credentials travel on a host.
#[derive(Clone, Copy)]
pub(crate) struct Places<'a> {
    /// Names that are known to carry one there.
    pub(crate) carriers: &'a [Rc<Carriers>],
    /// What rules put in there.
    pub(crate) credentials: &'a [Rc<Credential>],
}

impl Places<'_> {
    /// Whether a credential may stand in a header of this name, or in one of its members.
    pub(crate) fn has_header(&self, name: &[u8]) -> bool {
        let mut members = self.carriers.iter().flat_map(|table| &table.members);
        is_carrier(name, self.carriers, self.credentials)
            || members.any(|member| same_header(name, &member.header))
    }

    /// Whether one may stand in a query parameter of this decoded name.
    pub(crate) fn has_parameter(&self, name: &[u8]) -> bool {
        query::is_one_of(name, parameters_of(self.carriers, self.credentials))
    }
}

/// The removals that a request needs, and whether one of them removed a credential.
pub(super) struct Stripping {
    edits: Vec<Edit>,
    /// Path and query, where they change.
    path: Option<Secret>,
    smuggle: Smuggle,
}

impl Stripping {
    /// Finds control headers, `carriers`, and other spellings of the places that `credentials` fill.
    pub(super) fn of(head: &Head<'_>, carriers: &[Rc<Carriers>], credentials: &[Rc<Credential>]) -> Self {
        let mut stripping = Stripping { edits: Vec::new(), path: None, smuggle: Smuggle::None };
        for (name, value) in &head.headers {
            let carrier = is_carrier(name, carriers, credentials);
            if carrier && !is_placeholder(value) && !is_date(name) {
                stripping.smuggle = Smuggle::Attempted;
            }
            // Setting a header leaves one value of it, so only its other spellings need removing.
            let set_later = credentials.iter().any(|credential| sets(credential.target(), name));
            let control = is_control_header(name) && *name != ROUTERS_HEADER;
            if (carrier || control) && !set_later {
                stripping.remove(name);
            }
        }
        for member in carriers.iter().flat_map(|table| &table.members) {
            stripping.strip_members(head, member);
        }
        stripping.strip_query(head, carriers, credentials);
        stripping
    }

    /// Adds a credential to the query.
    pub(super) fn append(&mut self, head: &Head<'_>, name: &str, value: &Secret) {
        // Exposed to stand in the request that it was sealed for.
        let target = self.path.as_ref().map_or(head.path, Secret::expose);
        self.path = Some(Secret::new(query::append(target, name, value.expose())));
    }

    pub(super) fn into_plan(
        mut self,
        decision: Decision,
        reason: Option<Reason>,
        carriers: Vec<Rc<Carriers>>,
    ) -> Plan {
        self.edits.extend(self.path.map(Edit::SetPath));
        Plan {
            edits: self.edits,
            decision,
            reason,
            route: None,
            credentials: Vec::new(),
            scrub: Vec::new(),
            smuggle: self.smuggle,
            one_time: None,
            carriers,
            unfinished: None,
        }
    }

    fn remove(&mut self, name: &[u8]) {
        let known = self.edits.iter().any(|edit| edit.header() == Some(name));
        if !known {
            self.edits.push(Edit::RemoveHeader(text(name)));
        }
    }

    /// Takes the members that carry a credential out of a list, and leaves the others: a server that finds none of the
    /// subprotocols that a client offered must be able to choose one of them.
    fn strip_members(&mut self, head: &Head<'_>, member: &Member) {
        let lines = head.headers.iter().filter(|(name, _)| same_header(name, &member.header));
        for name in distinct(lines.clone().map(|(name, _)| *name)) {
            let lines = lines.clone().filter(|(other, _)| *other == name);
            let members =
                lines.flat_map(|(_, line)| line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
            let credential = |text: &&[u8]| {
                let start = text.get(..member.prefix.len());
                start.is_some_and(|start| start.eq_ignore_ascii_case(member.prefix.as_bytes()))
            };
            let (taken, left): (Vec<_>, Vec<_>) = members.partition(credential);
            let held = |text: &&[u8]| text.get(member.prefix.len()..) != Some(PLACEHOLDER.as_bytes());
            if taken.iter().any(held) {
                self.smuggle = Smuggle::Attempted;
            }
            if !taken.is_empty() {
                self.keep(name, &left);
            }
        }
    }

    fn keep(&mut self, name: &[u8], members: &[&[u8]]) {
        match members {
            [] => self.remove(name),
            _ => {
                let value = Rc::new(Secret::new(members.join(&b", "[..])));
                self.edits.push(Edit::SetHeader { name: text(name), value });
            }
        }
    }

    fn strip_query(&mut self, head: &Head<'_>, carriers: &[Rc<Carriers>], credentials: &[Rc<Credential>]) {
        let carries = |name: &[u8]| query::is_one_of(name, parameters_of(carriers, credentials));
        if let Some(stripped) = query::strip(head.path, carries) {
            self.path = Some(Secret::new(stripped.target));
            if stripped.held_value {
                self.smuggle = Smuggle::Attempted;
            }
        }
    }
}

/// Names were checked to be tokens, so nothing is lost here.
fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn distinct<'a>(names: impl Iterator<Item = &'a [u8]>) -> Vec<&'a [u8]> {
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

fn is_carrier(name: &[u8], carriers: &[Rc<Carriers>], credentials: &[Rc<Credential>]) -> bool {
    same_header(name, PROXY_AUTHORIZATION)
        || credentials.iter().any(|credential| carries(credential.target(), name))
        || carriers.iter().flat_map(|table| &table.headers).any(|carrier| same_header(name, carrier))
}

/// Whether a header carries what a target fills, or what it replaces.
fn carries(target: &Target, name: &[u8]) -> bool {
    target.headers().any(|header| same_header(name, header))
}

/// Whether filling a target sets the header of just this name, whatever it was.
fn sets(target: &Target, name: &[u8]) -> bool {
    match target {
        Target::AwsV4 { .. } => aws::SET_HEADERS.iter().any(|set| set.as_bytes() == name),
        other => other.header().is_some_and(|header| header.as_bytes() == name),
    }
}

/// Names of the query parameters in which credentials travel.
fn parameters_of<'a>(
    carriers: &'a [Rc<Carriers>],
    credentials: &'a [Rc<Credential>],
) -> impl Iterator<Item = &'a str> {
    let listed = carriers.iter().flat_map(|table| &table.query).map(String::as_str);
    listed.chain(credentials.iter().flat_map(|credential| credential.target().parameters()))
}

/// The one header that is replaced and is no credential.
fn is_date(name: &[u8]) -> bool {
    same_header(name, "x-amz-date")
}

/// Nothing, or the placeholder: alone, behind a scheme such as `Bearer`, or as the access key id of a signature.
fn is_placeholder(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    if let Some(signature) = value.strip_prefix(b"AWS4-HMAC-SHA256 Credential=") {
        return signature.split(|b| *b == b'/').next() == Some(PLACEHOLDER.as_bytes());
    }
    let token = value.rsplit(|b| *b == b' ').next().unwrap_or(value);
    value.is_empty() || token == PLACEHOLDER.as_bytes() && value.split(|b| *b == b' ').count() <= 2
}
