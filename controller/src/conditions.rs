//! What is said of each object: conditions, Gateway API style, ordered and without times.
//!
//! [`crate::compile`] makes them; the xDS side merges `Programmed` into them ([`Statuses::set_programmed`]). The status
//! writer adds transition times: nothing here depends on a clock.

use std::collections::BTreeMap;
use std::fmt;

use policy::api::Kind;
use policy::api::status::{self, StatusReference};

use crate::plan::ObjectKey;

/// Who says so, in statuses.
pub const CONTROLLER_NAME: &str = "clrk.apoxy.dev/keyward";

/// How many ancestors a policy's status may list (Gateway API).
pub const MAX_ANCESTORS: usize = 16;

/// An object by kind, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Kind.
    pub kind: Kind,
    /// Namespace and name.
    pub key: ObjectKey,
}

impl ObjectRef {
    /// A reference.
    #[must_use]
    pub fn new(kind: Kind, key: ObjectKey) -> Self {
        ObjectRef { kind, key }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.is_namespaced() {
            true => write!(f, "{} {}", self.kind, self.key),
            false => write!(f, "{} {}", self.kind, self.key.name),
        }
    }
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody can tell.
    Unknown,
}

impl Truth {
    /// As `metav1.Condition` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Truth::True => "True",
            Truth::False => "False",
            Truth::Unknown => "Unknown",
        }
    }
}

/// One condition, without its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Whether it holds.
    pub status: Truth,
    /// Why, as one word.
    pub reason: String,
    /// Why, for people; never a value out of a Secret.
    pub message: String,
    /// The generation of the object that was looked at; absent in a directory.
    pub observed_generation: Option<i64>,
}

/// Conditions by type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions(BTreeMap<&'static str, Condition>);

impl Conditions {
    /// Sets one.
    pub fn set(&mut self, kind: &'static str, condition: Condition) {
        self.0.insert(kind, condition);
    }

    /// One by type.
    #[must_use]
    pub fn of(&self, kind: &str) -> Option<&Condition> {
        self.0.get(kind)
    }

    /// Whether one is there and holds.
    #[must_use]
    pub fn holds(&self, kind: &str) -> bool {
        self.of(kind).is_some_and(|condition| condition.status == Truth::True)
    }

    /// All of them, by type.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Condition)> {
        self.0.iter().map(|(kind, condition)| (*kind, condition))
    }

    fn to_api(&self) -> Vec<status::Condition> {
        self.iter()
            .map(|(kind, condition)| status::Condition {
                kind: kind.to_owned(),
                status: condition.status.as_str().to_owned(),
                reason: condition.reason.clone(),
                message: condition.message.clone(),
                observed_generation: condition.observed_generation,
                last_transition_time: None,
            })
            .collect()
    }
}

/// What is said of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectStatus {
    /// Of a gateway: its own conditions and those of its listeners.
    Gateway(GatewayStatus),
    /// Of a route: by parent.
    Route(Vec<Attachment>),
    /// Of a policy: by target.
    Policy(Vec<Attachment>),
    /// Of an object that stands alone.
    Plain(Conditions),
}

/// What is said of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GatewayStatus {
    /// Accepted, Programmed, Ready.
    pub conditions: Conditions,
    /// In the order of the spec.
    pub listeners: Vec<ListenerStatus>,
}

/// What is said of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerStatus {
    /// Name.
    pub name: String,
    /// Port, where the spec gives one.
    pub port: Option<u16>,
    /// How many routes are attached.
    pub attached_routes: u32,
    /// Accepted.
    pub conditions: Conditions,
}

/// How an object stands with one that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The reference, as the spec spells it.
    pub to: StatusReference,
    /// Accepted, ResolvedRefs.
    pub conditions: Conditions,
}

impl ObjectStatus {
    /// Every set of conditions in it, with what it speaks of (empty for the object itself).
    #[must_use]
    pub fn parts(&self) -> Vec<(String, &Conditions)> {
        match self {
            ObjectStatus::Plain(conditions) => vec![(String::new(), conditions)],
            ObjectStatus::Gateway(gateway) => {
                let own = std::iter::once((String::new(), &gateway.conditions));
                let listeners = gateway
                    .listeners
                    .iter()
                    .map(|listener| (format!("listener {}", listener.name), &listener.conditions));
                own.chain(listeners).collect()
            }
            ObjectStatus::Route(attachments) | ObjectStatus::Policy(attachments) => attachments
                .iter()
                .map(|attachment| {
                    (format!("{} {}", attachment.to.kind, attachment.to.name), &attachment.conditions)
                })
                .collect(),
        }
    }

    /// The API's form of a gateway's status.
    #[must_use]
    pub fn to_gateway(&self) -> Option<status::GatewayStatus> {
        let ObjectStatus::Gateway(gateway) = self else { return None };
        let listeners: Vec<_> = gateway
            .listeners
            .iter()
            .map(|listener| status::ListenerStatus {
                name: listener.name.clone(),
                port: listener.port,
                attached_routes: listener.attached_routes,
                conditions: listener.conditions.to_api(),
            })
            .collect();
        Some(status::GatewayStatus {
            conditions: gateway.conditions.to_api(),
            listener_count: u32::try_from(listeners.len()).unwrap_or(u32::MAX),
            listeners,
            addresses: Vec::new(),
        })
    }

    /// The API's form of a route's status.
    #[must_use]
    pub fn to_route(&self) -> Option<status::RouteStatus> {
        let ObjectStatus::Route(parents) = self else { return None };
        let parent = |attachment: &Attachment| status::ParentStatus {
            parent_ref: attachment.to.clone(),
            controller_name: CONTROLLER_NAME.to_owned(),
            conditions: attachment.conditions.to_api(),
        };
        Some(status::RouteStatus { parents: parents.iter().map(parent).collect() })
    }

    /// The API's form of a policy's status: at most [`MAX_ANCESTORS`].
    #[must_use]
    pub fn to_policy(&self) -> Option<status::PolicyStatus> {
        let ObjectStatus::Policy(ancestors) = self else { return None };
        let ancestor = |attachment: &Attachment| status::AncestorStatus {
            ancestor_ref: attachment.to.clone(),
            controller_name: CONTROLLER_NAME.to_owned(),
            conditions: attachment.conditions.to_api(),
        };
        Some(status::PolicyStatus { ancestors: ancestors.iter().take(MAX_ANCESTORS).map(ancestor).collect() })
    }
}

/// What the Envoys of a gateway made of its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Programmed {
    /// Every connected one acknowledged it.
    Yes,
    /// They have not all answered yet.
    Pending,
    /// None is connected.
    NoProxies,
    /// One refused it, and said why.
    Nacked(String),
}

/// What is said of every object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statuses(pub BTreeMap<ObjectRef, ObjectStatus>);

impl Statuses {
    /// What is said of gateways, and what is said of everything else.
    #[must_use]
    pub fn split(self) -> (Statuses, Statuses) {
        let is_gateway = |status: &ObjectStatus| matches!(status, ObjectStatus::Gateway(_));
        let (gateways, others) = self.0.into_iter().partition(|(_, status)| is_gateway(status));
        (Statuses(gateways), Statuses(others))
    }

    /// Merges what the Envoys of a gateway say: `Programmed`, and `Ready`, which is `Accepted` and `Programmed`. A
    /// gateway that was refused keeps its `Ready=False` and its reason, whatever old configuration still serves.
    pub fn set_programmed(&mut self, gateway: &ObjectKey, programmed: &Programmed) {
        let place = ObjectRef::new(Kind::EgressGateway, gateway.clone());
        let Some(ObjectStatus::Gateway(status)) = self.0.get_mut(&place) else { return };
        let Some(accepted) = status.conditions.of("Accepted").cloned() else { return };
        let (truth, reason, message) = programmed.words();
        let condition = Condition {
            status: truth,
            reason: reason.to_owned(),
            message,
            observed_generation: accepted.observed_generation,
        };
        if accepted.status == Truth::True {
            let reason = if truth == Truth::True { "Ready" } else { reason };
            let ready = Condition { reason: reason.to_owned(), ..condition.clone() };
            status.conditions.set("Ready", ready);
        }
        status.conditions.set("Programmed", condition);
    }
}

impl Programmed {
    fn words(&self) -> (Truth, &'static str, String) {
        match self {
            Programmed::Yes => {
                (Truth::True, "Programmed", "every connected Envoy acknowledged the configuration".to_owned())
            }
            Programmed::Pending => {
                (Truth::False, "Pending", "an Envoy has not acknowledged the configuration yet".to_owned())
            }
            Programmed::NoProxies => (Truth::False, "NoProxies", "no Envoy is connected".to_owned()),
            Programmed::Nacked(why) => (Truth::False, "Nacked", format!("an Envoy refused it: {why}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(accepted: Truth) -> (ObjectKey, Statuses) {
        let key = ObjectKey { namespace: "default".into(), name: "g".into() };
        let mut status = GatewayStatus::default();
        for kind in ["Accepted", "Ready"] {
            let reason = "InvalidSpec".to_owned();
            let condition =
                Condition { status: accepted, reason, message: String::new(), observed_generation: Some(2) };
            status.conditions.set(kind, condition);
        }
        let place = ObjectRef::new(Kind::EgressGateway, key.clone());
        (key, Statuses(BTreeMap::from([(place, ObjectStatus::Gateway(status))])))
    }

    #[test]
    fn programmed_and_ready_follow_what_the_envoys_say() {
        for (accepted, programmed, programmed_reason, ready, ready_reason) in [
            (Truth::True, Programmed::Yes, "Programmed", Truth::True, "Ready"),
            (Truth::True, Programmed::Pending, "Pending", Truth::False, "Pending"),
            (Truth::True, Programmed::NoProxies, "NoProxies", Truth::False, "NoProxies"),
            (Truth::True, Programmed::Nacked("x".into()), "Nacked", Truth::False, "Nacked"),
            (Truth::False, Programmed::Yes, "Programmed", Truth::False, "InvalidSpec"),
        ] {
            let (key, mut statuses) = statuses(accepted);
            statuses.set_programmed(&key, &programmed);
            let Some(ObjectStatus::Gateway(gateway)) = statuses.0.values().next() else { panic!("lost") };
            assert_eq!(gateway.conditions.of("Programmed").unwrap().reason, programmed_reason);
            assert_eq!(gateway.conditions.of("Ready").unwrap().reason, ready_reason);
            assert_eq!(gateway.conditions.of("Ready").unwrap().status, ready);
            assert_eq!(gateway.conditions.of("Ready").unwrap().observed_generation, Some(2));
        }
    }
}
