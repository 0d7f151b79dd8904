//! Host patterns: exact names, and names in which `*` stands for part of one label.

use std::fmt;

/// A lower-case host pattern. `*` matches one or more characters of one label, never a dot.
///
/// Manifests write exact names or `*.suffix`; the provider tables also use forms such as
/// `bedrock-runtime.*.amazonaws.com` and `*-aiplatform.googleapis.com`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPattern(String);

impl HostPattern {
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
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
