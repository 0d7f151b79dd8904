//! Since when each Secret has the values that it has.

use std::collections::BTreeMap;

use policy::api::{Kind, Manifest, SecretValue};
use time::OffsetDateTime;

use crate::conditions::ObjectRef;
use crate::metrics::SecretAges;
use crate::source::Objects;

/// When the values of each Secret changed last. Those that nobody saw change count from when they were loaded first.
#[derive(Default)]
pub(super) struct Ages(BTreeMap<ObjectRef, OffsetDateTime>);

impl Ages {
    /// These objects take the place of those.
    pub(super) fn replaced(&mut self, before: &Objects, after: &Objects, now: OffsetDateTime) {
        self.0.retain(|object, _| after.contains_key(object));
        for (object, manifest) in after.iter().filter(|(object, _)| object.kind == Kind::Secret) {
            self.one_replaced(object, before.get(object), manifest, now);
        }
    }

    /// One Secret takes the place of itself, or is new.
    pub(super) fn one_replaced(
        &mut self,
        object: &ObjectRef,
        before: Option<&Manifest>,
        after: &Manifest,
        now: OffsetDateTime,
    ) {
        let is_same = |before: &Manifest| before == after || values(before) == values(after);
        if !before.is_some_and(is_same) {
            self.0.insert(object.clone(), now);
        }
    }

    /// The first and the last of these times.
    pub(super) fn reading(&self) -> SecretAges {
        SecretAges { oldest: self.0.values().min().copied(), latest: self.0.values().max().copied() }
    }
}

fn values(manifest: &Manifest) -> Option<BTreeMap<String, SecretValue>> {
    match manifest {
        Manifest::Secret(secret) => Some(secret.clone().values()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use policy::api::Secret;
    use time::Duration;

    use super::*;
    use crate::plan::ObjectKey;

    /// Secrets by their names, each with one value and when it was created.
    fn secrets(of: &[(&str, &str, &str)]) -> Objects {
        let one = |(name, value, created): &(&str, &str, &str)| {
            let text = format!(
                r#"{{"metadata":{{"name":"{name}","creationTimestamp":"{created}"}},"stringData":{{"key":"{value}"}}}}"#
            );
            let secret: Secret = serde_json::from_str(&text).expect("a Secret");
            let key = ObjectKey { namespace: "default".to_owned(), name: (*name).to_owned() };
            (ObjectRef::new(Kind::Secret, key), Manifest::Secret(secret))
        };
        of.iter().map(one).collect()
    }

    #[test]
    fn a_secret_is_as_old_as_its_values() {
        let at = |seconds| OffsetDateTime::UNIX_EPOCH + Duration::seconds(seconds);
        let mut ages = Ages::default();
        let mut before = Objects::new();
        let mut check = |seconds, after: Objects, oldest: Option<i64>, latest: Option<i64>| {
            ages.replaced(&before, &after, at(seconds));
            let expected = SecretAges { oldest: oldest.map(at), latest: latest.map(at) };
            assert_eq!(ages.reading(), expected, "after {seconds} s");
            before = after;
        };
        check(1, secrets(&[]), None, None);
        check(2, secrets(&[("a", "1", ""), ("b", "1", "")]), Some(2), Some(2));
        check(3, secrets(&[("a", "1", ""), ("b", "1", "2026-01-02T03:04:05Z")]), Some(2), Some(2));
        check(4, secrets(&[("a", "1", ""), ("b", "2", "2026-01-02T03:04:05Z")]), Some(2), Some(4));
        check(5, secrets(&[("b", "2", "2026-01-02T03:04:05Z")]), Some(4), Some(4));
        check(6, secrets(&[("a", "1", ""), ("b", "2", "2026-01-02T03:04:05Z")]), Some(4), Some(6));
        check(7, secrets(&[]), None, None);
    }
}
