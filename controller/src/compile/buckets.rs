//! Which bucket a host belongs to.
//!
//! Hosts that some request could match together (a pattern and the names below it) are one component and share a
//! bucket, so that it holds every rule that can match them. A component's bucket is a hash of the least Secret that its
//! rules name: hosts that share a Secret share a bucket where they can, and a value that changes moves nothing.

use std::collections::{BTreeMap, BTreeSet};

use policy::host::HostPattern;
use sha2::{Digest, Sha256};

use crate::plan::BUCKETS;

/// Assigns a bucket to each host. The keys of a host are the Secrets of the rules that name it.
pub(super) fn assign(hosts: &BTreeMap<HostPattern, BTreeSet<String>>) -> BTreeMap<HostPattern, usize> {
    let names: Vec<&HostPattern> = hosts.keys().collect();
    let mut components = Components::new(names.len());
    for (left, pattern) in names.iter().enumerate().filter(|(_, name)| name.exact().is_none()) {
        for (right, other) in names.iter().enumerate() {
            if overlap(pattern, other) {
                components.join(left, right);
            }
        }
    }
    let mut least: BTreeMap<usize, String> = BTreeMap::new();
    for (index, (name, keys)) in hosts.iter().enumerate() {
        // A host that no Secret goes to has its own name for a key; any Secret's key stands before it.
        let key = keys.first().map_or_else(|| format!("host {name}"), |secret| format!("Secret {secret}"));
        let key = &key;
        least
            .entry(components.root(index))
            .and_modify(|least| *least = least.clone().min(key.clone()))
            .or_insert_with(|| key.clone());
    }
    names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            ((*name).clone(), least.get(&components.root(index)).map_or(0, |key| bucket(key)))
        })
        .collect()
}

/// A stable hash of a key, below [`BUCKETS`].
fn bucket(key: &str) -> usize {
    let digest = Sha256::digest(key.as_bytes());
    let number = digest.iter().take(4).fold(0_usize, |number, byte| (number << 8) | usize::from(*byte));
    number % BUCKETS
}

/// Whether some host matches both patterns.
fn overlap(one: &HostPattern, other: &HostPattern) -> bool {
    let (one, other) = (one.as_str(), other.as_str());
    one.split('.').count() == other.split('.').count()
        && one.split('.').zip(other.split('.')).all(|(one, other)| labels_overlap(one, other))
}

fn labels_overlap(one: &str, other: &str) -> bool {
    match (one.split_once('*'), other.split_once('*')) {
        (None, None) => one == other,
        (Some(star), None) => takes(star, other),
        (None, Some(star)) => takes(star, one),
        // What stands between can be as long as it takes.
        (Some((before, after)), Some((other_before, other_after))) => {
            (before.starts_with(other_before) || other_before.starts_with(before))
                && (after.ends_with(other_after) || other_after.ends_with(after))
        }
    }
}

fn takes((before, after): (&str, &str), label: &str) -> bool {
    label.len() > before.len() + after.len() && label.starts_with(before) && label.ends_with(after)
}

/// Union-find.
struct Components(Vec<usize>);

impl Components {
    fn new(count: usize) -> Self {
        Components((0..count).collect())
    }

    fn root(&mut self, index: usize) -> usize {
        let mut root = index;
        while self.0[root] != root {
            self.0[root] = self.0[self.0[root]];
            root = self.0[root];
        }
        root
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one.max(other)] = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::parse(text).unwrap()
    }

    fn assigned(hosts: &[(&str, &[&str])]) -> BTreeMap<String, usize> {
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
        let hosts = hosts.iter().map(|(host, secrets)| (pattern(host), keys(secrets))).collect();
        assign(&hosts).into_iter().map(|(host, bucket)| (host.to_string(), bucket)).collect()
    }

    #[test]
    fn overlap_is_some_common_host() {
        for (one, other, common) in [
            ("*.openai.azure.com", "a.openai.azure.com", true),
            ("*.openai.azure.com", "a.b.openai.azure.com", false),
            ("*-aiplatform.googleapis.com", "aiplatform.googleapis.com", false),
            ("*-aiplatform.googleapis.com", "eu-aiplatform.googleapis.com", true),
            ("*.example.com", "*-b.example.com", true),
            ("a*.example.com", "b*.example.com", false),
            ("a*.example.com", "*b.example.com", true),
            ("bedrock-runtime.*.amazonaws.com", "*.us-east-1.amazonaws.com", true),
        ] {
            assert_eq!(overlap(&pattern(one), &pattern(other)), common, "{one} {other}");
            assert_eq!(overlap(&pattern(other), &pattern(one)), common, "{other} {one}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_host_that_two_patterns_match_makes_them_overlap(
            one in "(a|b|\\*|a\\*|\\*b)\\.(a|b|\\*)\\.c",
            other in "(a|b|\\*|a\\*|\\*b)\\.(a|b|\\*)\\.c",
            host in "[ab]{1,3}\\.[ab]{1,2}\\.c",
        ) {
            let (one, other) = (pattern(&one), pattern(&other));
            if one.matches(&host) && other.matches(&host) {
                proptest::prop_assert!(overlap(&one, &other));
            }
        }
    }

    #[test]
    fn hosts_that_share_a_secret_or_a_pattern_share_a_bucket() {
        let buckets = assigned(&[
            ("a.example.com", &["default/one"]),
            ("b.example.org", &["default/one"]),
            ("*.example.net", &["default/two"]),
            ("c.example.net", &["default/one"]),
            ("d.example.net", &[]),
        ]);
        assert_eq!(buckets["a.example.com"], buckets["b.example.org"]);
        assert_eq!(buckets["a.example.com"], buckets["*.example.net"], "the least Secret decides");
        assert_eq!(buckets["*.example.net"], buckets["d.example.net"]);
    }

    #[test]
    fn many_secrets_spread_over_the_buckets() {
        let used: BTreeSet<usize> =
            (0..1000).map(|number| bucket(&format!("Secret default/secret-{number}"))).collect();
        assert_eq!(used.len(), BUCKETS);
    }
}
