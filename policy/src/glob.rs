//! Endpoint globs with the meaning of Go's `path.Match`: `*` and `?` do not cross `/`, `[a-z]`, `[^a-z]`, `\x`.
//!
//! A pattern is a list of chunks, each with or without a `*` before it. A chunk is taken at the first place where it
//! fits and never moved again, so the work is at most pattern × text: no pattern makes it exponential.

use thiserror::Error;

/// A parsed endpoint pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    chunks: Vec<Chunk>,
    specificity: Specificity,
}

/// How narrowly a pattern names its paths; greater is narrower. Longer literal prefix first, then no metacharacter
/// over some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Specificity {
    prefix: usize,
    exact: bool,
}

impl Specificity {
    /// Of a rule that names no endpoint.
    pub const ANY: Specificity = Specificity { prefix: 0, exact: false };
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Chunk {
    star: bool,
    atoms: Vec<Atom>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Atom {
    Literal(char),
    AnyButSlash,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// A text is no glob: an unclosed or empty class, or a backslash at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed glob")]
pub struct BadGlob;

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`BadGlob`] where `path.Match` says `ErrBadPattern`.
    pub fn parse(pattern: &str) -> Result<Self, BadGlob> {
        let mut rest = pattern.chars();
        let mut chunks = vec![Chunk { star: false, atoms: Vec::new() }];
        while let Some(c) = rest.next() {
            if c == '*' {
                chunks.push(Chunk { star: true, atoms: Vec::new() });
            } else if let Some(chunk) = chunks.last_mut() {
                chunk.atoms.push(parse_atom(c, &mut rest)?);
            }
        }
        // Adjacent stars are one: a chunk without atoms that another star follows adds nothing.
        let last = chunks.len() - 1;
        let mut index = 0;
        chunks.retain(|chunk| {
            index += 1;
            index - 1 == last || !chunk.atoms.is_empty()
        });
        let specificity = specificity(&chunks);
        Ok(Glob { chunks, specificity })
    }

    /// Whether the whole path matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let mut rest = path;
        let last = self.chunks.len().saturating_sub(1);
        for (index, chunk) in self.chunks.iter().enumerate() {
            match chunk.take(rest, index == last) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        rest.is_empty()
    }

    /// How narrowly the pattern names its paths.
    #[must_use]
    pub fn specificity(&self) -> Specificity {
        self.specificity
    }
}

impl Chunk {
    /// What follows the chunk at the first place where it fits; the last chunk must end the text.
    fn take<'a>(&self, text: &'a str, last: bool) -> Option<&'a str> {
        if self.star && last && self.atoms.is_empty() {
            return (!text.contains('/')).then_some("");
        }
        let mut start = text;
        loop {
            if let Some(after) = self.fit(start)
                && (!last || after.is_empty())
            {
                return Some(after);
            }
            let mut skipped = start.chars();
            if !self.star || skipped.next().is_none_or(|c| c == '/') {
                return None;
            }
            start = skipped.as_str();
        }
    }

    fn fit<'a>(&self, text: &'a str) -> Option<&'a str> {
        let mut rest = text.chars();
        self.atoms.iter().all(|atom| rest.next().is_some_and(|c| atom.accepts(c))).then_some(rest.as_str())
    }
}

impl Atom {
    fn accepts(&self, c: char) -> bool {
        match self {
            Atom::Literal(literal) => *literal == c,
            Atom::AnyButSlash => c != '/',
            Atom::Class { negated, ranges } => {
                ranges.iter().any(|(lo, hi)| (*lo..=*hi).contains(&c)) != *negated
            }
        }
    }
}

fn parse_atom(first: char, rest: &mut std::str::Chars<'_>) -> Result<Atom, BadGlob> {
    match first {
        '?' => Ok(Atom::AnyButSlash),
        '\\' => rest.next().map(Atom::Literal).ok_or(BadGlob),
        '[' => parse_class(rest),
        literal => Ok(Atom::Literal(literal)),
    }
}

fn parse_class(rest: &mut std::str::Chars<'_>) -> Result<Atom, BadGlob> {
    let negated = accept(rest, '^');
    let mut ranges = Vec::new();
    while ranges.is_empty() || !accept(rest, ']') {
        let lo = class_char(rest)?;
        let hi = if accept(rest, '-') { class_char(rest)? } else { lo };
        ranges.push((lo, hi));
    }
    Ok(Atom::Class { negated, ranges })
}

fn class_char(rest: &mut std::str::Chars<'_>) -> Result<char, BadGlob> {
    match rest.next() {
        None | Some('-' | ']') => Err(BadGlob),
        Some('\\') => rest.next().ok_or(BadGlob),
        Some(c) => Ok(c),
    }
}

fn accept(rest: &mut std::str::Chars<'_>, wanted: char) -> bool {
    let mut ahead = rest.clone();
    let found = ahead.next() == Some(wanted);
    if found {
        *rest = ahead;
    }
    found
}

fn specificity(chunks: &[Chunk]) -> Specificity {
    let [first, more @ ..] = chunks else { return Specificity::ANY };
    let literals = first.atoms.iter().take_while(|atom| matches!(atom, Atom::Literal(_))).count();
    let prefix = if first.star { 0 } else { literals };
    Specificity { prefix, exact: more.is_empty() && !first.star && prefix == first.atoms.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Pattern, path, and what Go's `path.Match` answers (`None`: `ErrBadPattern`).
    const GO: &[(&str, &str, Option<bool>)] = &[
        ("abc", "abc", Some(true)),
        ("*", "abc", Some(true)),
        ("*c", "abc", Some(true)),
        ("a*", "a", Some(true)),
        ("a*", "abc", Some(true)),
        ("a*", "ab/c", Some(false)),
        ("a*/b", "abc/b", Some(true)),
        ("a*/b", "a/c/b", Some(false)),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", Some(true)),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Some(true)),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", Some(false)),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Some(false)),
        ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
        ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
        ("ab[c]", "abc", Some(true)),
        ("ab[b-d]", "abc", Some(true)),
        ("ab[e-g]", "abc", Some(false)),
        ("ab[^c]", "abc", Some(false)),
        ("ab[^b-d]", "abc", Some(false)),
        ("ab[^e-g]", "abc", Some(true)),
        ("a\\*b", "a*b", Some(true)),
        ("a\\*b", "ab", Some(false)),
        ("a?b", "a☺b", Some(true)),
        ("a[^a]b", "a☺b", Some(true)),
        ("a???b", "a☺b", Some(false)),
        ("a[^a][^a][^a]b", "a☺b", Some(false)),
        ("[a-ζ]*", "α", Some(true)),
        ("*[a-ζ]", "A", Some(false)),
        ("a?b", "a/b", Some(false)),
        ("a*b", "a/b", Some(false)),
        ("[\\]a]", "]", Some(true)),
        ("[\\-]", "-", Some(true)),
        ("[x\\-]", "x", Some(true)),
        ("[x\\-]", "-", Some(true)),
        ("[x\\-]", "z", Some(false)),
        ("[\\-x]", "x", Some(true)),
        ("[\\-x]", "-", Some(true)),
        ("[\\-x]", "a", Some(false)),
        ("[]a]", "]", None),
        ("[-]", "-", None),
        ("[x-]", "x", None),
        ("[-x]", "x", None),
        ("\\", "a", None),
        ("[a-b-c]", "a", None),
        ("[", "a", None),
        ("[^", "a", None),
        ("[^bc", "a", None),
        ("a[", "a", None),
        ("a[", "ab", None),
        ("a[", "x", None),
        ("a/b[", "x", None),
        ("*x", "xxx", Some(true)),
    ];

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
        ("", "", true),
        ("", "a", false),
    ];

    #[test]
    fn globs_mean_what_they_mean_to_go() {
        for (pattern, path, expected) in GO {
            let got = Glob::parse(pattern).ok().map(|glob| glob.matches(path));
            assert_eq!(got, *expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn endpoints_match_whole_paths_only() {
        for (pattern, path, expected) in OURS {
            assert_eq!(Glob::parse(pattern).unwrap().matches(path), *expected, "{pattern} on {path}");
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
}

#[cfg(test)]
mod properties {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_pattern_and_no_path_panics(pattern in r"[a-c/*?\[\]\\^-]{0,12}", path in "[a-c/]{0,12}") {
            if let Ok(glob) = Glob::parse(&pattern) {
                let _ = glob.matches(&path);
            }
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
