//! Header lists as records show them.

use crate::decide::{Edit, Head, Plan, ROUTERS_HEADER, same_header};
use crate::query::REDACTED;
use crate::scrub::Scrubber;

/// Headers whose values no record shows, whatever they hold. Injected names are added by the plan itself.
const SECRET_HEADERS: &[&str] = &[
    "anthropic-api-key",
    "api-key",
    "authorization",
    "cookie",
    "openai-api-key",
    "proxy-authorization",
    "set-cookie",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-goog-api-key",
];

/// Query parameters whose values no record shows, on hosts with carriers of their own and on others.
const SECRET_QUERY: &[&str] = &[
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "key",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
];

/// The names of query parameters to redact, `more` included.
pub(super) fn query_names(more: &[String]) -> Vec<String> {
    SECRET_QUERY.iter().map(|name| (*name).to_owned()).chain(more.iter().cloned()).collect()
}

/// Names and values as text, redacted by name and by value.
pub(super) fn clean_all(
    headers: &[(&[u8], &[u8])],
    secret: &[&str],
    scrubber: &Scrubber,
) -> Vec<(String, String)> {
    let plain = headers.iter().filter(|(name, _)| !name.starts_with(b":") && *name != ROUTERS_HEADER);
    plain
        .map(|(name, value)| (clean_name(name, scrubber), clean_value(name, value, secret, scrubber)))
        .collect()
}

fn clean_name(name: &[u8], scrubber: &Scrubber) -> String {
    if scrubber.is_in_name(name) { REDACTED.to_owned() } else { text(name) }
}

fn clean_value(name: &[u8], value: &[u8], secret: &[&str], scrubber: &Scrubber) -> String {
    if SECRET_HEADERS.iter().chain(secret).any(|secret| same_header(name, secret)) {
        REDACTED.to_owned()
    } else {
        clean(value, scrubber)
    }
}

/// Text without any live credential.
pub(super) fn clean(value: &[u8], scrubber: &Scrubber) -> String {
    scrubber.scrub(value).map_or_else(|| text(value), |scrubbed| text(&scrubbed))
}

/// Bytes that are not UTF-8 are replaced, so that the record is always valid JSON.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Cuts a text to a length in bytes, at a character; whether there was anything to cut.
pub(super) fn cut(text: &mut String, length: usize) -> bool {
    let longer = text.len() > length;
    if longer {
        let end = (0..=length).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    longer
}

/// The head that goes upstream, without the headers that the plan sets: their values stay out of sight.
pub(super) fn injected<'a>(head: &'a Head<'_>, plan: &'a Plan) -> Head<'a> {
    let mut after: Head<'a> = head.clone();
    for edit in &plan.edits {
        match edit {
            Edit::RemoveHeader(name) | Edit::SetHeader { name, .. } => {
                after.headers.retain(|(other, _)| *other != name.as_bytes());
            }
            Edit::SetPath(path) => after.path = path,
        }
    }
    after
}
