//! Looks for a key in what a run left behind, in every spelling that would give it away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Shorter than this, a part of a key says nothing.
const TELLING: usize = 12;

/// Spellings of a key that would give it away.
#[must_use]
pub fn spellings(key: &str) -> Vec<String> {
    let text = |(_, bytes): (_, Vec<u8>)| String::from_utf8(bytes).expect("a key in ASCII");
    forms(key.as_bytes()).into_iter().map(text).collect()
}

/// The same of any bytes, each with what it is.
#[must_use]
pub fn forms(key: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    let unreserved = |byte: u8| plain(byte) || b"-._~".contains(&byte);
    let mut all = vec![
        ("as it is", key.to_vec()),
        ("from its end", key.iter().rev().copied().collect()),
        // A header name is lower-cased on its way.
        ("in lower case", key.to_ascii_lowercase()),
        ("in hex", each(key, |byte| format!("{byte:02x}"))),
        ("in upper-case hex", each(key, |byte| format!("{byte:02X}"))),
        ("as a list of bytes", list(key, ", ")),
        ("as a compact list of bytes", list(key, ",")),
        ("URL-encoded", escaped(key, unreserved, |byte| format!("%{byte:02X}"))),
        ("URL-encoded in lower case", escaped(key, unreserved, |byte| format!("%{byte:02x}"))),
        ("URL-encoded but for letters and digits", escaped(key, plain, |byte| format!("%{byte:02X}"))),
        ("URL-encoded whole", each(key, |byte| format!("%{byte:02X}"))),
        ("JSON-escaped but for letters and digits", escaped(key, plain, |byte| format!("\\u{byte:04x}"))),
        ("JSON-escaped whole", each(key, |byte| format!("\\u{byte:04x}"))),
    ];
    if let Ok(text) = std::str::from_utf8(key) {
        let written = serde_json::Value::from(text).to_string();
        let inside = written.trim_matches('"').to_owned();
        all.push(("JSON-escaped with slashes", inside.replace('/', "\\/").into_bytes()));
        all.push(("JSON-escaped", inside.into_bytes()));
    }
    for shift in 0..3 {
        let text = [&b"xx"[..shift], key].concat();
        // The first and the last characters depend on what stands around the key.
        for (name, whole) in [
            ("in base64", STANDARD_NO_PAD.encode(&text)),
            ("in URL-safe base64", URL_SAFE_NO_PAD.encode(&text)),
        ] {
            all.push((name, whole.as_bytes()[4..whole.len() - 4].to_vec()));
        }
    }
    let (first, second) = key.split_at(key.len() / 2);
    all.extend([("in half", first), ("in half", second)].map(|(name, half)| (name, half.to_vec())));
    all.retain(|(_, form)| form.len() >= TELLING);
    all
}

fn each(key: &[u8], write: impl Fn(u8) -> String) -> Vec<u8> {
    escaped(key, |_| false, write)
}

fn escaped(key: &[u8], stays: impl Fn(u8) -> bool, write: impl Fn(u8) -> String) -> Vec<u8> {
    let spell = |byte: &u8| if stays(*byte) { vec![*byte] } else { write(*byte).into_bytes() };
    key.iter().flat_map(spell).collect()
}

fn list(key: &[u8], separator: &str) -> Vec<u8> {
    key.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator).into_bytes()
}

/// What of `needles` stands in `bytes`.
#[must_use]
pub fn found(bytes: &[u8], needles: &[String]) -> Vec<String> {
    let holds = |needle: &&String| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    needles.iter().filter(holds).cloned().collect()
}

/// Many keys, looked for at once. What it finds it tells by name, never by value.
pub struct Search {
    names: Vec<String>,
    automaton: AhoCorasick,
}

impl Search {
    /// A search for every form of these keys, each with a name.
    ///
    /// # Panics
    /// When a key is too short to be looked for.
    #[must_use]
    pub fn of<'a>(keys: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Search {
        let (mut names, mut needles) = (Vec::new(), Vec::new());
        for (name, key) in keys {
            assert!(key.len() >= TELLING, "{name} is too short to be looked for");
            for (form, needle) in forms(key) {
                names.push(format!("{name} {form}"));
                needles.push(needle);
            }
        }
        Search { names, automaton: AhoCorasick::new(needles).expect("a search") }
    }

    /// What stands in `bytes`: the name of a key, and its form.
    #[must_use]
    pub fn found(&self, bytes: &[u8]) -> BTreeSet<&str> {
        let finds = self.automaton.find_overlapping_iter(bytes);
        finds.map(|find| self.names[find.pattern().as_usize()].as_str()).collect()
    }
}

/// Every file below a folder, sockets too. Panics where it cannot be read.
#[must_use]
pub fn files_under(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a readable folder").filter_map(Result::ok);
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_under(&entry.path()),
            _ => vec![entry.path()],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-ant/4Zq0+vJ8\"wT1mC7xYb3NfR";

    #[test]
    fn a_key_is_found_in_every_form_between_other_text_and_told_by_name() {
        let search = Search::of([("the key", KEY.as_bytes()), ("another", b"something-else-0123")]);
        for (form, planted) in forms(KEY.as_bytes()) {
            let text = [&b"before "[..], &planted, b" after"].concat();
            assert!(search.found(&text).contains(format!("the key {form}").as_str()), "{form}");
        }
        assert!(search.found(b"nothing here").is_empty());
    }

    #[test]
    fn base64_is_found_at_every_alignment_and_json_as_a_library_writes_it() {
        let search = Search::of([("the key", KEY.as_bytes())]);
        for before in ["", "a", "ab", "abc"] {
            let text = format!("{before}{KEY}, and more");
            assert!(!search.found(STANDARD_NO_PAD.encode(&text).as_bytes()).is_empty(), "{before}");
            assert!(!search.found(URL_SAFE_NO_PAD.encode(&text).as_bytes()).is_empty(), "{before}");
        }
        let written = serde_json::json!({"x-api-key": KEY}).to_string();
        assert!(search.found(written.as_bytes()).contains("the key JSON-escaped"));
        assert!(!search.found(format!("{:?}", KEY.as_bytes()).as_bytes()).is_empty());
    }

    #[test]
    fn keys_of_any_bytes_are_found() {
        let key: Vec<u8> = (200..=231).collect();
        let search = Search::of([("raw", key.as_slice())]);
        for (form, planted) in forms(&key) {
            assert!(!search.found(&planted).is_empty(), "{form}");
        }
    }
}
