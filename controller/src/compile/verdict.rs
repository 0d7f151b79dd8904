//! Words for conditions.

use crate::conditions::{Condition, Conditions, Truth};

/// `Accepted`, and other types of conditions.
pub(super) const ACCEPTED: &str = "Accepted";
pub(super) const RESOLVED_REFS: &str = "ResolvedRefs";
pub(super) const PROGRAMMED: &str = "Programmed";
pub(super) const READY: &str = "Ready";
pub(super) const PARTIALLY_SUPPORTED: &str = "PartiallySupported";
/// Of policies whose credentials are tokens that end: whether a new one will be there in time.
pub(super) const TOKEN_RENEWAL: &str = "TokenRenewal";

/// What `ResolvedRefs` says where nothing is missing.
pub(super) const RESOLVED: &str = "every reference is resolved";

/// Why something is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Refusal { reason, message: message.into() }
    }

    /// Of fields that are not built yet.
    pub(super) fn unsupported(fields: &[String]) -> Option<Self> {
        let (verb, names, them) = match fields {
            [] => return None,
            [one] => ("is", one.clone(), "it"),
            many => ("are", many.join(", "), "them"),
        };
        let message = format!("{names} {verb} not supported yet; remove {them} to be accepted");
        Some(Refusal::new("Unsupported", message))
    }
}

pub(super) fn yes(reason: &str, message: impl Into<String>, generation: Option<i64>) -> Condition {
    condition(Truth::True, reason, message, generation)
}

pub(super) fn no(refusal: &Refusal, generation: Option<i64>) -> Condition {
    condition(Truth::False, refusal.reason, refusal.message.clone(), generation)
}

pub(super) fn condition(
    status: Truth,
    reason: &str,
    message: impl Into<String>,
    observed_generation: Option<i64>,
) -> Condition {
    Condition { status, reason: reason.to_owned(), message: message.into(), observed_generation }
}

/// `Accepted` and `ResolvedRefs`, each true unless refused.
pub(super) fn standing(
    accepted: Result<&str, &Refusal>,
    resolved: Result<&str, &Refusal>,
    generation: Option<i64>,
) -> Conditions {
    let mut conditions = Conditions::default();
    let set = |conditions: &mut Conditions, kind: &'static str, result: Result<&str, &Refusal>| {
        let condition = match result {
            Ok(message) => yes(kind, message, generation),
            Err(refusal) => no(refusal, generation),
        };
        conditions.set(kind, condition);
    };
    set(&mut conditions, ACCEPTED, accepted);
    set(&mut conditions, RESOLVED_REFS, resolved);
    conditions
}
