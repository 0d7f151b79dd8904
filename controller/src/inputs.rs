//! Objects reduced to the parts that the compiler looks at. Equal inputs compile to equal bytes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use policy::api::label_selector::Labels;
use policy::api::{
    Manifest, Metadata, SecretValue, ai_provider_route, credential_injection_policy, egress_deny_policy,
    egress_gateway, egress_l4_route,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::conditions::ObjectRef;
use crate::google::Snapshot;
use crate::plan::ObjectKey;
use crate::source::Objects;

/// Every object, reduced. (No `Debug`: it holds Secrets.)
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Inputs {
    /// Gateways.
    pub gateways: BTreeMap<ObjectKey, Reduced<egress_gateway::Spec>>,
    /// Routes to providers.
    pub routes: BTreeMap<ObjectKey, Reduced<ai_provider_route::Spec>>,
    /// Policies that inject credentials.
    pub policies: BTreeMap<ObjectKey, Reduced<credential_injection_policy::Spec>>,
    /// Routes by address and port.
    pub l4_routes: BTreeMap<ObjectKey, Reduced<egress_l4_route::Spec>>,
    /// Policies that deny.
    pub deny_policies: BTreeMap<ObjectKey, Reduced<egress_deny_policy::Spec>>,
    /// Objects whose specs are not read, with their generation.
    pub opaque: BTreeMap<ObjectRef, Option<i64>>,
    /// Labels of Namespaces, by name; one that has no object has none but its name.
    pub namespaces: BTreeMap<String, Labels>,
    /// Values of Secrets by key.
    pub secrets: BTreeMap<ObjectKey, BTreeMap<String, SecretValue>>,
    /// How the Google tokens stand that were wanted before.
    pub tokens: Arc<Snapshot>,
    /// The socket of the inspector, where there is one: it is told of requests too.
    pub inspector: Option<PathBuf>,
    /// Whether what requests cost is read where nobody is told of them, too.
    pub reads_usage: bool,
}

/// A spec, and what of the metadata matters.
#[derive(Clone, PartialEq, Eq)]
pub struct Reduced<S> {
    /// The spec.
    pub spec: S,
    /// Its generation; absent in a directory.
    pub generation: Option<i64>,
    /// When it was created.
    pub age: Age,
}

/// When an object was created. Older is less; an object without a time is younger than every one with a time, and as
/// old as every other without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age(Option<i128>);

impl Age {
    fn of(metadata: &Metadata) -> Age {
        let time = metadata.creation_timestamp.as_deref();
        Age(time
            .and_then(|time| OffsetDateTime::parse(time, &Rfc3339).ok())
            .map(OffsetDateTime::unix_timestamp_nanos))
    }
}

impl Ord for Age {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.is_none(), self.0).cmp(&(other.0.is_none(), other.0))
    }
}

impl PartialOrd for Age {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Inputs {
    /// Reduces objects; there are no tokens yet.
    #[must_use]
    pub fn from_objects(objects: &Objects) -> Inputs {
        let mut inputs = Inputs::default();
        for (object, manifest) in objects {
            inputs.add(object, manifest);
        }
        inputs
    }

    /// The Secrets that another version of these inputs has other values of; `None` where it differs in more than
    /// values of Secrets that both have.
    pub(crate) fn changed_secrets(&self, new: &Inputs) -> Option<Vec<ObjectKey>> {
        let same = self.gateways == new.gateways
            && self.routes == new.routes
            && self.policies == new.policies
            && self.l4_routes == new.l4_routes
            && self.deny_policies == new.deny_policies
            && self.opaque == new.opaque
            && self.namespaces == new.namespaces
            && self.secrets.keys().eq(new.secrets.keys());
        let changed = self.secrets.iter().zip(&new.secrets).filter(|(old, new)| old != new);
        same.then(|| changed.map(|((key, _), _)| key.clone()).collect())
    }

    fn add(&mut self, object: &ObjectRef, manifest: &Manifest) {
        let key = object.key.clone();
        let metadata = manifest.metadata();
        match manifest {
            Manifest::EgressGateway(it) => drop(self.gateways.insert(key, reduce(&it.spec, metadata))),
            Manifest::AiProviderRoute(it) => drop(self.routes.insert(key, reduce(&it.spec, metadata))),
            Manifest::CredentialInjectionPolicy(it) => {
                self.policies.insert(key, reduce(&it.spec, metadata));
            }
            Manifest::EgressL4Route(it) => drop(self.l4_routes.insert(key, reduce(&it.spec, metadata))),
            Manifest::EgressDenyPolicy(it) => {
                drop(self.deny_policies.insert(key, reduce(&it.spec, metadata)))
            }
            Manifest::Namespace(_) => {
                let labels = metadata.labels.clone().unwrap_or_default();
                self.namespaces.insert(key.name, labels);
            }
            Manifest::Secret(it) => drop(self.secrets.insert(key, it.clone().values())),
            Manifest::Backend(_)
            | Manifest::FallbackRoutingPolicy(_)
            | Manifest::LoggingPolicy(_)
            | Manifest::McpRoute(_)
            | Manifest::RateLimitPolicy(_) => drop(self.opaque.insert(object.clone(), metadata.generation)),
        }
    }
}

fn reduce<S: Clone>(spec: &S, metadata: &Metadata) -> Reduced<S> {
    Reduced { spec: spec.clone(), generation: metadata.generation, age: Age::of(metadata) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(time: Option<&str>) -> Age {
        Age::of(&Metadata { creation_timestamp: time.map(str::to_owned), ..Metadata::default() })
    }

    #[test]
    fn another_label_is_more_than_another_value_of_a_secret() {
        let labelled = |team: &str| Inputs {
            namespaces: BTreeMap::from([("shop".into(), Labels::from([("team".into(), team.into())]))]),
            ..Inputs::default()
        };
        assert_eq!(labelled("a").changed_secrets(&labelled("a")), Some(Vec::new()));
        assert_eq!(labelled("a").changed_secrets(&labelled("b")), None);
    }

    #[test]
    fn age_is_ordered_by_time_whatever_the_offset_and_no_time_is_youngest() {
        let ordered = [
            age(Some("2026-01-01T00:00:00+02:00")),
            age(Some("2026-01-01T00:00:00Z")),
            age(Some("2026-01-01T00:00:01Z")),
            age(None),
        ];
        assert!(ordered.is_sorted_by(|a, b| a < b));
        assert_eq!(age(None), age(Some("yesterday")));
    }
}
