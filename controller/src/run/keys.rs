//! The keys that are found in the environment, and what is to be said of those that are not used.

use std::collections::BTreeMap;
use std::ffi::OsString;

use policy::secret::{Secret, Unusable};

use super::providers::{Part, Place, Row, TABLE};
use crate::plan::ObjectKey;
use crate::source::{DEFAULT_NAMESPACE, Overrides};

/// Values of variables that the command does not get, by name.
pub(super) type Secrets = BTreeMap<String, Secret>;

/// A row of the table whose key is there, and the hosts that it is for.
pub(super) struct Key {
    pub(super) row: &'static Row,
    pub(super) place: Place,
    /// The variables of the row that are set.
    pub(super) parts: Vec<&'static Part>,
}

/// What was found.
pub(super) struct Keys {
    /// The keys that are used, in order of the table.
    pub(super) used: Vec<Key>,
    /// One line for each that is not.
    pub(super) notes: Vec<String>,
}

/// Looks for the keys of the table. `environment` is the whole environment: other variables say where a key is good.
pub(super) fn find(secrets: &Secrets, environment: &BTreeMap<OsString, OsString>) -> Keys {
    let mut keys = Keys { used: Vec::new(), notes: Vec::new() };
    for row in TABLE {
        match look(row, secrets, environment, &keys.used) {
            Ok(Some(place)) => {
                let is_set =
                    |part: &&Part| secrets.get(part.variable).is_some_and(|value| !value.expose().is_empty());
                keys.used.push(Key { row, place, parts: row.parts.iter().filter(is_set).collect() });
            }
            Ok(None) => {}
            Err(note) => keys.notes.push(note),
        }
    }
    keys
}

/// Where a row's key is good; `None` where it is not there, or is that of another row.
fn look(
    row: &'static Row,
    secrets: &Secrets,
    environment: &BTreeMap<OsString, OsString>,
    used: &[Key],
) -> Result<Option<Place>, String> {
    if row.parts.iter().all(|part| !part.required || !secrets.contains_key(part.variable)) {
        return Ok(None);
    }
    for part in row.parts.iter().filter(|part| part.required || secrets.contains_key(part.variable)) {
        let variable = part.variable;
        let Some(value) = secrets.get(variable) else {
            let other = row.parts.iter().find(|part| secrets.contains_key(part.variable));
            let other = other.map_or(row.variable(), |part| part.variable);
            return Err(format!("{other} is not used: {variable} is not set"));
        };
        // Exposed to be judged as the compiler will.
        match Secret::credential(value.expose()) {
            Ok(_) => {}
            // A session token may be set to nothing: then there is none.
            Err(Unusable::Empty) if !part.required => {}
            Err(Unusable::Empty) => return Err(format!("{variable} is empty: as if it were not set")),
            Err(Unusable::Placeholder) => {
                return Err(format!("{variable} is the placeholder, not a key: it is not used"));
            }
            Err(fault) => return Err(format!("{variable} is not used: {fault}")),
        }
    }
    let place = row.place(environment).map_err(|why| format!("{} is not used: {why}", row.variable()))?;
    let patterns = place.patterns();
    let Some(winner) = used.iter().find(|key| key.place.overlaps(&patterns)) else { return Ok(Some(place)) };
    let (winner, loser) = (winner.row.variable(), row.variable());
    // Exposed to be compared only.
    let value = |variable: &str| secrets.get(variable).map(Secret::expose);
    match value(winner) == value(loser) {
        true => Ok(None),
        false => Err(format!("{loser} is not used: {winner} is for the same host, and wins")),
    }
}

impl Keys {
    /// The values, by the Secrets that the generated objects name.
    pub(super) fn overrides(&self, secrets: &Secrets) -> Overrides {
        let mut overrides = Overrides::default();
        for key in &self.used {
            for part in &key.parts {
                let secret =
                    ObjectKey { namespace: DEFAULT_NAMESPACE.to_owned(), name: key.row.name.to_owned() };
                if let Some(value) = secrets.get(part.variable) {
                    // Exposed to become the value of the Secret that a policy reads.
                    overrides.flag(secret, Some(part.key.to_owned()), value.expose().to_vec());
                }
            }
        }
        overrides
    }
}

#[cfg(test)]
mod tests {
    use policy::secret::PLACEHOLDER;

    use super::*;

    /// The variables whose keys are used, and the notes.
    fn check(set: &[(&str, &str)], used: &[&str], notes: &[&str]) {
        let environment = set.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let secrets: Secrets = set
            .iter()
            .map(|(name, value)| (name.to_string(), Secret::new(value.as_bytes().to_vec())))
            .collect();
        let found = find(&secrets, &environment);
        assert_eq!(found.used.iter().map(|key| key.row.variable()).collect::<Vec<_>>(), used, "{set:?}");
        assert_eq!(found.notes, notes, "{set:?}");
    }

    #[test]
    fn each_key_is_found_and_what_is_none_is_said() {
        check(&[], &[], &[]);
        check(
            &[("ANTHROPIC_API_KEY", "sk-ant-0123"), ("GROQ_API_KEY", "gsk-01234")],
            &["ANTHROPIC_API_KEY", "GROQ_API_KEY"],
            &[],
        );
        check(&[("OPENAI_API_KEY", "")], &[], &["OPENAI_API_KEY is empty: as if it were not set"]);
        check(
            &[("OPENAI_API_KEY", PLACEHOLDER)],
            &[],
            &["OPENAI_API_KEY is the placeholder, not a key: it is not used"],
        );
        check(
            &[("OPENAI_API_KEY", "short")],
            &[],
            &["OPENAI_API_KEY is not used: the value is shorter than 8 bytes"],
        );
    }

    #[test]
    fn one_key_wins_where_two_are_for_the_same_host() {
        let two = |a, b| [("GEMINI_API_KEY", a), ("GOOGLE_API_KEY", b)];
        let note = "GEMINI_API_KEY is not used: GOOGLE_API_KEY is for the same host, and wins";
        check(&two("AIza-first", "AIza-second"), &["GOOGLE_API_KEY"], &[note]);
        check(&two("AIza-first", "AIza-first"), &["GOOGLE_API_KEY"], &[]);
        let empty = "GOOGLE_API_KEY is empty: as if it were not set";
        check(&two("AIza-first", ""), &["GEMINI_API_KEY"], &[empty]);
    }

    #[test]
    fn azure_and_aws_need_what_belongs_to_the_key() {
        check(
            &[("AZURE_OPENAI_API_KEY", "0123456789")],
            &[],
            &[
                "AZURE_OPENAI_API_KEY is not used: AZURE_OPENAI_ENDPOINT, which says at which host it is good, is \
               not set",
            ],
        );
        let id = ("AWS_ACCESS_KEY_ID", "AKIA0123456789");
        check(&[id], &[], &["AWS_ACCESS_KEY_ID is not used: AWS_SECRET_ACCESS_KEY is not set"]);
        let secret = ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI");
        check(&[secret], &[], &["AWS_SECRET_ACCESS_KEY is not used: AWS_ACCESS_KEY_ID is not set"]);
        check(&[id, secret, ("AWS_SESSION_TOKEN", "")], &["AWS_ACCESS_KEY_ID"], &[]);
    }
}
