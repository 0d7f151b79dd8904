//! Host patterns: exact names, and names in which `*` stands for part of one label.

use std::fmt;

use thiserror::Error;

use crate::authority;

/// A lower-case host pattern. `*` matches one or more characters of one label, never a dot.
///
/// Manifests write exact names or `*.suffix`; the provider tables also use forms such as
/// `bedrock-runtime.*.amazonaws.com` and `*-aiplatform.googleapis.com`. A label holds at most one `*`; the last
/// label holds none, so that no pattern reaches across top-level domains.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPattern(String);

/// How narrowly a pattern names its hosts; greater is narrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Specificity {
    exact: bool,
    literal: usize,
}

/// Whether an Envoy virtual-host domain matches just what a pattern matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// The same hosts.
    Same,
    /// More hosts: its routes must also match `:authority` by [`HostPattern::as_regex`].
    Wider,
}

impl Specificity {
    /// Of the pattern that is just this name.
    pub(crate) fn of_exact(name: &str) -> Self {
        Specificity { exact: true, literal: name.len() }
    }
}

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`BadPattern`] when it is not lower-case, is an address, or has `*` where none may stand.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let last = text.rsplit('.').next().unwrap_or(text);
        let well_formed = text.len() <= 253 && text.split('.').all(is_pattern_label);
        if well_formed && !last.contains('*') && !authority::is_address(text) {
            Ok(HostPattern(text.to_owned()))
        } else {
            Err(BadPattern)
        }
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, where the pattern is one.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(self.0.as_str())
    }

    /// Whether the canonical (lower-case) name matches.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let mut labels = host.split('.');
        self.0.split('.').all(|pattern| labels.next().is_some_and(|label| label_matches(pattern, label)))
            && labels.next().is_none()
    }

    /// An exact name is narrower than any pattern; among patterns more literal characters are narrower.
    #[must_use]
    pub fn specificity(&self) -> Specificity {
        Specificity { exact: self.exact().is_some(), literal: self.0.bytes().filter(|b| *b != b'*').count() }
    }

    /// The pattern as an anchored RE2 expression over a canonical name.
    #[must_use]
    pub fn as_regex(&self) -> String {
        // A pattern holds letters, digits, hyphens, dots and stars only: the dot is all that needs escaping.
        format!("^{}$", self.0.replace('.', r"\.").replace('*', "[a-z0-9-]+"))
    }

    /// The narrowest Envoy virtual-host domain that covers the pattern. Such a domain takes one leading `*`, which
    /// also matches dots (`VirtualHost.domains`).
    #[must_use]
    pub fn envoy_domain(&self) -> (String, Coverage) {
        match self.0.rsplit_once('*') {
            None => (self.0.clone(), Coverage::Same),
            Some((_, suffix)) => (format!("*{suffix}"), Coverage::Wider),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is no host pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a host pattern: a lower-case name, or one with at most one `*` in each label but the last")]
pub struct BadPattern;

fn is_pattern_label(label: &str) -> bool {
    match label.split_once('*') {
        None => authority::is_label(label),
        // With the star read as a letter the rest must be a label; a second star is none.
        Some((before, after)) => authority::is_label(&format!("{before}x{after}")),
    }
}

fn label_matches(pattern: &str, label: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == label,
        Some((before, after)) => {
            label.len() > before.len() + after.len() && label.starts_with(before) && label.ends_with(after)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::parse(text).unwrap()
    }

    #[test]
    fn a_star_stays_within_one_label() {
        let table = [
            ("api.anthropic.com", "api.anthropic.com", true),
            ("api.anthropic.com", "xapi.anthropic.com", false),
            ("api.anthropic.com", "api.anthropic.com.evil.example", false),
            ("*.openai.azure.com", "me.openai.azure.com", true),
            ("*.openai.azure.com", "openai.azure.com", false),
            ("*.openai.azure.com", "a.b.openai.azure.com", false),
            ("*.openai.azure.com", ".openai.azure.com", false),
            ("bedrock-runtime.*.amazonaws.com", "bedrock-runtime.us-east-1.amazonaws.com", true),
            ("bedrock-runtime.*.amazonaws.com", "bedrock-runtime.a.b.amazonaws.com", false),
            ("*-aiplatform.googleapis.com", "europe-west1-aiplatform.googleapis.com", true),
            ("*-aiplatform.googleapis.com", "-aiplatform.googleapis.com", false),
            ("*-aiplatform.googleapis.com", "evil.x-aiplatform.googleapis.com", false),
            ("a*a.example", "aa.example", false),
            ("a*a.example", "a.example", false),
            ("a*a.example", "axa.example", true),
            (
                "*.bedrock-runtime.*.vpce.amazonaws.com",
                "vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com",
                true,
            ),
        ];
        for (text, host, expected) in table {
            assert_eq!(pattern(text).matches(host), expected, "{text} on {host}");
            assert_eq!(pattern(text).as_str(), text);
        }
    }

    #[test]
    fn malformed_patterns_are_refused() {
        let table = [
            "",
            "*",
            "*.*",
            "a.*",
            "**.example",
            "a**.example",
            "A.example",
            "a..example",
            "a.example.",
            "1.2.3.4",
            "*.2.3.4",
            "a_b.example",
            "-a.example",
            "*-.example",
            "[::1]",
            "a:443",
            "a/b",
            "bücher.example",
        ];
        for text in table {
            assert_eq!(HostPattern::parse(text), Err(BadPattern), "{text}");
        }
        let long = ["a".repeat(63).as_str(); 4].join(".");
        assert_eq!(HostPattern::parse(&long[1..]), Err(BadPattern));
        assert_eq!(pattern(&long[2..]).to_string(), long[2..]);
    }

    #[test]
    fn exact_names_are_narrower_than_patterns_and_more_literals_than_fewer() {
        let narrowest_first = ["a.example", "*-aiplatform.googleapis.com", "*.googleapis.com", "*.a.example"];
        let values: Vec<_> = narrowest_first.iter().map(|text| pattern(text).specificity()).collect();
        assert!(values.is_sorted_by(|a, b| a > b), "{values:?}");
    }

    #[test]
    fn envoy_gets_the_narrowest_domain_and_an_anchored_expression() {
        let table = [
            ("api.anthropic.com", "api.anthropic.com", Coverage::Same, r"^api\.anthropic\.com$"),
            ("*.example.com", "*.example.com", Coverage::Wider, r"^[a-z0-9-]+\.example\.com$"),
            ("*-x.example.com", "*-x.example.com", Coverage::Wider, r"^[a-z0-9-]+-x\.example\.com$"),
            ("b.*.amazonaws.com", "*.amazonaws.com", Coverage::Wider, r"^b\.[a-z0-9-]+\.amazonaws\.com$"),
        ];
        for (text, domain, coverage, regex) in table {
            assert_eq!(pattern(text).envoy_domain(), (domain.to_owned(), coverage), "{text}");
            assert_eq!(pattern(text).as_regex(), regex, "{text}");
        }
    }
}
