//! Which bucket a host belongs to.
//!
//! Hosts that some request could match together (a pattern and the names below it) are one component and share a
//! bucket, so that it holds every rule that can match them. A component's bucket is a hash of the least Secret that its
//! rules name: hosts that share a Secret share a bucket where they can, and a value that changes moves nothing. Hosts
//! some of whose requests wait for their bodies have buckets of their own: other requests then never cost a callback
//! for theirs.

use std::collections::{BTreeMap, BTreeSet};

use policy::host::HostPattern;
use policy::wire::{ModelSource, Models};
use sha2::{Digest, Sha256};

use crate::plan::{FULL_BUCKETS, LIGHT_BUCKETS};

/// What of a host, or of a rule that names it, decides about its bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Needs {
    /// The Secrets.
    pub(super) secrets: BTreeSet<String>,
    /// Whether some request waits for its body.
    pub(super) bodies: bool,
}

impl Needs {
    /// With those of a rule for certain models.
    pub(super) fn with_models(&self, models: Option<&Models>) -> Needs {
        let in_body = models.is_some_and(|models| models.source != ModelSource::Bedrock);
        Needs { bodies: self.bodies || in_body, ..self.clone() }
    }

    pub(super) fn add(&mut self, other: &Needs) {
        self.secrets.extend(other.secrets.iter().cloned());
        self.bodies |= other.bodies;
    }
}

/// Assigns a bucket to each host.
pub(super) fn assign(hosts: &BTreeMap<HostPattern, Needs>) -> BTreeMap<HostPattern, usize> {
    let names: Vec<&HostPattern> = hosts.keys().collect();
    let mut components = Components::new(names.len());
    for (left, pattern) in names.iter().enumerate().filter(|(_, name)| name.exact().is_none()) {
        for (right, other) in names.iter().enumerate() {
            if overlap(pattern, other) {
                components.join(left, right);
            }
        }
    }
    let mut least: BTreeMap<usize, (String, bool)> = BTreeMap::new();
    for (index, (name, needs)) in hosts.iter().enumerate() {
        // A host that no Secret goes to has its own name for a key; any Secret's key stands before it.
        let secret = needs.secrets.first();
        let key = secret.map_or_else(|| format!("host {name}"), |secret| format!("Secret {secret}"));
        let (least, bodies) =
            least.entry(components.root(index)).or_insert_with(|| (key.clone(), needs.bodies));
        *least = std::mem::take(least).min(key);
        *bodies |= needs.bodies;
    }
    names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let component = least.get(&components.root(index));
            ((*name).clone(), component.map_or(0, |(key, bodies)| bucket(key, *bodies)))
        })
        .collect()
}

/// A stable hash of a key, within the buckets of its class.
fn bucket(key: &str, bodies: bool) -> usize {
    let digest = Sha256::digest(key.as_bytes());
    let number = digest.iter().take(4).fold(0_usize, |number, byte| (number << 8) | usize::from(*byte));
    if bodies { LIGHT_BUCKETS + number % FULL_BUCKETS } else { number % LIGHT_BUCKETS }
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

    fn assigned(hosts: &[(&str, &[&str], bool)]) -> BTreeMap<String, usize> {
        let needs = |secrets: &[&str], bodies| Needs {
            secrets: secrets.iter().map(|secret| (*secret).to_owned()).collect(),
            bodies,
        };
        let hosts = hosts.iter().map(|(host, secrets, bodies)| (pattern(host), needs(secrets, *bodies)));
        assign(&hosts.collect()).into_iter().map(|(host, bucket)| (host.to_string(), bucket)).collect()
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
            ("a.example.com", &["default/one"], false),
            ("b.example.org", &["default/one"], false),
            ("*.example.net", &["default/two"], false),
            ("c.example.net", &["default/one"], false),
            ("d.example.net", &[], false),
        ]);
        assert_eq!(buckets["a.example.com"], buckets["b.example.org"]);
        assert_eq!(buckets["a.example.com"], buckets["*.example.net"], "the least Secret decides");
        assert_eq!(buckets["*.example.net"], buckets["d.example.net"]);
    }

    #[test]
    fn hosts_whose_requests_wait_for_bodies_have_buckets_of_their_own() {
        let buckets = assigned(&[
            ("a.example.com", &["default/one"], true),
            ("b.example.com", &["default/one"], false),
            ("*.example.net", &[], false),
            ("c.example.net", &[], true),
        ]);
        assert!(buckets["a.example.com"] >= LIGHT_BUCKETS && buckets["b.example.com"] < LIGHT_BUCKETS);
        assert!(buckets["*.example.net"] >= LIGHT_BUCKETS, "it shares a component with one that waits");
    }

    #[test]
    fn many_secrets_spread_over_the_buckets_of_their_class() {
        for (bodies, class) in
            [(false, 0..LIGHT_BUCKETS), (true, LIGHT_BUCKETS..LIGHT_BUCKETS + FULL_BUCKETS)]
        {
            let used: BTreeSet<usize> =
                (0..1000).map(|number| bucket(&format!("Secret default/secret-{number}"), bodies)).collect();
            assert!(used.into_iter().eq(class));
        }
    }
}
