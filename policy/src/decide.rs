//! A request to a verdict: forward it with these edits, or refuse it.
//!
//! One rule wins, chosen over all rules of all patterns that name the host: narrower host, narrower endpoint, a listed
//! method over any, lower rank, route name. Absent on purpose: anything that applies the edits.

mod connection;
mod head;
mod strip;

use std::cmp::Reverse;
use std::rc::Rc;

pub use connection::Facts;
pub use head::Head;
pub(crate) use head::{is_token_byte, same_header};
pub(crate) use strip::{ROUTERS_HEADER, is_control_header};

use crate::denial::{Denial, Reason};
use crate::glob;
use crate::host;
use crate::path;
use crate::rules::{Credential, Rule, RuleSet, Then};
use crate::secret::Secret;
use crate::wire::{AgentSide, Carriers, Unlisted};
use strip::{Stripping, parameters_of};

/// Methods that a rule without a list allows.
pub const DEFAULT_METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// A request that is forwarded, and how.
pub struct Plan {
    /// What to change, each with one host call, in this order. Only headers that are there are removed.
    pub edits: Vec<Edit>,
    /// Whether a credential goes out with it.
    pub decision: Decision,
    /// Why none does, where that is so.
    pub reason: Option<Reason>,
    /// `namespace/name` of the route whose rule matched.
    pub route: Option<String>,
    /// The credentials injected.
    pub credentials: Vec<Rc<Credential>>,
    /// What response and record are to be scrubbed of ([`crate::rules::Vault::scrubber`]): the credentials injected,
    /// or all of the host's where none is.
    pub scrub: Vec<Rc<Credential>>,
    /// Whether the agent sent a credential of its own.
    pub smuggle: Smuggle,
    /// Where credentials travel on the host.
    carriers: Vec<Rc<Carriers>>,
}

/// What comes of a request.
pub type Verdict = Result<Plan, Denial>;

impl Plan {
    /// Path and query that go upstream, where they are not those of the request.
    #[must_use]
    pub fn path(&self) -> Option<&[u8]> {
        self.edits.iter().find_map(|edit| match edit {
            Edit::SetPath(path) => Some(path.as_slice()),
            Edit::RemoveHeader(_) | Edit::SetHeader { .. } => None,
        })
    }

    /// Names of the query parameters that carry credentials on the host.
    pub(crate) fn credential_parameters(&self) -> impl Iterator<Item = &str> {
        parameters_of(&self.carriers)
    }
}

/// One change to the request's head.
pub enum Edit {
    /// Remove every value of this header, named as the agent wrote it.
    RemoveHeader(String),
    /// Replace all values of `:path`.
    SetPath(Vec<u8>),
    /// Leave exactly this value of a header.
    SetHeader {
        /// Lower-case name.
        name: String,
        /// The value, prefix included.
        value: Rc<Secret>,
    },
}

impl Edit {
    /// The name of the header that it removes or sets.
    pub(crate) fn header(&self) -> Option<&[u8]> {
        match self {
            Edit::RemoveHeader(name) | Edit::SetHeader { name, .. } => Some(name.as_bytes()),
            Edit::SetPath(_) => None,
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Forwarded with a credential.
    Injected,
    /// Forwarded without one.
    Passed,
    /// Refused.
    Denied,
}

impl Decision {
    /// As records name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::Injected => "injected",
            Decision::Passed => "passed",
            Decision::Denied => "denied",
        }
    }
}

/// Whether the agent sent something other than nothing or the placeholder where a credential can travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Smuggle {
    /// It did not.
    None,
    /// It did, and it was removed.
    Attempted,
}

impl RuleSet {
    /// Judges a request by its head and its connection.
    ///
    /// # Errors
    /// [`Denial`]: answer locally, forward nothing.
    pub fn decide(&self, facts: &Facts<'_>, head: &Head<'_>) -> Verdict {
        head.check_names()?;
        head.check_method()?;
        let authority = connection::agree(self.agent_side(), facts, head)?;
        let known: Vec<_> = self.of_host(&authority.host).collect();
        if known.is_empty() {
            return unlisted(self.frame.other_hosts, head, Reason::HostNotListed, Vec::new());
        }
        if matches!(facts, Facts::Cleartext) {
            return Err(Reason::Cleartext.into());
        }
        let served: Vec<_> =
            known.into_iter().filter(|(_, rule)| rule.ports.contains(&authority.port)).collect();
        if served.is_empty() {
            return Err(Reason::PortNotListed.into());
        }
        match most_specific(&served, head)? {
            Some(rule) => self.carry_out(rule, facts, head),
            None => {
                let carriers = served.iter().map(|(_, rule)| Rc::clone(&rule.carriers)).collect();
                let mut plan = unlisted(self.frame.unlisted, head, Reason::EndpointNotListed, carriers)?;
                plan.scrub = self.credentials_of(&authority.host);
                Ok(plan)
            }
        }
    }

    /// Every credential of the host that the head names: what the record of a refused request is scrubbed of.
    #[must_use]
    pub fn credentials_at(&self, facts: &Facts<'_>, head: &Head<'_>) -> Vec<Rc<Credential>> {
        connection::authority(facts, head)
            .map_or_else(|_| Vec::new(), |named| self.credentials_of(&named.host))
    }

    fn carry_out(&self, rule: &Rule, facts: &Facts<'_>, head: &Head<'_>) -> Verdict {
        let refuse = |reason| Denial { reason, route: Some(rule.route.clone()) };
        match &rule.then {
            Then::Deny(reason) => Err(refuse(*reason)),
            Then::Inject(_) if !self.cluster_allowed(facts) => Err(refuse(Reason::ClusterNotAllowed)),
            Then::Inject(credentials) => {
                inject(rule, credentials, head).ok_or_else(|| refuse(Reason::CredentialUnsealable))
            }
        }
    }

    fn cluster_allowed(&self, facts: &Facts<'_>) -> bool {
        match (self.agent_side(), facts) {
            (AgentSide::Tls, Facts::Tls { .. }) => true,
            (AgentSide::TrustedPlaintext { clusters }, Facts::Cluster(cluster)) => {
                clusters.iter().any(|allowed| allowed.as_bytes() == *cluster)
            }
            _ => false,
        }
    }
}

fn unlisted(what: Unlisted, head: &Head<'_>, reason: Reason, carriers: Vec<Rc<Carriers>>) -> Verdict {
    if !head.has_method_of(DEFAULT_METHODS) {
        return Err(Reason::MethodNotAllowed.into());
    }
    match what {
        Unlisted::Deny => Err(reason.into()),
        Unlisted::Pass => {
            let stripping = Stripping::of(head, &carriers, &[]);
            Ok(stripping.into_plan(Decision::Passed, Some(reason), carriers))
        }
    }
}

/// With all of the rule's credentials; `None` when one does not open: a request never goes out with some of them.
fn inject(rule: &Rule, credentials: &[Rc<Credential>], head: &Head<'_>) -> Option<Plan> {
    let set = credentials.iter().map(|credential| {
        let (name, value) = (credential.header().to_owned(), Rc::clone(credential.value()?));
        Some(Edit::SetHeader { name, value })
    });
    let set = set.collect::<Option<Vec<Edit>>>()?;
    let carriers = vec![Rc::clone(&rule.carriers)];
    let stripping = Stripping::of(head, &carriers, credentials);
    let mut plan = stripping.into_plan(Decision::Injected, None, carriers);
    plan.route = Some(rule.route.clone());
    plan.edits.extend(set);
    plan.credentials = credentials.to_vec();
    plan.scrub = credentials.to_vec();
    Some(plan)
}

/// A rule at a place of a host, by how narrowly it names the request. Greater wins; of rules that differ in nothing
/// else, the one that denies.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Claim<'a> {
    host: host::Specificity,
    endpoint: glob::Specificity,
    method_listed: bool,
    rank: Reverse<u32>,
    route: Reverse<&'a str>,
    denies: bool,
}

fn most_specific<'a>(
    served: &[(host::Specificity, &'a Rule)],
    head: &Head<'_>,
) -> Result<Option<&'a Rule>, Denial> {
    // Where no rule has endpoints no decision rests on the path, so its bytes may be what they like.
    let path = if served.iter().any(|(_, rule)| rule.endpoints.is_some()) {
        path::canonical(head.path).map_err(|_| Reason::PathNotCanonical)?
    } else {
        ""
    };
    let claims = served.iter().filter_map(|(host, rule)| {
        let (endpoint, method_listed) = (endpoint_claim(rule, path)?, method_claim(rule, head)?);
        let (rank, route) = (Reverse(rule.rank), Reverse(rule.route.as_str()));
        let denies = matches!(rule.then, Then::Deny(_));
        Some((Claim { host: *host, endpoint, method_listed, rank, route, denies }, *rule))
    });
    Ok(claims.max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, rule)| rule))
}

/// The narrowest of the rule's endpoints that the path matches.
fn endpoint_claim(rule: &Rule, path: &str) -> Option<glob::Specificity> {
    match &rule.endpoints {
        None => Some(glob::Specificity::ANY),
        Some(globs) => globs.iter().filter(|glob| glob.matches(path)).map(glob::Glob::specificity).max(),
    }
}

fn method_claim(rule: &Rule, head: &Head<'_>) -> Option<bool> {
    match &rule.methods {
        None => head.has_method_of(DEFAULT_METHODS).then_some(false),
        Some(listed) => head.has_method_of(listed).then_some(true),
    }
}

#[cfg(test)]
mod tests;
