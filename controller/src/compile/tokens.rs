//! Google tokens in a compilation: which of them rules need, and what conditions say of them.
//!
//! Tokens come in with the inputs, and their times with them: nothing here depends on a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use policy::api::Kind;
use policy::api::credential_injection_policy::{ProviderAuth, ProviderAuthKind, Spec};
use policy::rules::Token as Sealable;
use policy::secret::Secret;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::verdict::{ACCEPTED, RESOLVED, RESOLVED_REFS, Refusal, TOKEN_RENEWAL, condition, no, yes};
use crate::conditions::{Condition, ObjectRef, ObjectStatus, Statuses, Truth};
use crate::google::{AccountError, Grant, GrantError, ServiceAccount, Snapshot, Token, TokenKey, TokenState};
use crate::plan::ObjectKey;

/// The tokens that plans need, and who needs them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokens {
    /// By token: of whom it is.
    pub wanted: BTreeMap<TokenKey, Origin>,
    /// By policy: the tokens that its credentials are.
    pub of_policies: BTreeMap<ObjectKey, BTreeSet<TokenKey>>,
}

/// Whose a token is, and what the certificate of its endpoint may be signed by besides the system's roots.
#[derive(Clone)]
pub struct Origin {
    /// The account.
    pub account: Arc<ServiceAccount>,
    /// Certificates as PEM: the additional trust bundles of the gateways that use the token. Who attaches a route to a
    /// gateway hands it the token anyway.
    pub roots: BTreeSet<String>,
}

/// Without the account, which holds a key.
impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("roots", &self.roots).finish_non_exhaustive()
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Origin) -> bool {
        self.account.is_same_file(&other.account) && self.roots == other.roots
    }
}

impl Eq for Origin {}

/// Which tokens one gateway's plan needs: by token, the account and the policies.
pub(super) type Needed = BTreeMap<TokenKey, (Arc<ServiceAccount>, BTreeSet<ObjectKey>)>;

impl Tokens {
    /// Adds what the plan of a gateway with these certificates needs.
    pub(super) fn add(&mut self, needed: Needed, roots: &str) {
        for (key, (account, policies)) in needed {
            for policy in policies {
                self.of_policies.entry(policy).or_default().insert(key.clone());
            }
            let origin = self.wanted.entry(key).or_insert_with(|| Origin { account, roots: BTreeSet::new() });
            if !roots.is_empty() {
                origin.roots.insert(roots.to_owned());
            }
        }
    }

    /// Brings the conditions of the policies that use tokens up to how those stand.
    pub fn say(&self, statuses: &mut Statuses, states: &Snapshot) {
        for (policy, keys) in &self.of_policies {
            let object = ObjectRef::new(Kind::CredentialInjectionPolicy, policy.clone());
            let Some(ObjectStatus::Policy(ancestors)) = statuses.0.get_mut(&object) else { continue };
            for conditions in ancestors.iter_mut().map(|ancestor| &mut ancestor.conditions) {
                if conditions.holds(ACCEPTED) {
                    let generation =
                        conditions.of(ACCEPTED).and_then(|accepted| accepted.observed_generation);
                    let standing = Standing::of(keys, states);
                    conditions.set(RESOLVED_REFS, standing.resolved(generation));
                    conditions.set(TOKEN_RENEWAL, standing.renewal(generation));
                }
            }
        }
    }
}

/// The accounts that Secrets hold, each read once.
#[derive(Default)]
pub(super) struct Accounts(BTreeMap<(ObjectKey, String), Result<Arc<ServiceAccount>, AccountError>>);

impl Accounts {
    /// The account in the key of a Secret, whose value this is.
    pub(super) fn of(
        &mut self,
        secret: &ObjectKey,
        key: &str,
        value: &[u8],
    ) -> Result<Arc<ServiceAccount>, AccountError> {
        let read = || ServiceAccount::parse(value).map(Arc::new);
        self.0.entry((secret.clone(), key.to_owned())).or_insert_with(read).clone()
    }
}

/// Where the token of a policy comes from.
pub(super) struct Source {
    pub(super) account: Arc<ServiceAccount>,
    maker: Maker,
}

/// Names the tokens of a policy.
pub(super) struct Maker {
    namespace: String,
    secret: String,
    key: String,
    auth: ProviderAuth,
}

impl Maker {
    /// `None` where the policy does not use a service account.
    pub(super) fn of(key: &ObjectKey, spec: &Spec) -> Option<Maker> {
        let auth = spec.provider_auth.as_ref().filter(|auth| is_google(auth))?;
        Some(Maker {
            namespace: key.namespace.clone(),
            secret: spec.secret_ref.name.clone(),
            key: spec.secret_key.clone(),
            auth: auth.clone(),
        })
    }

    /// The token for requests to a host; `None` of the host stands for a pattern. Fails where a pattern leaves open
    /// what the token is for.
    pub(super) fn token(&self, host: Option<&str>) -> Result<TokenKey, GrantError> {
        Ok(TokenKey {
            namespace: self.namespace.clone(),
            secret: self.secret.clone(),
            key: self.key.clone(),
            grant: Grant::of(self.auth.gcp.as_ref(), host)?,
        })
    }

    /// Whether each host has a token of its own.
    pub(super) fn is_per_host(&self) -> bool {
        Grant::of(self.auth.gcp.as_ref(), None) == Err(GrantError::HostUnknown)
    }
}

impl Source {
    pub(super) fn new(account: Arc<ServiceAccount>, maker: Maker) -> Source {
        Source { account, maker }
    }

    pub(super) fn maker(&self) -> &Maker {
        &self.maker
    }
}

fn is_google(auth: &ProviderAuth) -> bool {
    auth.kind == ProviderAuthKind::GCPServiceAccount
}

/// What is wrong with what the token of a policy is to be for, whatever the hosts.
pub(super) fn check(auth: &ProviderAuth) -> Result<(), String> {
    for (there, field) in [(auth.region.is_some(), "region"), (auth.service.is_some(), "service")] {
        if there {
            return Err(format!("spec.providerAuth.{field} goes with type: AWSv4 only"));
        }
    }
    match Grant::of(auth.gcp.as_ref(), None) {
        Ok(_) | Err(GrantError::HostUnknown) => Ok(()),
        Err(error) => Err(format!("spec.providerAuth.gcp: {error}")),
    }
}

/// The only exact host of a rule.
pub(super) fn only_host(hosts: &[String]) -> Option<&str> {
    match hosts {
        [host] if !host.contains('*') => Some(host),
        _ => None,
    }
}

/// A token as it is sealed.
pub(super) fn sealable(token: &Token) -> Option<Secret> {
    let end = Duration::from_secs(token.expires_at.unix_timestamp().try_into().ok()?);
    // Exposed to be joined with its end; the result is a secret again.
    Sealable::join(token.value.expose(), end).ok()
}

/// The token of a name, where there is one now.
pub(super) fn now<'a>(states: &'a Snapshot, key: &TokenKey) -> Option<&'a Token> {
    states.get(key)?.token.as_ref()
}

/// How the tokens of a policy stand: the one of them that stands worst.
struct Standing<'a> {
    key: Option<&'a TokenKey>,
    state: TokenState,
}

impl<'a> Standing<'a> {
    fn of(keys: &'a BTreeSet<TokenKey>, states: &Snapshot) -> Standing<'a> {
        let state = |key| states.get(key).map(|state| TokenState::clone(state)).unwrap_or_default();
        let all = keys.iter().map(|key| (key, state(key)));
        // Those without a token first, then those that fail, then the one that ends first.
        let worst = all.min_by_key(|(_, state)| {
            let end = state.token.as_ref().map(|token| token.expires_at);
            (end.is_some(), state.failures == 0, end)
        });
        let (key, state) = worst.map_or((None, TokenState::default()), |(key, state)| (Some(key), state));
        Standing { key: key.filter(|_| keys.len() > 1), state }
    }

    /// Whether there is a token.
    fn resolved(&self, generation: Option<i64>) -> Condition {
        match &self.state.token {
            Some(_) => yes(RESOLVED_REFS, RESOLVED, generation),
            None => {
                let message = format!("{}; requests are denied until there is one", self.lack());
                no(&Refusal::new("TokenUnavailable", message), generation)
            }
        }
    }

    /// Whether a new one will be there in time.
    fn renewal(&self, generation: Option<i64>) -> Condition {
        let TokenState { token, minted_at, next_attempt, failures, .. } = &self.state;
        match token {
            None if *failures == 0 => condition(Truth::Unknown, "Pending", self.lack(), generation),
            None => no(&Refusal::new("Failing", self.lack()), generation),
            Some(token) if *failures > 0 => {
                let message = format!("{}; it was not renewed: {}", self.serves(token), failed(&self.state));
                no(&Refusal::new("Failing", message), generation)
            }
            Some(token) => {
                let mut message = self.serves(token);
                for (word, time) in [("obtained", minted_at), ("to be renewed", next_attempt)] {
                    message.extend(time.map(|time| format!(", {word} {}", text(time))));
                }
                yes("Scheduled", message, generation)
            }
        }
    }

    fn serves(&self, token: &Token) -> String {
        format!("a token{} until {}", self.purpose(), text(token.expires_at))
    }

    fn lack(&self) -> String {
        match self.state.failures {
            0 => format!("a token{} is being obtained", self.purpose()),
            _ => format!("no token{}: {}", self.purpose(), failed(&self.state)),
        }
    }

    /// What the token is for, where the policy has several.
    fn purpose(&self) -> String {
        let audience = self.key.and_then(|key| key.grant.audience());
        audience.map(|audience| format!(" for {audience}")).unwrap_or_default()
    }
}

/// Why, and how often. Counted in powers of two, so that an outage of hours changes the status of a policy, and there may
/// be thousands that share the token, a few times and not at every attempt.
fn failed(state: &TokenState) -> String {
    let why = state.last_error.map(|error| error.to_string()).unwrap_or_default();
    match state.failures.checked_ilog2().unwrap_or_default() {
        0 => why,
        power => format!("{why} ({} or more attempts in a row failed)", 1_u32 << power),
    }
}

fn text(time: OffsetDateTime) -> String {
    let whole = time.replace_nanosecond(0).unwrap_or(time);
    whole.format(&Rfc3339).unwrap_or_default()
}
