//! What is wrong with manifests: problems of files, and conditions that do not hold, each at its place.

use std::fmt;

use policy::api::{FieldPath, Step};
use serde::Serialize;

use super::offline::Offline;
use super::remedies;
use crate::conditions::{Condition, ObjectRef, Statuses, Truth};
use crate::source::{Places, Problem};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// It is not served as it was meant.
    Error,
    /// A field has no effect; the object is served.
    Warning,
}

/// One thing to look at. The names of the fields are those of `--json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// File name inside the directory.
    pub(super) file: Option<String>,
    /// From 1.
    pub(super) line: Option<u64>,
    /// `Kind namespace/name`.
    pub(super) object: Option<String>,
    /// Path of the field.
    pub(super) field: Option<String>,
    /// The type of the condition that does not hold; absent where the file itself is at fault.
    pub(super) condition: Option<&'static str>,
    /// The condition's reason.
    pub(super) reason: Option<String>,
    /// The parent, target or listener that the condition is about.
    pub(super) about: Option<String>,
    pub(super) message: String,
    pub(super) remedy: String,
}

/// The conditions that say whether an object is served as it was meant; the others follow from these or from Envoys.
const DECISIVE: [&str; 2] = ["Accepted", "ResolvedRefs"];

/// Everything that is wrong, in the order of files and lines.
pub(super) fn all(offline: &Offline) -> Vec<Finding> {
    let problems = offline.problems.iter().map(Finding::of_problem);
    let mut all: Vec<Finding> =
        problems.chain(of_statuses(&offline.compiled.statuses, &offline.places)).collect();
    if !offline.compiled.statuses.0.keys().any(|object| object.kind == policy::api::Kind::EgressGateway) {
        let message = "no EgressGateway is among the manifests, so nothing is served";
        let remedy = "add one; examples/anthropic has one that works";
        all.push(Finding::of_problem(&Problem::of_directory(message, remedy)));
    }
    all.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
    all
}

fn of_statuses(statuses: &Statuses, places: &Places) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for (object, status) in &statuses.0 {
        for (about, conditions) in status.parts() {
            for (kind, condition) in conditions.iter() {
                let severity = match (kind, condition.status) {
                    ("PartiallySupported", Truth::True) => Severity::Warning,
                    (kind, Truth::False) if DECISIVE.contains(&kind) => Severity::Error,
                    _ => continue,
                };
                let finding = Finding::of_condition(object, &about, kind, condition, severity, places);
                // A gateway's listeners repeat what is said of it.
                let is_known = |it: &Finding| {
                    (&it.object, &it.message) == (&finding.object, &finding.message)
                        && about.starts_with("listener")
                };
                if !findings.iter().any(is_known) {
                    findings.push(finding);
                }
            }
        }
    }
    findings
}

impl Finding {
    fn of_problem(problem: &Problem) -> Finding {
        let Problem { file, line, object, field, message, remedy } = problem.clone();
        Finding {
            severity: Severity::Error,
            file,
            line,
            object,
            field,
            condition: None,
            reason: None,
            about: None,
            message,
            remedy,
        }
    }

    fn of_condition(
        object: &ObjectRef,
        about: &str,
        kind: &'static str,
        condition: &Condition,
        severity: Severity,
        places: &Places,
    ) -> Finding {
        let Condition { reason, message, .. } = condition;
        let likely = || {
            let mut fields = remedies::fields(reason).iter();
            fields.find(|field| places.holds(object, &path_of(field))).map(|field| (*field).to_owned())
        };
        let field = named_field(message).or_else(likely);
        let path = field.as_deref().map(path_of).unwrap_or_default();
        let place = places.find(object, &path);
        let (message, remedy) = match (severity, own_remedy(message)) {
            (Severity::Warning, _) => {
                (message.as_str(), "remove it, or leave it for a version that carries it out")
            }
            (Severity::Error, Some(parts)) => parts,
            (Severity::Error, None) => (message.as_str(), remedies::remedy(reason)),
        };
        Finding {
            severity,
            file: place.map(|(file, _)| file.to_owned()),
            line: place.map(|(_, line)| line),
            object: Some(object.to_string()),
            field,
            condition: Some(kind),
            reason: Some(reason.clone()),
            about: Some(about.to_owned()).filter(|about| !about.is_empty()),
            message: message.to_owned(),
            remedy: remedy.to_owned(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, _) => {}
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        // A message that begins with its field need not have it in front.
        let field = self.field.as_ref().filter(|field| !self.message.contains(field.as_str()));
        for part in [self.object.as_ref(), field].into_iter().flatten() {
            write!(f, "{part}: ")?;
        }
        match (self.condition, &self.reason, &self.about) {
            (Some(kind), Some(reason), _) if kind == reason => write!(f, "{kind}: ")?,
            (Some(kind), Some(reason), Some(about)) => write!(f, "{kind}=False ({reason}) at {about}: ")?,
            (Some(kind), Some(reason), None) => write!(f, "{kind}=False ({reason}): ")?,
            _ => {}
        }
        write!(f, "{}; {}", self.message, self.remedy)
    }
}

/// A message that ends with what to do, in its two parts.
fn own_remedy(message: &str) -> Option<(&str, &str)> {
    let verbs = ["attach ", "correct ", "remove ", "set ", "write "];
    message.rsplit_once("; ").filter(|(_, remedy)| verbs.iter().any(|verb| remedy.starts_with(verb)))
}

/// The first field that a message names.
fn named_field(message: &str) -> Option<String> {
    let of_path = |c: char| c.is_ascii_alphanumeric() || ".[]".contains(c);
    let words = message.split(|c: char| !of_path(c)).map(|word| word.trim_end_matches('.'));
    words.into_iter().find(|word| word.starts_with("spec.")).map(str::to_owned)
}

/// `spec.rules[0].matches` as a path.
fn path_of(text: &str) -> FieldPath {
    let steps = text.split(['.', '[']).filter(|step| !step.is_empty()).map(|step| {
        let index = step.strip_suffix(']').and_then(|index| index.parse().ok());
        index.map_or_else(|| Step::Field(step.to_owned()), Step::Index)
    });
    FieldPath(steps.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_that_a_message_names_is_a_path_of_steps() {
        for (message, field) in [
            ("spec.listeners[0].port: use 1 to 65535", Some("spec.listeners[0].port")),
            ("spec.a.b, spec.c are not supported yet", Some("spec.a.b")),
            ("set spec.providerAuth.region. Or not", Some("spec.providerAuth.region")),
            ("there is no Secret default/x", None),
        ] {
            assert_eq!(named_field(message).as_deref(), field, "{message}");
            let shown = field.map(|field| path_of(field).to_string());
            assert_eq!(shown.as_deref(), field, "{message}");
        }
    }
}
