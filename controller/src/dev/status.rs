//! How a running `keyward dev` stands, as `keyward status` shows it. Never a secret: names, times and conditions.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::event::{ConditionLine, GatewayAddress};
use super::report;
use crate::conditions::Statuses;
use crate::google::{Snapshot, TokenKey, TokenState};

/// Everything. The names of its fields are those of `--json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Version of the running program.
    pub(crate) version: String,
    /// Whether every gateway has served since the start.
    pub(crate) ready: bool,
    pub(crate) gateways: Vec<GatewayReport>,
    pub(crate) objects: Vec<ObjectReport>,
    /// What is wrong with the files.
    pub(crate) problems: Vec<String>,
    pub(crate) tokens: Vec<TokenReport>,
    /// The URL of the inspector's page, with the token that opens it: this user alone gets an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) inspector: Option<String>,
}

/// A gateway that is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GatewayReport {
    #[serde(flatten)]
    pub(crate) address: GatewayAddress,
    /// Whether its Envoy is live and holds what was pushed last.
    pub(crate) ready: bool,
    pub(crate) push: Push,
    pub(crate) leaves: Leaves,
}

/// What its Envoys were told last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Push {
    /// RFC 3339.
    pub(crate) at: Option<String>,
    /// How many Envoys are connected.
    pub(crate) envoys: usize,
    /// How many of them hold it.
    pub(crate) acknowledged: usize,
    /// What some of them refused.
    pub(crate) refused: Vec<Refused>,
}

/// A part of the configuration that an Envoy refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) resource: String,
    pub(crate) why: String,
}

/// The certificates that agents are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leaves {
    pub(crate) count: usize,
    /// The end of the one that ends first; each is replaced long before.
    pub(crate) next_end: Option<String>,
}

/// An object and its conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectReport {
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) conditions: Vec<ConditionLine>,
}

/// A token of a Google service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenReport {
    /// `namespace/name` of the Secret with the account.
    pub(crate) secret: String,
    pub(crate) key: String,
    /// What a self-signed token is for.
    pub(crate) audience: Option<String>,
    pub(crate) obtained_at: Option<String>,
    /// Since when it was obtained, in seconds.
    pub(crate) age_seconds: Option<i64>,
    pub(crate) expires_at: Option<String>,
    pub(crate) next_attempt: Option<String>,
    /// Attempts that failed since the last that did not.
    pub(crate) failures: u32,
    pub(crate) last_error: Option<String>,
}

pub(super) fn objects(statuses: &Statuses) -> impl Iterator<Item = ObjectReport> {
    statuses.0.iter().map(|(object, status)| ObjectReport {
        kind: object.kind.to_string(),
        namespace: object.key.namespace.clone(),
        name: object.key.name.clone(),
        conditions: report::lines(status),
    })
}

pub(super) fn tokens(snapshot: &Snapshot, now: OffsetDateTime) -> Vec<TokenReport> {
    snapshot.iter().map(|(key, state)| token(key, state, now)).collect()
}

fn token(key: &TokenKey, state: &TokenState, now: OffsetDateTime) -> TokenReport {
    TokenReport {
        secret: format!("{}/{}", key.namespace, key.secret),
        key: key.key.clone(),
        audience: key.grant.audience().map(str::to_owned),
        obtained_at: state.minted_at.map(text),
        age_seconds: state.minted_at.map(|time| (now - time).whole_seconds().max(0)),
        expires_at: state.token.as_ref().map(|token| text(token.expires_at)),
        next_attempt: state.next_attempt.map(text),
        failures: state.failures,
        last_error: state.last_error.map(|error| error.to_string()),
    }
}

/// A time to the second.
pub(super) fn text(time: OffsetDateTime) -> String {
    let whole = time.replace_nanosecond(0).unwrap_or(time);
    whole.format(&Rfc3339).unwrap_or_default()
}
