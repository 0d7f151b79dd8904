//! Against `form_urlencoded`, which reads a query as browsers do, and against cruder readings.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use proptest::prelude::*;

const OURS: (&str, &[u8]) = ("key", b"our/secret+value;&=%\xff");

fn is_key(name: &[u8]) -> bool {
    is_one_of(name, ["key"])
}

/// What is sent for a policy that fills `key`.
fn filled(target: &[u8]) -> Vec<u8> {
    let target = strip(target, is_key).map_or_else(|| target.to_vec(), |stripped| stripped.target);
    append(&target, OURS.0, OURS.1)
}

/// Names and values as the library reads them.
fn pairs(target: &[u8]) -> Vec<(String, String)> {
    let query = split(target).map(|(_, query)| query).unwrap_or_default();
    form_urlencoded::parse(query).into_owned().collect()
}

/// Spellings of `key` by the standard, names near it, and text of all kinds.
fn parameter() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        prop::sample::select(vec!["key", "KEY", "k%65y", "%6Bey", "%6B%45%79"]),
        prop::sample::select(vec![
            "", "a", "ke", "keys", "mykey", "%6bey%", "key%zz", "a+b", "%26key", "é", "%FF"
        ]),
    ];
    (name, prop::option::of("[a-c%+=?#/é0-9-]{0,8}")).prop_map(|(name, value)| match value {
        Some(value) => format!("{name}={value}"),
        None => name.to_owned(),
    })
}

fn target() -> impl Strategy<Value = Vec<u8>> {
    let raw = prop::collection::vec(any::<u8>(), 0..40);
    let spelt = "/[a-z]{0,2}\\?[keyKEY%25606b79+;&=\\[\\]\\x00 .#?]{0,40}".prop_map(String::into_bytes);
    prop_oneof![raw, spelt]
}

proptest! {
    #[test]
    fn a_library_reads_the_pairs_that_were_there_without_ours_and_then_ours(
        parameters in prop::collection::vec(parameter(), 0..8),
        ending in prop::sample::select(vec!["", "&"]),
    ) {
        let target = format!("/p?{}{ending}", parameters.join("&")).into_bytes();
        let mut expected = pairs(&target);
        expected.retain(|(name, _)| !name.eq_ignore_ascii_case("key"));
        expected.push((OURS.0.to_owned(), String::from_utf8_lossy(OURS.1).into_owned()));
        prop_assert_eq!(pairs(&filled(&target)), expected);
    }

    #[test]
    fn a_library_reads_what_was_appended(name in any::<String>(), value in prop::collection::vec(any::<u8>(), 0..20)) {
        let target = append(b"/p", &name, &value);
        let value = String::from_utf8_lossy(&value).into_owned();
        prop_assert_eq!(pairs(&target), vec![(name, value)]);
        prop_assert!(target.iter().all(|b| b.is_ascii_graphic() && !b"+;#\"<>[]".contains(b)));
    }

    #[test]
    fn exactly_one_parameter_is_ours_by_any_reading(target in target()) {
        let filled = filled(&target);
        let query = split(&filled).map(|(_, query)| query).unwrap();
        let at_both: Vec<_> = query.split(|b| matches!(b, b'&' | b';')).collect();
        let at_ampersands: Vec<_> = query.split(|b| *b == b'&').collect();
        for (pieces, reading) in [(at_both, "&;"), (at_ampersands, "&")] {
            let names = pieces.iter().map(|piece| decode(piece.split(|b| *b == b'=').next().unwrap()));
            prop_assert_eq!(names.filter(|name| is_key(name)).count(), 1, "{}", reading);
        }
        prop_assert_eq!(pairs(&filled).iter().filter(|(name, _)| is_key(name.as_bytes())).count(), 1);
        prop_assert_eq!(filled.ends_with(&append(b"", OURS.0, OURS.1)[1..]), true);
    }

    #[test]
    fn filling_twice_changes_nothing(target in target()) {
        let once = filled(&target);
        prop_assert_eq!(filled(&once), once);
    }

    #[test]
    fn appending_leaves_all_that_was_there(target in target(), name in "[a-z$ ]{1,4}", value in any::<Vec<u8>>()) {
        let appended = append(&target, &name, &value);
        prop_assert!(appended.starts_with(&target));
        if strip(&target, |n| n == name.as_bytes()).is_none() {
            let given = target.strip_suffix(b"?").filter(|path| !path.contains(&b'?')).unwrap_or(&target);
            let back = strip(&appended, |n| n == name.as_bytes()).map(|stripped| stripped.target);
            prop_assert_eq!(back.as_deref(), Some(given));
        }
        prop_assert!(appended.capacity() >= appended.len() && appended.capacity() <= target.len() + 2 + 3 * (name.len() + value.len()));
    }

    #[test]
    fn other_parameters_keep_their_bytes_and_their_order(
        parameters in prop::collection::vec(("[a-jl-z%+]{1,4}=[a-z%=+]{0,4}", any::<bool>()), 1..8),
    ) {
        let given: Vec<_> = parameters
            .iter()
            .flat_map(|(text, before)| if *before { vec!["k%65y=x", text.as_str()] } else { vec![text.as_str()] })
            .collect();
        let kept: Vec<_> = parameters.iter().map(|(text, _)| text.as_str()).collect();
        let stripped = strip(format!("/p?{}", given.join("&")).as_bytes(), is_key);
        let expected = parameters.iter().any(|(_, before)| *before).then(|| format!("/p?{}", kept.join("&")).into_bytes());
        prop_assert_eq!(stripped.map(|s| s.target), expected);
    }

    #[test]
    fn nothing_named_is_left_and_no_bytes_panic(target in target()) {
        let _ = redact(&target, is_key);
        if let Some(stripped) = strip(&target, is_key) {
            prop_assert_eq!(strip(&stripped.target, is_key), None);
        }
    }

    #[test]
    fn what_a_record_shows_of_a_named_parameter_is_its_name(parameters in prop::collection::vec(parameter(), 0..6)) {
        let target = format!("/p?{}", parameters.join("&")).into_bytes();
        for (name, value) in form_urlencoded::parse(&redact(&target, is_key).unwrap()) {
            prop_assert!(!is_key(name.as_bytes()) || value.is_empty() || value == REDACTED);
        }
    }
}
