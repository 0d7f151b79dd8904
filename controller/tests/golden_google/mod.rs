//! What golden cases need of Google: fake keys, which no manifest holds as they are, and tokens that there are.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use controller::google::{ExchangeError, Grant, OauthCode, Snapshot, Token, TokenKey, TokenState};
use policy::api::credential_injection_policy::Gcp;
use policy::secret::Secret;
use serde::Deserialize;
use time::OffsetDateTime;

/// The keys of the unit tests.
const KEYS: [(&str, &str); 2] = [
    ("one", include_str!("../../src/google/testdata/one.key.txt")),
    ("short", include_str!("../../src/google/testdata/short.key.txt")),
];

fn body(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

/// Puts keys in the place of their names, as JSON spells them.
pub(crate) fn with_keys(text: &str) -> String {
    KEYS.iter().fold(text.to_owned(), |text, (name, key)| {
        let lines: String = body(key).map(|line| format!("{line}\\n")).collect();
        let label = ["PRIVATE", "KEY"].join(" ");
        let pem = format!("-----BEGIN {label}-----\\n{lines}-----END {label}-----\\n");
        text.replace(&format!("@private-key {name}@"), &pem)
    })
}

/// Lines that would give a key away.
pub(crate) fn key_lines() -> Vec<String> {
    KEYS.iter().flat_map(|(_, key)| body(key).take(5)).map(str::to_owned).collect()
}

/// A line of `tokens.json`: whose token, and how it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    secret: String,
    grant: Gcp,
    host: Option<String>,
    token: Option<String>,
    ends: Option<i64>,
    obtained: Option<i64>,
    next: Option<i64>,
    #[serde(default)]
    failures: u32,
    status: Option<u16>,
    error: Option<OauthCode>,
}

/// The tokens of a case.
pub(crate) fn tokens(case: &Path) -> Snapshot {
    let text = fs::read_to_string(case.join("tokens.json")).unwrap_or_else(|_| "[]".to_owned());
    let lines: Vec<Line> = serde_json::from_str(&text).unwrap();
    lines.into_iter().map(state).collect::<BTreeMap<_, _>>()
}

fn state(line: Line) -> (TokenKey, Arc<TokenState>) {
    let key = TokenKey {
        namespace: "default".into(),
        secret: line.secret,
        key: "key.json".into(),
        grant: Grant::of(Some(&line.grant), line.host.as_deref()).unwrap(),
    };
    let time = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    let mut state = TokenState::default();
    state.token = line.token.map(|token| Token {
        value: Arc::new(Secret::credential(token.as_bytes()).unwrap()),
        expires_at: time(line.ends.unwrap()),
    });
    state.minted_at = line.obtained.map(time);
    state.next_attempt = line.next.map(time);
    state.failures = line.failures;
    state.last_error = line.status.map(ExchangeError::Status).or(line.error.map(ExchangeError::Refused));
    (key, Arc::new(state))
}
