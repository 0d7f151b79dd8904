use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Pattern, name, and what Go's `path.Match` says of them.
const GO: &str = include_str!("../../vectors/path_match.tsv");

const OURS: &[(&str, &str, bool)] = &[
    ("/v1/messages", "/v1/messages", true),
    ("/v1/messages", "/v1/messages/", false),
    ("/v1/messages", "/v1/messages/count_tokens", false),
    ("/v1/messages", "/v1/Messages", false),
    ("/v1/*", "/v1/messages", true),
    ("/v1/*", "/v1/", true),
    ("/v1/*", "/v1/a/b", false),
    ("/v1/**", "/v1/ab", true),
    ("/v1/**/x", "/v1/a/x", true),
    ("/model/*/invoke", "/model/a%3Ab/invoke", true),
    ("/v1[^a]x", "/v1/x", true),
    ("*[^a]*b", "x/b", false),
    ("", "", true),
    ("", "a", false),
];

/// The rows of Go's table; `None`: `ErrBadPattern`.
fn rows() -> impl Iterator<Item = (&'static str, &'static str, Option<bool>)> {
    GO.lines().skip(1).map(|line| {
        let [pattern, name, answer] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let said = match answer {
            "yes" => Some(true),
            "no" => Some(false),
            "malformed" => None,
            other => panic!("{other}"),
        };
        (pattern, name, said)
    })
}

fn ours(pattern: &str, name: &str) -> Option<bool> {
    Glob::parse(pattern).ok().map(|glob| glob.matches(name))
}

/// Go's `*` can stop inside the character, and something that takes any character follows it.
fn splits_a_character(pattern: &str, name: &str) -> bool {
    let after = pattern.split_once('*').map(|(_, after)| after);
    !name.is_ascii() && after.is_some_and(|after| after.contains(['?', '[']))
}

#[test]
fn globs_mean_what_they_mean_to_go() {
    let mut answers = std::collections::BTreeMap::new();
    for (pattern, name, said) in rows().filter(|(pattern, name, _)| !splits_a_character(pattern, name)) {
        assert_eq!(ours(pattern, name), said, "{pattern} on {name}");
        *answers.entry(said).or_insert(0) += 1;
    }
    let [malformed, no, yes] = [None, Some(false), Some(true)].map(|said| answers[&said]);
    assert!(malformed > 2000 && no > 5000 && yes > 1000, "the table is thin: {answers:?}");
}

#[test]
fn a_pattern_is_refused_exactly_where_go_calls_it_malformed() {
    for (pattern, name, said) in rows() {
        assert_eq!(Glob::parse(pattern).is_err(), said.is_none(), "{pattern} on {name}");
    }
}

#[test]
fn only_a_star_that_would_split_a_character_differs() {
    let differing: Vec<_> =
        rows().filter(|(pattern, name, said)| ours(pattern, name) != *said).map(|(p, n, _)| (p, n)).collect();
    assert!(differing.contains(&("*??", "☺")), "{differing:?}");
    assert!(differing.iter().all(|(pattern, name)| splits_a_character(pattern, name)), "{differing:?}");
}

#[test]
fn endpoints_match_whole_paths_only() {
    for (pattern, path, expected) in OURS {
        assert_eq!(ours(pattern, path), Some(*expected), "{pattern} on {path}");
    }
}

#[test]
fn a_longer_literal_prefix_is_narrower_and_a_plain_path_narrower_still() {
    let narrowest_first =
        ["/v1/messages/x", "/v1/messages", "/v1/messages*", "/v1/\\*", "/v1/*s", "/v1[/]a", "*"];
    let values: Vec<_> =
        narrowest_first.iter().map(|text| Glob::parse(text).unwrap().specificity()).collect();
    assert!(values.is_sorted_by(|a, b| a > b), "{values:?}");
    assert_eq!(values.last(), Some(&Specificity::ANY));
}

#[test]
fn many_stars_cost_no_more_than_pattern_times_text() {
    let pattern = format!("{}b", "a*".repeat(200));
    assert!(!Glob::parse(&pattern).unwrap().matches(&"a".repeat(4000)));
}

mod properties {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_panics(pattern in any::<String>(), path in any::<String>()) {
            if let Ok(glob) = Glob::parse(&pattern) {
                let _ = glob.matches(&path);
            }
        }

        #[test]
        fn no_pattern_and_no_path_panics(pattern in r"[a-c/*?\[\]\\^-]{0,12}", path in "[a-c/]{0,12}") {
            if let Ok(glob) = Glob::parse(&pattern) {
                let _ = glob.matches(&path);
            }
        }

        #[test]
        fn a_text_without_metacharacters_matches_itself_alone(text in r"[^*?\[\\]{0,12}", other in any::<String>()) {
            let glob = Glob::parse(&text).unwrap();
            prop_assert!(glob.matches(&text));
            prop_assert_eq!(glob.matches(&other), other == text);
            let (longer, shorter) = (format!("{text}a"), text.chars().skip(1).collect::<String>());
            prop_assert!(!glob.matches(&longer));
            prop_assert_eq!(glob.matches(&shorter), text.is_empty());
        }

        #[test]
        fn a_text_whose_metacharacters_are_escaped_matches_itself_alone(text in r"[a-c/*?\[\]\\^-]{0,12}", other in r"[a-c/*?]{0,12}") {
            let escaped: String = text.chars().flat_map(|c| ['\\', c]).collect();
            let glob = Glob::parse(&escaped).unwrap();
            prop_assert!(glob.matches(&text));
            prop_assert_eq!(glob.matches(&other), other == text);
        }

        #[test]
        fn a_star_takes_any_run_without_a_slash(before in "[a-c/]{0,6}", run in "[a-c]{0,6}", after in "[a-c/]{0,6}") {
            // A literal that does not occur elsewhere keeps the expected answer independent of the algorithm.
            let glob = Glob::parse(&format!("{before}<*>{after}")).unwrap();
            let with_slash = format!("{before}<{run}/{run}>{after}");
            let without_slash = format!("{before}<{run}>{after}");
            prop_assert!(glob.matches(&without_slash));
            prop_assert!(!glob.matches(&with_slash));
        }
    }
}
