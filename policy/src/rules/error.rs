//! Why a configuration is refused.

use thiserror::Error;

/// A configuration is refused whole. Names the field, never its value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("configuration refused at {at}: {fault}")]
pub struct ConfigError {
    /// Path of the field, such as `rules[3].hosts[0]`.
    pub at: String,
    /// What is wrong with it.
    pub fault: Fault,
}

impl ConfigError {
    pub(super) fn new(at: impl Into<String>, fault: Fault) -> Self {
        ConfigError { at: at.into(), fault }
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// Not JSON, an unknown or missing field, or another type.
    #[error("not what this version of the configuration has there")]
    Decode,
    /// A version that this crate does not read.
    #[error("unknown version")]
    Version,
    /// Nothing where something must be.
    #[error("empty")]
    Empty,
    /// A list that must be sorted and free of duplicates.
    #[error("not sorted, or with duplicates")]
    Unsorted,
    /// Not a host pattern.
    #[error("not a host pattern")]
    Host,
    /// Not a glob.
    #[error("malformed glob")]
    Glob,
    /// Port 0.
    #[error("not a port")]
    Port,
    /// Not an upper-case method, or one that is never forwarded (TRACE, CONNECT).
    #[error("not a method that can be allowed")]
    Method,
    /// Not a lower-case header name.
    #[error("not a lower-case header name")]
    HeaderName,
    /// A header that a filter must not set or remove.
    #[error("a header that must not be touched")]
    ForbiddenHeader,
    /// A prefix that a header value cannot have.
    #[error("not visible ASCII text")]
    Prefix,
    /// No region or service of a credential scope.
    #[error("not a region or service: lower-case letters, digits and hyphens")]
    Scope,
    /// An index beyond its table.
    #[error("no such table")]
    Index,
    /// Two injections into one place.
    #[error("the place is filled twice")]
    Duplicate,
}
