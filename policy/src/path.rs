//! Whether a request path is in the one form that endpoint rules are matched on.
//!
//! Absent on purpose: normalisation. A path that a provider could read in two ways is refused, not rewritten; and only
//! on hosts where some rule has endpoints, since elsewhere no decision rests on the path.

use thiserror::Error;

/// A path that servers may read in more than one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the path is not in canonical form")]
pub struct NotCanonical;

/// The path of a request target, up to `?`.
///
/// # Errors
/// [`NotCanonical`] for: no leading `/`; empty, `.` or `..` segments; an escape of a slash, a backslash, a semicolon,
/// a control byte, a percent sign before two hexadecimal digits, or a character that needs none (RFC 3986, 2.3); a
/// broken escape; `\`, `;`, `#`; a space, control or non-ASCII byte.
pub fn canonical(target: &[u8]) -> Result<&str, NotCanonical> {
    let path = target.split(|b| *b == b'?').next().unwrap_or(target);
    let path = std::str::from_utf8(path).map_err(|_| NotCanonical)?;
    let segments = path.strip_prefix('/').ok_or(NotCanonical)?;
    if segments_are_plain(segments) && bytes_are_plain(path.as_bytes()) {
        Ok(path)
    } else {
        Err(NotCanonical)
    }
}

/// A trailing slash leaves one empty segment at the end, which is a path of its own.
fn segments_are_plain(segments: &str) -> bool {
    let inner_empty = segments.starts_with('/') || segments.contains("//");
    !inner_empty && !segments.split('/').any(|segment| segment == "." || segment == "..")
}

fn bytes_are_plain(path: &[u8]) -> bool {
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        rest = match first {
            b'%' => match escape(tail) {
                Some((byte, after)) if may_be_escaped(byte, after) => after,
                _ => return false,
            },
            b'\\' | b';' | b'#' => return false,
            b if b.is_ascii_graphic() => tail,
            _ => return false,
        };
    }
    true
}

fn may_be_escaped(byte: u8, after: &[u8]) -> bool {
    let needs_none = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let doubly_escaped = byte == b'%' && two_digits(after).is_some();
    !needs_none && !doubly_escaped && !byte.is_ascii_control() && !b"/\\;".contains(&byte)
}

/// The byte that the two hexadecimal digits after a `%` stand for, and what follows them.
pub(crate) fn escape(after_percent: &[u8]) -> Option<(u8, &[u8])> {
    let byte = two_digits(after_percent)?;
    Some((byte, after_percent.get(2..)?))
}

fn two_digits(bytes: &[u8]) -> Option<u8> {
    let high = char::from(*bytes.first()?).to_digit(16)?;
    let low = char::from(*bytes.get(1)?).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn plain_paths_are_their_own_canonical_form() {
        let table = [
            ("/", "/"),
            ("/v1/messages", "/v1/messages"),
            ("/v1/messages/", "/v1/messages/"),
            ("/v1/messages?beta=true&x=/../", "/v1/messages"),
            ("/model/anthropic.claude%3A0/invoke", "/model/anthropic.claude%3A0/invoke"),
            ("/v1beta/models/gemini:generateContent", "/v1beta/models/gemini:generateContent"),
            ("/caf%C3%A9/a%20b/100%25", "/caf%C3%A9/a%20b/100%25"),
            ("/.well-known/..a/b..", "/.well-known/..a/b.."),
            ("/a@b,c=d+e!$&'()*~_-", "/a@b,c=d+e!$&'()*~_-"),
        ];
        for (target, path) in table {
            assert_eq!(canonical(target.as_bytes()), Ok(path), "{target}");
        }
    }

    #[test]
    fn paths_with_two_readings_are_refused() {
        let table: &[&[u8]] = &[
            b"",
            b"*",
            b"v1",
            b"?a",
            b"//",
            b"//v1",
            b"/v1//x",
            b"/v1//",
            b"/.",
            b"/..",
            b"/./v1",
            b"/v1/.",
            b"/v1/../x",
            b"/v1/..",
            b"/v1/%2e%2e/x",
            b"/v1/%2E/x",
            b"/v1%2fx",
            b"/v1%2Fx",
            b"/v1%5cx",
            b"/v1\\x",
            b"/v1;a=b",
            b"/v1%3bx",
            b"/%761",
            b"/v1%",
            b"/v1%2",
            b"/v1%zz",
            b"/v1%252e",
            b"/v1%00",
            b"/v1%0a",
            b"/v1%7f",
            b"/v1 x",
            b"/v1\tx",
            b"/v1\x00",
            b"/v1\x7f",
            b"/v1\xc3\xa9",
            b"/v1\xff",
            b"/v1#x",
            b"/%7euser",
            b"http://a/v1",
        ];
        for target in table {
            assert_eq!(canonical(target), Err(NotCanonical), "{:?}", String::from_utf8_lossy(target));
        }
    }
}

#[cfg(test)]
mod properties {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_canonical_path_has_one_reading(target in "/[a-b./%25eEfF?;]{0,16}") {
            if let Ok(path) = canonical(target.as_bytes()) {
                let decoded = path.replace("%2F", "/").replace("%2f", "/").replace("%2E", ".").replace("%2e", ".");
                prop_assert_eq!(&decoded, path);
                let ended = format!("{path}/");
                prop_assert!(!path.contains("//") && !ended.contains("/../") && !path.contains(';'));
                prop_assert!(target.starts_with(path));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = canonical(&bytes);
        }
    }
}
