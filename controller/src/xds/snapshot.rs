//! What one gateway's proxies are to hold: resources by type and name, each versioned by its content.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use envoy_types::pb::google::protobuf::Any;
use prost::Message;
use sha2::{Digest, Sha256};

use super::Kind;

/// Hex characters of a version: 64 bits, so that two of a million resources share one once in 10⁷ gateways.
const VERSION_LENGTH: usize = 16;

/// One resource. Its `Debug` leaves the body out: bodies hold keys and sealed credentials.
#[derive(Clone, PartialEq)]
pub struct Resource {
    /// Name, unique within its type.
    pub name: String,
    /// Hash of the body: equal bodies have equal versions on every replica.
    pub version: String,
    /// The message.
    pub body: Any,
}

impl Resource {
    /// A resource whose version is the hash of its body.
    #[must_use]
    pub fn new(name: impl Into<String>, body: Any) -> Resource {
        Resource { name: name.into(), version: hash(&body), body }
    }

    /// A resource of this type. Prost writes map fields in random order: a message with two entries in one map
    /// needs its bytes put in order first ([`Resource::new`]).
    #[must_use]
    pub fn encode(kind: Kind, name: impl Into<String>, message: &impl Message) -> Resource {
        Resource::new(name, Any { type_url: kind.url().to_owned(), value: message.encode_to_vec() })
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

fn hash(body: &Any) -> String {
    let mut hasher = Sha256::new();
    hasher.update(body.type_url.as_bytes());
    hasher.update([0]);
    hasher.update(&body.value);
    let digest = hasher.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()[..VERSION_LENGTH].to_owned()
}

/// Everything that one gateway's proxies are to hold, leaves aside. Copies share their resources.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot(BTreeMap<Kind, BTreeMap<String, Arc<Resource>>>);

impl Snapshot {
    /// A snapshot without resources.
    #[must_use]
    pub fn new() -> Snapshot {
        Snapshot::default()
    }

    /// Adds a resource, replacing one of the same type and name.
    pub fn insert(&mut self, kind: Kind, resource: Resource) {
        self.0.entry(kind).or_default().insert(resource.name.clone(), Arc::new(resource));
    }

    /// The resource of that type and name.
    #[must_use]
    pub fn find(&self, kind: Kind, name: &str) -> Option<&Resource> {
        self.0.get(&kind)?.get(name).map(Arc::as_ref)
    }

    /// The resources of one type, by name.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Resource> {
        self.0.get(&kind).into_iter().flat_map(BTreeMap::values).map(Arc::as_ref)
    }

    /// Every resource, by type, then by name.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, &Resource)> {
        self.0
            .iter()
            .flat_map(|(kind, resources)| resources.values().map(move |resource| (*kind, resource.as_ref())))
    }
}

impl FromIterator<(Kind, Resource)> for Snapshot {
    fn from_iter<T: IntoIterator<Item = (Kind, Resource)>>(resources: T) -> Snapshot {
        let mut snapshot = Snapshot::new();
        for (kind, resource) in resources {
            snapshot.insert(kind, resource);
        }
        snapshot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str, url: &str, value: &[u8]) -> Resource {
        Resource::new(name, Any { type_url: url.to_owned(), value: value.to_vec() })
    }

    #[test]
    fn a_version_is_the_hash_of_type_and_body_not_of_the_name() {
        assert_eq!(resource("a", "t", b"1").version, resource("b", "t", b"1").version);
        assert_ne!(resource("a", "t", b"1").version, resource("a", "t", b"2").version);
        assert_ne!(resource("a", "t", b"1").version, resource("a", "t1", b"").version);
        assert_eq!(resource("a", "t", b"1").version.len(), VERSION_LENGTH);
    }

    #[test]
    fn debug_output_leaves_the_body_out() {
        let shown = format!("{:?}", Snapshot::from_iter([(Kind::Secret, resource("a", "t", b"canary"))]));
        assert!(shown.contains("a@"), "{shown}");
        assert!(!shown.contains("canary") && !shown.contains("99, 97"), "{shown}");
    }

    #[test]
    fn resources_come_in_order_of_type_then_name() {
        let snapshot = Snapshot::from_iter([
            (Kind::Listener, resource("b", "t", b"")),
            (Kind::Listener, resource("a", "t", b"")),
            (Kind::Cluster, resource("z", "t", b"")),
        ]);
        let names: Vec<&str> = snapshot.iter().map(|(_, resource)| resource.name.as_str()).collect();
        assert_eq!(names, ["z", "a", "b"]);
    }
}
