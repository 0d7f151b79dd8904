//! What becomes of the request: Envoy's part by its configuration, the filter's by the filter's own function.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use policy::aws::BodyHash;
use policy::decide::{Decision, Edit, Facts, Plan, Step};
use policy::denial::{Denial, Reason};
use policy::google::{Account, Claims, Signer};
use policy::rules::{RuleSet, Vault};
use policy::secret::Secret;
use policy::wire::{Config, Target};

use super::request::Request;
use crate::certificates::MintPolicy;
use crate::cli::Failure;
use crate::cli::offline::Offline;
use crate::envoy::names;
use crate::envoy::walk::{self, Configuration, Connection, End, Outcome, Routed};
use crate::plan::{BUCKETS, GatewayPlan};

/// What becomes of a request.
pub(super) enum Verdict {
    /// It goes upstream, with a credential or without.
    Forwarded(Forwarded),
    /// Its connection passes as it is: nobody looks inside.
    Untouched,
    /// Its connection is closed; the agent sees no answer.
    Closed(&'static str),
    /// It is answered.
    Denied(Refused),
    /// Which rule it is for stands in its body.
    NeedsModel,
}

/// A request that goes upstream.
#[derive(Default)]
pub(super) struct Forwarded {
    pub(super) decision: &'static str,
    pub(super) reason: Option<&'static str>,
    pub(super) route: Option<String>,
    pub(super) credentials: Vec<Given>,
    pub(super) removed_headers: BTreeSet<String>,
    pub(super) removed_query: BTreeSet<String>,
    pub(super) set_headers: BTreeSet<String>,
    pub(super) set_query: BTreeSet<String>,
}

/// A credential that goes with it: its id, and its place.
pub(super) struct Given {
    pub(super) policy: String,
    pub(super) place: String,
}

/// A request that is answered.
pub(super) struct Refused {
    /// As records name it.
    pub(super) exact: &'static str,
    /// The value of `x-keyward-reason`.
    pub(super) coarse: String,
    pub(super) status: u32,
    pub(super) route: Option<String>,
}

impl Verdict {
    /// 0: it goes upstream. 1: it does not. 2: ask with the model.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Verdict::Forwarded(_) | Verdict::Untouched => 0,
            Verdict::Closed(_) | Verdict::Denied(_) => 1,
            Verdict::NeedsModel => 2,
        }
    }

    fn of_envoy(status: u32, coarse: String, exact: Reason) -> Verdict {
        Verdict::Denied(Refused { exact: exact.as_str(), coarse, status, route: None })
    }
}

/// Judges a request at a gateway.
///
/// # Errors
/// [`Failure`]: the configuration cannot be read, a fault of ours.
pub(super) fn of(plan: &GatewayPlan, offline: &Offline, request: &Request) -> Result<Verdict, Failure> {
    let configuration = Configuration::of(plan).map_err(Failure::failed)?;
    let judge = Judge { plan, offline, request, configuration };
    if request.is_https { judge.tls() } else { judge.cleartext() }
}

struct Judge<'a> {
    plan: &'a GatewayPlan,
    offline: &'a Offline,
    request: &'a Request,
    configuration: Configuration,
}

impl Judge<'_> {
    /// A plain request to the proxy port.
    fn cleartext(&self) -> Result<Verdict, Failure> {
        let routed = self.route(names::PROXY_ROUTES, false, &self.request.authority)?;
        match routed {
            Routed { filter: Some(filter), .. } => self.filtered(&filter, &Facts::Cleartext, &routed.outcome),
            Routed { outcome, .. } => Ok(self.answered(&outcome)),
        }
    }

    /// A request inside TLS: behind CONNECT, or on the transparent port.
    fn tls(&self) -> Result<Verdict, Failure> {
        let mut listener = names::TRANSPARENT_LISTENER.to_owned();
        let target = (!self.request.is_transparent).then_some(self.request.target.as_str());
        if let Some(target) = target {
            match self.route(names::PROXY_ROUTES, true, target)?.outcome {
                Outcome::Cluster(cluster) if self.configuration.is_listener(&cluster) => listener = cluster,
                Outcome::Cluster(_) => return Ok(Verdict::Untouched),
                refused @ Outcome::Refused { .. } => return Ok(self.answered(&refused)),
            }
        }
        let connection = Connection { sni: self.request.sni.as_deref(), target };
        // A connection crosses a few listeners at most: proxy or transparent port, tunnel, interception.
        for _ in 0..names::HOPS {
            match self.configuration.connect(&listener, connection).map_err(Failure::failed)? {
                End::Closed => {
                    return Ok(Verdict::Closed("this gateway takes no connection with this server name"));
                }
                End::Misnamed => {
                    return Ok(Verdict::Closed("the server name is not that of the target"));
                }
                End::Untouched => return Ok(Verdict::Untouched),
                End::Listener(name) if name == listener => return self.intercepted(target),
                End::Listener(name) => listener = name,
            }
        }
        Err(Failure::Failed("the connection comes to no end in the gateway's configuration".to_owned()))
    }

    fn intercepted(&self, target: Option<&str>) -> Result<Verdict, Failure> {
        if !self.request.sni.as_deref().is_some_and(|sni| MintPolicy::of(self.plan).allows(sni)) {
            return Ok(Verdict::Closed("this gateway makes no certificate for this server name"));
        }
        let known = format!("{}|{}", self.request.sni.as_deref().unwrap_or("-"), target.unwrap_or("-"));
        let routed = self.route(names::MITM_ROUTES, false, &self.request.authority)?;
        match &routed.filter {
            Some(filter) => self.filtered(filter, &Facts::parse(known.as_bytes()), &routed.outcome),
            None => Ok(self.answered(&routed.outcome)),
        }
    }

    fn route(&self, routes: &str, connect: bool, authority: &str) -> Result<Routed, Failure> {
        let authority = match authority.rsplit_once(".:") {
            Some((host, port)) => format!("{host}:{port}"),
            None => authority.trim_end_matches('.').to_owned(),
        };
        let upgrade = self.request.upgrade();
        let request = walk::Request { connect, authority: &authority, upgrade };
        self.configuration.route(routes, request).map_err(Failure::failed)
    }

    /// What a route says where no filter has a say before it.
    fn answered(&self, outcome: &Outcome) -> Verdict {
        let Outcome::Refused { status, reason } = outcome else {
            return Verdict::Closed("its route forwards without a filter");
        };
        Verdict::of_envoy(*status, reason.clone(), self.exact(reason))
    }

    /// The exact cause of a refusal by Envoy, which itself names the coarse one alone.
    fn exact(&self, coarse: &str) -> Reason {
        let is_named =
            self.plan.hosts.keys().any(|pattern| pattern.matches(&self.request.host().to_ascii_lowercase()));
        match coarse {
            "cleartext" => Reason::Cleartext,
            "misdirected" => Reason::AuthorityMalformed,
            "denied_by_policy" if is_named => Reason::PortNotListed,
            "denied_by_policy" => Reason::HostNotListed,
            _ => Reason::NoConfiguration,
        }
    }

    fn config(&self, filter: &str) -> &Config {
        let bucket = (0..BUCKETS).find(|index| names::bucket(*index) == filter);
        bucket.and_then(|index| self.plan.buckets.get(index)).unwrap_or(&self.plan.guard)
    }

    /// What the filter decides, and the route after it.
    fn filtered(&self, filter: &str, facts: &Facts<'_>, after: &Outcome) -> Result<Verdict, Failure> {
        let bytes = serde_json::to_vec(self.config(filter)).map_err(Failure::failed)?;
        let mut vault = Vault::new(Some(self.offline.keyring()?));
        let rules = RuleSet::compile(&bytes, &mut vault).map_err(Failure::failed)?;
        let head = self.request.head();
        let decided = rules.decide(facts, &head, self.request.body()).and_then(|step| match step {
            Step::ReadBody => Ok(None),
            Step::Forward(mut plan) => {
                plan.finish(&head, now(), BodyHash::default(), &NoSigner)?;
                Ok(Some(plan))
            }
        });
        Ok(match decided {
            Err(denial) => denied(&denial),
            Ok(None) => Verdict::NeedsModel,
            Ok(Some(_)) if matches!(after, Outcome::Refused { .. }) => self.answered(after),
            Ok(Some(plan)) => Verdict::Forwarded(forwarded(&plan, &self.request.path)),
        })
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn denied(denial: &Denial) -> Verdict {
    Verdict::Denied(Refused {
        exact: denial.reason.as_str(),
        coarse: denial.reason.coarse().as_str().to_owned(),
        status: u32::from(denial.status()),
        route: denial.route.clone(),
    })
}

fn forwarded(plan: &Plan, path: &str) -> Forwarded {
    let mut forwarded = Forwarded {
        decision: match plan.decision {
            // A plan is of a request that is forwarded.
            Decision::Denied | Decision::Passed => Decision::Passed.as_str(),
            decision => decision.as_str(),
        },
        reason: plan.reason.map(Reason::as_str),
        route: plan.route.clone(),
        ..Forwarded::default()
    };
    for edit in &plan.edits {
        match edit {
            Edit::RemoveHeader(name) => drop(forwarded.removed_headers.insert(name.clone())),
            Edit::SetHeader { name, .. } => drop(forwarded.set_headers.insert(name.clone())),
            Edit::SetPath(_) => {}
        }
    }
    for credential in &plan.credentials {
        forwarded.set_query.extend(credential.target().parameter().map(str::to_owned));
        let place = place(credential.target());
        forwarded.credentials.push(Given { policy: credential.id().to_owned(), place });
    }
    // Their names alone: the values may be credentials of the agent's, or ours.
    let left = plan.path().map(parameters).unwrap_or_else(|| parameters(path.as_bytes()));
    let kept = |name: &String| left.contains(name) && !forwarded.set_query.contains(name);
    forwarded.removed_query = parameters(path.as_bytes()).into_iter().filter(|name| !kept(name)).collect();
    forwarded
}

fn parameters(path: &[u8]) -> BTreeSet<String> {
    let query = path.split(|byte| *byte == b'?').nth(1).unwrap_or_default();
    let names = query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    names
        .map(|pair| pair.split(|byte| *byte == b'=').next().unwrap_or_default())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

/// Where a credential goes, in words.
fn place(target: &Target) -> String {
    match target {
        Target::Header { name, prefix } if prefix.is_empty() => format!("header {name}"),
        Target::Header { name, prefix } => format!("header {name}, behind `{}`", prefix.trim_end()),
        Target::Query { name } => format!("query parameter {name}"),
        Target::AwsV4 { service, .. } => format!("AWS Signature Version 4 for {service}"),
        Target::GoogleToken {} | Target::GoogleJwt { .. } => {
            "header authorization, a Google token".to_owned()
        }
    }
}

/// A controller's configuration holds no account: it holds tokens.
struct NoSigner;

impl Signer for NoSigner {
    fn sign(&self, _: &Account, _: &Claims<'_>) -> Option<Secret> {
        None
    }
}
