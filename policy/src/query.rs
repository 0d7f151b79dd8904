//! Credential parameters of a query: removed before a request is forwarded, redacted before it is recorded; and ours,
//! added at the end.
//!
//! Names are judged in their decoded form (`k%65y` is `key`). `;` separates parameters as `&` does, since some servers
//! read it so. All other bytes stay as they are, in their order.
//!
//! A server may be laxer than the standard, and an agent may count on that. So a name is also taken for a credential's
//! where some server would: one that decodes again what it has decoded (`k%2565y`), ends a name at a NUL (`key%00x`),
//! takes brackets for a list (`key[]`, `[key]`), passes over spaces, control and non-ASCII bytes (`+key`, `key%FF`), or
//! stores `.` and space as `_` (PHP's `api.key`). Names that none of them takes for it stay: `mykey`, `key%zz`. Not
//! looked for: other characters that a server could fold to an ASCII letter; and servers that decode a query before
//! they split it, to which any value may hold a parameter.
//!
//! A `#` is a byte like others. A server that ends the target there sees neither a parameter of the agent's that was
//! removed nor ours, and refuses the request; Envoy refuses one before (1.19.1 and later, CVE-2021-32779).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::aws;
use crate::path::escape;
use crate::secret::PLACEHOLDER;

/// What stands in a record where a value was.
pub const REDACTED: &str = "[redacted]";

/// A request target without its credential parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stripped {
    /// Path and query.
    pub target: Vec<u8>,
    /// Whether a removed parameter held something other than nothing or the placeholder.
    pub held_value: bool,
}

/// Removes the parameters whose decoded names `named` says; `None` when there are none of them.
#[must_use]
pub fn strip(target: &[u8], named: impl Fn(&[u8]) -> bool) -> Option<Stripped> {
    let (path, query) = split(target)?;
    let (dropped, kept): (Vec<_>, Vec<_>) = parameters(query).partition(|parameter| parameter.may_be(&named));
    if dropped.is_empty() {
        return None;
    }
    let mut stripped = path.to_vec();
    for (index, parameter) in kept.iter().enumerate() {
        stripped.push(if index == 0 { b'?' } else { parameter.separator });
        stripped.extend_from_slice(parameter.text);
    }
    Some(Stripped { target: stripped, held_value: dropped.iter().any(Parameter::holds_value) })
}

/// The query with `[redacted]` for each value under a decoded name that `named` says; `None` without a query.
#[must_use]
pub fn redact(target: &[u8], named: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let (_, query) = split(target)?;
    let mut redacted = Vec::with_capacity(query.len());
    for (index, parameter) in parameters(query).enumerate() {
        if index > 0 {
            redacted.push(parameter.separator);
        }
        match parameter.text.iter().position(|b| *b == b'=') {
            Some(equals) if parameter.may_be(&named) => {
                redacted.extend_from_slice(parameter.text.get(..=equals).unwrap_or_default());
                redacted.extend_from_slice(REDACTED.as_bytes());
            }
            _ => redacted.extend_from_slice(parameter.text),
        }
    }
    Some(redacted)
}

/// The decoded values of the parameters that some server would read under this name.
pub(crate) fn values<'a>(target: &'a [u8], name: &'a str) -> impl Iterator<Item = Vec<u8>> {
    let (_, query) = split(target).unwrap_or_default();
    let named = move |other: &[u8]| other == name.as_bytes();
    parameters(query).filter(move |parameter| parameter.may_be(named)).map(|parameter| parameter.value())
}

/// Whether some parameter has one of these decoded names.
pub(crate) fn has<'a>(target: &[u8], names: impl Iterator<Item = &'a str> + Clone) -> bool {
    let (_, query) = split(target).unwrap_or_default();
    parameters(query).any(|parameter| parameter.may_be(|name| is_one_of(name, names.clone())))
}

/// Adds `name=value`, percent-encoded but for the unreserved characters of RFC 3986, as the last parameter.
///
/// Behind a query that is not empty it gets an `&` of its own, also where that ends in `&` or `;`: not every server
/// takes a `;` for a separator, and [`strip`] then gives back the very target that came in. The result holds the value
/// in clear and is never moved while it grows, so that no copy of it stays behind.
#[must_use]
pub fn append(target: &[u8], name: &str, value: &[u8]) -> Vec<u8> {
    let mut longer = Vec::with_capacity(target.len() + 2 + 3 * (name.len() + value.len()));
    longer.extend_from_slice(target);
    match split(target) {
        None => longer.push(b'?'),
        Some((_, [])) => {}
        Some(_) => longer.push(b'&'),
    }
    encode(name.as_bytes(), &mut longer);
    longer.push(b'=');
    encode(value, &mut longer);
    longer
}

/// Whether a decoded name is one of these, without regard to ASCII case.
pub(crate) fn is_one_of<'a>(name: &[u8], names: impl IntoIterator<Item = &'a str>) -> bool {
    names.into_iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

struct Parameter<'a> {
    separator: u8,
    text: &'a [u8],
}

/// How often a name is decoded, at most: by the server, by a gateway before it, and once more by mistake.
const DECODINGS: usize = 3;

impl Parameter<'_> {
    /// Whether some server would read the name as one that `named` says.
    fn may_be(&self, named: impl Fn(&[u8]) -> bool) -> bool {
        let reads_so = |name: &[u8]| {
            named(name) || !is_plain(name) && lax_readings(name).iter().any(|reading| named(reading))
        };
        let mut name = self.text.split(|b| *b == b'=').next().unwrap_or_default().to_vec();
        for _ in 0..DECODINGS {
            let decoded = decode(&name);
            if reads_so(&decoded) {
                return true;
            }
            if decoded == name {
                return false;
            }
            name = decoded;
        }
        false
    }

    fn value(&self) -> Vec<u8> {
        let equals = self.text.iter().position(|b| *b == b'=');
        equals.and_then(|at| self.text.get(at + 1..)).map(decode).unwrap_or_default()
    }

    /// Whether it holds a credential that is no placeholder. Of a presigned URL that is the credential alone, whose
    /// first part is the access key id: a signature by a placeholder is nobody's.
    fn holds_value(&self) -> bool {
        if self.may_be(|name| is_one_of(name, aws::DESCRIBING_QUERY)) {
            return false;
        }
        let value = self.value();
        let id = value.split(|byte| *byte == b'/').next().unwrap_or_default();
        !value.is_empty() && id != PLACEHOLDER.as_bytes()
    }
}

/// Whether every server reads the name alike, as most names are read.
fn is_plain(name: &[u8]) -> bool {
    name.iter().all(|b| b.is_ascii_graphic() && !b".[]".contains(b))
}

/// What is left of a name where NUL and brackets end it and only visible characters count: as it is, and with `_` for
/// the dots and spaces inside.
fn lax_readings(name: &[u8]) -> [Vec<u8>; 2] {
    let ends = |b: &u8| matches!(b, 0 | b'[' | b']');
    let first = name.split(ends).find(|part| !part.is_empty()).unwrap_or_default();
    let visible = |name: &[u8]| name.iter().copied().filter(u8::is_ascii_graphic).collect::<Vec<u8>>();
    let underscore = |b: &u8| if matches!(b, b'.' | b' ') { b'_' } else { *b };
    let underscored: Vec<u8> = first.trim_ascii().iter().map(underscore).collect();
    [visible(first), visible(&underscored)]
}

fn split(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let mark = target.iter().position(|b| *b == b'?')?;
    Some((target.get(..mark)?, target.get(mark + 1..)?))
}

/// The parameters, each with the separator before it (the first one's means nothing).
fn parameters(query: &[u8]) -> impl Iterator<Item = Parameter<'_>> {
    let mut separator = b'&';
    query.split_inclusive(|b| matches!(b, b'&' | b';')).chain(ends_open(query)).map(move |piece| {
        let (text, next) = match piece.split_last() {
            Some((last @ (b'&' | b';'), text)) => (text, *last),
            _ => (piece, b'&'),
        };
        Parameter { separator: std::mem::replace(&mut separator, next), text }
    })
}

/// A separator at the end opens one more, empty parameter, which `split_inclusive` does not report.
fn ends_open(query: &[u8]) -> Option<&[u8]> {
    matches!(query.last(), None | Some(b'&' | b';')).then_some(&[])
}

/// RFC 3986, 2.3.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn encode(text: &[u8], into: &mut Vec<u8>) {
    percent_encode(text, ESCAPED).for_each(|part| into.extend_from_slice(part.as_bytes()));
}

/// `application/x-www-form-urlencoded` decoding; a broken escape stands for itself.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let (byte, after) = match first {
            b'%' => escape(tail).unwrap_or((b'%', tail)),
            b'+' => (b' ', tail),
            other => (*other, tail),
        };
        decoded.push(byte);
        rest = after;
    }
    decoded
}

#[cfg(test)]
mod tests;
