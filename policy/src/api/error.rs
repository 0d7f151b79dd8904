//! Why a manifest is refused. No error holds a value out of a manifest, only names of fields and kinds.

use std::fmt;

use thiserror::Error;

use super::nearest::nearest;

/// A manifest that is refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// Who it says it is, as far as that could be read. Boxed, to keep the error small.
    pub identity: Box<Identity>,
    /// Where in it.
    pub path: FieldPath,
    /// Why.
    pub cause: Cause,
}

impl std::error::Error for ManifestError {}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.identity)?;
        if !self.path.0.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}; {}", self.cause, self.remedy())
    }
}

impl ManifestError {
    /// What to do about it, as a clause.
    #[must_use]
    pub fn remedy(&self) -> String {
        self.cause.remedy()
    }
}

/// Who a manifest says it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// `apiVersion`.
    pub api_version: Option<String>,
    /// `kind`.
    pub kind: Option<String>,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: Option<String>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_deref().unwrap_or("object"))?;
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => write!(f, " {namespace}/{name}"),
            (None, Some(name)) => write!(f, " {name}"),
            _ => f.write_str(" without a name"),
        }
    }
}

/// A place inside a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldPath(pub Vec<Step>);

/// One step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A field.
    Field(String),
    /// An element of a list.
    Index(usize),
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if position == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Cause {
    /// The document is a scalar or a list.
    #[error("not an object")]
    NotAnObject,
    /// A required field is absent.
    #[error("the field {0} is missing")]
    MissingField(&'static str),
    /// A field that the kind does not have.
    #[error("unknown field {field}")]
    UnknownField {
        /// The field.
        field: String,
        /// What the kind has there.
        known: &'static [&'static str],
    },
    /// A word that is not one of the allowed ones. (The word itself is not repeated.)
    #[error("not one of the allowed values")]
    UnknownValue {
        /// The allowed words.
        allowed: &'static [&'static str],
    },
    /// A value of another type.
    #[error("found {found}, expected {expected}")]
    WrongType {
        /// What is there.
        found: &'static str,
        /// What belongs there.
        expected: String,
    },
    /// A kind that is not served.
    #[error("unknown kind {0}")]
    UnknownKind(String),
    /// A known kind under another `apiVersion`.
    #[error("the kind {kind} is not served as apiVersion {found}")]
    WrongApiVersion {
        /// The kind.
        kind: &'static str,
        /// What the manifest says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// Not a DNS subdomain.
    #[error("not a valid name")]
    InvalidName,
    /// What a type of the API says of a value that it refuses.
    #[error("{0}")]
    Other(String),
}

impl Cause {
    fn remedy(&self) -> String {
        match self {
            Cause::NotAnObject => "write a Kubernetes object: apiVersion, kind, metadata, spec".to_owned(),
            Cause::MissingField(field) => format!("add {field}"),
            Cause::UnknownField { field, known } => unknown_field(field, known),
            Cause::UnknownValue { allowed } => format!("write one of {}", allowed.join(", ")),
            Cause::WrongType { expected, .. } => format!("write {expected}"),
            Cause::UnknownKind(kind) => unknown_kind(kind),
            Cause::WrongApiVersion { expected, .. } => format!("write apiVersion: {expected}"),
            Cause::InvalidName => {
                "use at most 253 lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit"
                    .to_owned()
            }
            Cause::Other(_) => "correct the value".to_owned(),
        }
    }
}

fn unknown_field(field: &str, known: &'static [&'static str]) -> String {
    match nearest(field, known.iter().copied()) {
        Some(meant) => format!("did you mean {meant}?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("remove it; known here: {}", known.join(", ")),
    }
}

fn unknown_kind(kind: &str) -> String {
    let known = super::Kind::ALL.map(super::Kind::as_str);
    match nearest(kind, known) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("keep only these kinds here: {}", known.join(", ")),
    }
}
