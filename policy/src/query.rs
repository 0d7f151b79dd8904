//! Credential parameters of a query: removed before a request is forwarded, redacted before it is recorded.
//!
//! Names are judged in their decoded form (`k%65y` is `key`). `;` separates parameters as `&` does, since some servers
//! read it so. All other bytes stay as they are, in their order.

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
    let (dropped, kept): (Vec<_>, Vec<_>) = parameters(query).partition(|parameter| named(&parameter.name()));
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

/// The target with one more parameter.
#[must_use]
pub fn append(target: &[u8], name: &str, value: &[u8]) -> Vec<u8> {
    const ESCAPED: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let mut appended = target.to_vec();
    match split(target) {
        None => appended.push(b'?'),
        Some((_, query)) if query.is_empty() => {}
        Some(_) => appended.push(b'&'),
    }
    let encode = |bytes| percent_encoding::percent_encode(bytes, ESCAPED);
    appended.extend(format!("{}={}", encode(name.as_bytes()), encode(value)).into_bytes());
    appended
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
            Some(equals) if named(&parameter.name()) => {
                redacted.extend_from_slice(parameter.text.get(..=equals).unwrap_or_default());
                redacted.extend_from_slice(REDACTED.as_bytes());
            }
            _ => redacted.extend_from_slice(parameter.text),
        }
    }
    Some(redacted)
}

/// The decoded values of the parameters of exactly this decoded name.
pub(crate) fn values<'a>(target: &'a [u8], name: &'a str) -> impl Iterator<Item = Vec<u8>> {
    let (_, query) = split(target).unwrap_or_default();
    parameters(query).filter(move |parameter| parameter.name() == name.as_bytes()).map(|it| it.value())
}

/// Whether some parameter has one of these decoded names.
pub(crate) fn has<'a>(target: &[u8], names: impl Iterator<Item = &'a str> + Clone) -> bool {
    let (_, query) = split(target).unwrap_or_default();
    parameters(query).any(|parameter| is_one_of(&parameter.name(), names.clone()))
}

/// Whether a decoded name is one of these, without regard to ASCII case.
pub(crate) fn is_one_of<'a>(name: &[u8], names: impl IntoIterator<Item = &'a str>) -> bool {
    names.into_iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

struct Parameter<'a> {
    separator: u8,
    text: &'a [u8],
}

impl Parameter<'_> {
    fn name(&self) -> Vec<u8> {
        decode(self.text.split(|b| *b == b'=').next().unwrap_or_default())
    }

    fn value(&self) -> Vec<u8> {
        let equals = self.text.iter().position(|b| *b == b'=');
        equals.and_then(|at| self.text.get(at + 1..)).map(decode).unwrap_or_default()
    }

    fn holds_value(&self) -> bool {
        let value = self.value();
        !value.is_empty() && value != PLACEHOLDER.as_bytes()
    }
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
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn named(name: &[u8]) -> bool {
        is_one_of(name, ["access token", "api_key", "key"])
    }

    #[test]
    fn every_spelling_of_a_credential_parameter_goes() {
        let table = [
            ("/p?key=1", "/p"),
            ("/p?a=1&key=2&b=3", "/p?a=1&b=3"),
            ("/p?key=1&a=1&key=2", "/p?a=1"),
            ("/p?k%65y=1&a", "/p?a"),
            ("/p?%6b%65%79=1&a", "/p?a"),
            ("/p?KEY=1&a", "/p?a"),
            ("/p?key&a", "/p?a"),
            ("/p?key=&a", "/p?a"),
            ("/p?a;key=1;b", "/p?a;b"),
            ("/p?a=1;key=2&b", "/p?a=1&b"),
            ("/p?access+token=1&a", "/p?a"),
            ("/p?access%20token=1&a", "/p?a"),
            ("/p?a=%zz&&key=1&=&x=y=z", "/p?a=%zz&&=&x=y=z"),
            ("/p?key=1&", "/p?"),
            ("/p?x=1?key=2&key=3", "/p?x=1?key=2"),
        ];
        for (target, expected) in table {
            let got = strip(target.as_bytes(), named).map(|s| String::from_utf8(s.target).unwrap());
            assert_eq!(got.as_deref(), Some(expected), "{target}");
        }
    }

    #[test]
    fn a_target_without_one_is_left_alone() {
        for target in
            ["/p", "/p?", "/p?a=1", "/key=1", "/p?mykey=1&key%=2&a=key", "/p?ke%79s=1", "/p?k%2565y=1"]
        {
            assert_eq!(strip(target.as_bytes(), named), None, "{target}");
        }
    }

    #[test]
    fn nothing_and_the_placeholder_are_no_value() {
        for (target, held) in [
            ("/p?key", false),
            ("/p?key=", false),
            ("/p?key=clrk-injected-by-proxy", false),
            ("/p?key=clrk-injected-by-prox%79", false),
            ("/p?key=clrk-injected-by-proxy&key=x", true),
        ] {
            assert_eq!(strip(target.as_bytes(), named).map(|s| s.held_value), Some(held), "{target}");
        }
    }

    #[test]
    fn records_keep_names_and_lose_values() {
        let table = [
            ("/p", None),
            ("/p?", Some("")),
            ("/p?a=1&k%65y=sk;b&key&api_key=2=3", Some("a=1&k%65y=[redacted];b&key&api_key=[redacted]")),
        ];
        for (target, expected) in table {
            let got = redact(target.as_bytes(), named).map(|q| String::from_utf8(q).unwrap());
            assert_eq!(got.as_deref(), expected, "{target}");
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
        fn other_parameters_keep_their_bytes_and_their_order(
            parameters in prop::collection::vec(("[a-jl-z%+]{1,4}=[a-z%=+]{0,4}", any::<bool>()), 1..8),
        ) {
            let given: Vec<_> = parameters
                .iter()
                .flat_map(|(text, before)| if *before { vec!["k%65y=x", text.as_str()] } else { vec![text.as_str()] })
                .collect();
            let kept: Vec<_> = parameters.iter().map(|(text, _)| text.as_str()).collect();
            let stripped = strip(format!("/p?{}", given.join("&")).as_bytes(), |name| is_one_of(name, ["key"]));
            let expected = parameters.iter().any(|(_, before)| *before).then(|| format!("/p?{}", kept.join("&")).into_bytes());
            prop_assert_eq!(stripped.map(|s| s.target), expected);
        }

        #[test]
        fn nothing_named_is_left(target in "/[a-z]{0,2}\\?[key%56+;&=]{0,24}") {
            let named = |name: &[u8]| is_one_of(name, ["key"]);
            if let Some(stripped) = strip(target.as_bytes(), named) {
                prop_assert_eq!(strip(&stripped.target, named), None);
            }
        }
    }
}
