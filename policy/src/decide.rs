//! A request to a verdict: forward it with these edits, or refuse it.
//!
//! One rule wins, chosen over all rules of all patterns that name the host: one that forbids, narrower host, narrower endpoint, a listed
//! method over any, narrower model, lower rank, route name. Absent on purpose: anything that applies the edits.

mod connection;
mod finish;
mod head;
mod select;
mod strip;

use std::rc::Rc;

pub use connection::Facts;
pub use finish::Needs;
pub use head::Head;
pub(crate) use head::{is_token_byte, same_header};
pub(crate) use strip::{Places, ROUTERS_HEADER, is_control_header};

use crate::aws;
use crate::denial::{Denial, Reason};
use crate::google::Grant;
use crate::model::Body;
use crate::rules::{Credential, Material, Rule, RuleSet, Then};
use crate::secret::Secret;
use crate::wire::{AgentSide, Carriers, Target, Unlisted};
use finish::Unfinished;
use select::Selected;
use strip::Stripping;

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
    /// A secret of this request alone: its signature.
    pub one_time: Option<Secret>,
    /// Where credentials travel on the host.
    carriers: Vec<Rc<Carriers>>,
    /// What is missing until it can be carried out ([`Plan::finish`]).
    unfinished: Option<Unfinished>,
}

/// What comes of a request.
pub type Verdict = Result<Plan, Denial>;

/// What comes of a request's head.
pub enum Step {
    /// This, once it is finished ([`Plan::needs`]).
    Forward(Plan),
    /// Its body says which rule it is for: hold it back, and ask again with all of it.
    ReadBody,
}

impl Step {
    /// The plan. A body that would have to be read is no body that can be read.
    ///
    /// # Errors
    /// [`Denial`]: the request needs its body.
    pub fn plan(self) -> Verdict {
        match self {
            Step::Forward(plan) => Ok(plan),
            Step::ReadBody => Err(Reason::ModelUnreadable.into()),
        }
    }
}

impl Plan {
    /// Path and query that go upstream, where they are not those of the request.
    #[must_use]
    pub fn path(&self) -> Option<&[u8]> {
        self.edits.iter().find_map(|edit| match edit {
            // Exposed to be recorded, scrubbed, and to be signed.
            Edit::SetPath(path) => Some(path.expose()),
            Edit::RemoveHeader(_) | Edit::SetHeader { .. } => None,
        })
    }

    /// Where credentials travel on the host.
    pub(crate) fn places(&self) -> Places<'_> {
        Places { carriers: &self.carriers, credentials: &self.scrub }
    }

    /// The headers that go upstream as the agent sent them.
    pub(crate) fn kept<'a>(&self, head: &Head<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let changed = |name: &[u8]| self.edits.iter().any(|edit| edit.header() == Some(name));
        let kept = head.headers.iter().filter(move |(name, _)| *name != ROUTERS_HEADER && !changed(name));
        kept.copied()
    }
}

/// One change to the request's head.
pub enum Edit {
    /// Remove every value of this header, named as the agent wrote it.
    RemoveHeader(String),
    /// Replace all values of `:path`; a credential may be in its query.
    SetPath(Secret),
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
    /// Forwarded with a signature.
    Signed,
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
            Decision::Signed => "signed",
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
    /// Judges a request by its head, its connection, and what is at hand of its body.
    ///
    /// # Errors
    /// [`Denial`]: answer locally, forward nothing.
    pub fn decide(&self, facts: &Facts<'_>, head: &Head<'_>, body: Body<'_>) -> Result<Step, Denial> {
        head.check_names()?;
        head.check_method()?;
        let authority = connection::agree(self.agent_side(), facts, head)?;
        let known: Vec<_> = self.of_host(&authority.host).collect();
        if known.is_empty() {
            let plan = unlisted(self.frame.other_hosts, head, Reason::HostNotListed, Vec::new())?;
            return Ok(Step::Forward(plan));
        }
        if matches!(facts, Facts::Cleartext) {
            return Err(Reason::Cleartext.into());
        }
        if !known.iter().any(|(_, rules)| rules.serves(authority.port)) {
            return Err(Reason::PortNotListed.into());
        }
        match select::most_specific(&known, authority.port, head, body)? {
            Selected::InBody => Ok(Step::ReadBody),
            Selected::Rule(rule) => {
                let request = Request { host: &authority.host, head, body };
                self.carry_out(rule, facts, &request).map(Step::Forward)
            }
            Selected::None(reason) => {
                let carriers = known.iter().flat_map(|(_, rules)| rules.carriers()).collect();
                let mut plan = unlisted(self.frame.unlisted, head, reason, carriers)?;
                plan.scrub = self.credentials_of(&authority.host);
                Ok(Step::Forward(plan))
            }
        }
    }

    /// Every credential of the hosts that head and connection name: what the record of a refused request is scrubbed of.
    #[must_use]
    pub fn credentials_at(&self, facts: &Facts<'_>, head: &Head<'_>) -> Vec<Rc<Credential>> {
        let hosts = connection::hosts(facts, head);
        hosts.iter().flat_map(|host| self.credentials_of(host)).collect()
    }

    /// What carries credentials on these hosts, for any of their rules: what the agent of a refused request sent there
    /// may be a key of its own.
    pub(crate) fn carriers_at(&self, facts: &Facts<'_>, head: &Head<'_>) -> Vec<Rc<Carriers>> {
        let hosts = connection::hosts(facts, head);
        hosts.iter().flat_map(|host| self.of_host(host)).flat_map(|(_, rules)| rules.carriers()).collect()
    }

    fn carry_out(&self, rule: &Rule, facts: &Facts<'_>, request: &Request<'_>) -> Verdict {
        let refuse = |reason| Denial { reason, route: Some(rule.route.clone()) };
        match &rule.then {
            Then::Deny(reason) => Err(refuse(*reason)),
            Then::Inject(_) if !self.cluster_allowed(facts) => Err(refuse(Reason::ClusterNotAllowed)),
            Then::Inject(credentials) => inject(rule, credentials, request).map_err(refuse),
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

/// What a rule is carried out on.
struct Request<'a> {
    /// Canonical.
    host: &'a str,
    head: &'a Head<'a>,
    body: Body<'a>,
}

/// With all of the rule's credentials: a request never goes out with some of them.
fn inject(rule: &Rule, credentials: &[Rc<Credential>], request: &Request<'_>) -> Result<Plan, Reason> {
    let carriers = vec![Rc::clone(&rule.carriers)];
    let mut stripping = Stripping::of(request.head, &carriers, credentials);
    let (mut set, mut unfinished) = (Vec::new(), None);
    for credential in credentials {
        let material = credential.material().ok_or(Reason::CredentialUnsealable)?;
        match (credential.target(), material) {
            (Target::Header { name, .. }, Material::Value { whole, .. }) => {
                set.push(Edit::SetHeader { name: name.clone(), value: Rc::clone(whole) });
            }
            (Target::Query { name }, Material::Value { whole, .. }) => {
                stripping.append(request.head, name, whole);
            }
            (Target::GoogleToken {}, Material::Token { bearer, until }) => {
                set.push(Edit::SetHeader { name: "authorization".to_owned(), value: Rc::clone(bearer) });
                unfinished = Some(Unfinished::Token { until: *until });
            }
            (Target::GoogleJwt { scopes, audience }, Material::Google(_)) => {
                let grant = match (scopes.as_slice(), audience) {
                    ([], None) => Grant::Audience(format!("https://{}/", request.host)),
                    ([], Some(audience)) => Grant::Audience(audience.clone()),
                    (scopes, _) => Grant::Scopes(scopes.join(" ")),
                };
                unfinished = Some(Unfinished::OwnToken { credential: Rc::clone(credential), grant });
            }
            (Target::AwsV4 { region, service }, Material::Aws(_)) => {
                let region = region.as_deref().or_else(|| aws::region_of(request.host));
                let region = region.ok_or(Reason::RegionUnknown)?.to_owned();
                let payload = aws::payload(service, request.head)?;
                let hashed = payload == aws::Payload::Hashed && request.body != Body::None;
                let credential = Rc::clone(credential);
                unfinished = Some(Unfinished::Signature { credential, region, payload, hashed });
            }
            _ => return Err(Reason::CredentialUnsealable),
        }
    }
    let signed = matches!(unfinished, Some(Unfinished::Signature { .. }));
    let decision = if signed { Decision::Signed } else { Decision::Injected };
    let mut plan = stripping.into_plan(decision, None, carriers);
    plan.route = Some(rule.route.clone());
    plan.edits.extend(set);
    plan.credentials = credentials.to_vec();
    plan.scrub = credentials.to_vec();
    plan.unfinished = unfinished;
    Ok(plan)
}

#[cfg(test)]
mod tests;
