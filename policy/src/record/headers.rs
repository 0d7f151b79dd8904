//! Header lists as records show them.

use std::borrow::Cow;

use super::line::Texts;
use crate::decide::{Edit, Head, Places, Plan, ROUTERS_HEADER, same_header};
use crate::header_map::HeaderMap;
use crate::query::{REDACTED, is_one_of};
use crate::scrub::Scrubber;

/// Headers whose values no record shows, whatever they hold, on hosts with places of their own and on others.
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

/// Whether no record shows the value of a query parameter of this decoded name.
pub(super) fn is_secret_parameter(name: &[u8], places: Places<'_>) -> bool {
    is_one_of(name, SECRET_QUERY.iter().copied()) || places.has_parameter(name)
}

/// The headers that went upstream, or those of a request that was refused.
pub(super) fn request<'a>(
    head: &Head<'a>,
    plan: Option<&'a Plan>,
    places: Places<'_>,
    scrubber: &Scrubber,
) -> Texts<'a> {
    let edits = plan.map_or(&[][..], |plan| &plan.edits);
    let kept = head.headers.iter().filter(|(name, _)| {
        *name != ROUTERS_HEADER && !edits.iter().any(|edit| edit.header() == Some(*name))
    });
    let set = edits.iter().filter_map(|edit| match edit {
        Edit::SetHeader { name, .. } => Some((name.as_str().into(), REDACTED.into())),
        Edit::RemoveHeader(_) | Edit::SetPath(_) => None,
    });
    let mut texts = Texts::with_capacity(head.headers.len());
    texts.extend(
        kept.map(|(name, value)| (clean_name(name, scrubber), clean_value(name, value, places, scrubber))),
    );
    texts.extend(set);
    texts
}

/// Names of the headers that the agent sent and that went no further as it sent them, and of those that were set;
/// `:path` is one of them where path or query went changed.
pub(super) fn changed<'a>(
    head: &Head<'a>,
    plan: Option<&'a Plan>,
    scrubber: &Scrubber,
) -> (Vec<Cow<'a, str>>, Vec<Cow<'a, str>>) {
    let (mut removed, mut set): (Vec<Cow<'_, str>>, Vec<_>) = (Vec::new(), Vec::new());
    for edit in plan.map_or(&[][..], |plan| &plan.edits) {
        match edit {
            Edit::RemoveHeader(name) => removed.push(clean_name(name.as_bytes(), scrubber)),
            Edit::SetHeader { name, .. } => {
                let is_named = removed.iter().any(|known| known.eq_ignore_ascii_case(name));
                if !is_named && head.headers.iter().any(|(sent, _)| same_header(sent, name)) {
                    removed.push(clean_name(name.as_bytes(), scrubber));
                }
                set.push(clean_name(name.as_bytes(), scrubber));
            }
            Edit::SetPath(_) => set.push(":path".into()),
        }
    }
    (removed, set)
}

/// The headers of the answer.
pub(super) fn response<'a>(map: &'a HeaderMap, places: Places<'_>, scrubber: &Scrubber) -> Texts<'a> {
    let plain = map.iter().filter(|(name, _)| !name.starts_with(b":"));
    let mut texts = Texts::with_capacity(map.iter().len());
    texts.extend(
        plain.map(|(name, value)| (clean_name(name, scrubber), clean_value(name, value, places, scrubber))),
    );
    texts
}

fn clean_name<'a>(name: &'a [u8], scrubber: &Scrubber) -> Cow<'a, str> {
    if scrubber.is_in_name(name) { REDACTED.into() } else { text(name) }
}

fn clean_value<'a>(name: &[u8], value: &'a [u8], places: Places<'_>, scrubber: &Scrubber) -> Cow<'a, str> {
    if SECRET_HEADERS.iter().any(|secret| same_header(name, secret)) || places.has_header(name) {
        REDACTED.into()
    } else {
        clean(value, scrubber)
    }
}

/// Text without any live credential. Bytes that are not UTF-8 are replaced, so that the record is always valid JSON.
pub(super) fn clean<'a>(value: &'a [u8], scrubber: &Scrubber) -> Cow<'a, str> {
    match scrubber.scrub(value) {
        Some(scrubbed) => text(&scrubbed).into_owned().into(),
        None => text(value),
    }
}

/// Nearly every text is UTF-8, which is several times faster to see than to replace what is not.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Cuts a text to a length in bytes, at a character; whether there was anything to cut.
pub(super) fn cut(text: &mut Cow<'_, str>, length: usize) -> bool {
    let longer = text.len() > length;
    if longer {
        let end = (0..=length).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.to_mut().truncate(end);
    }
    longer
}
