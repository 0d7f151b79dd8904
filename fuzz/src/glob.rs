//! Globs mean what a table of every prefix of the pattern against every prefix of the path says they mean.
//!
//! Input: the pattern, a line end, the path.

use policy::glob::Glob;

use crate::input::lines;

/// Longer ones only make the table large.
const LONGEST: usize = 400;

/// One step of a pattern, read as Go's `path.Match` documents it.
enum Token {
    Star,
    One(Vec<(char, char)>, bool),
}

/// Matching is exact, escaping makes any path its own narrowest pattern, and nothing panics.
pub fn holds(input: &[u8]) {
    let [pattern, path] = lines(&input[..input.len().min(LONGEST)]);
    let (Ok(pattern), Ok(path)) = (std::str::from_utf8(pattern), std::str::from_utf8(path)) else { return };
    let glob = Glob::parse(pattern);
    let tokens = tokens(pattern);
    let expected = tokens.as_ref().map(|tokens| matches(tokens, path));
    let got = glob.as_ref().ok().map(|glob| glob.matches(path));
    // A class that takes a slash may be fitted only where Go's `path.Match` looks, which moves no chunk once it fits.
    let slash =
        |token: &Token| matches!(token, Token::One(ranges, negated) if accepts(ranges, *negated, '/'));
    let moves = tokens.as_ref().is_some_and(|tokens| tokens.iter().any(slash) && pattern.contains('['));
    if moves && got == Some(false) {
        assert!(expected.is_some(), "refused");
    } else {
        assert_eq!(got, expected);
    }

    let escaped: String = path.chars().flat_map(|c| ['\\', c]).collect();
    let literal = Glob::parse(&escaped).expect("an escaped text is a pattern");
    assert!(literal.matches(path));
    assert!(!literal.matches(&format!("{path}x")));
    if let Ok(glob) = glob
        && glob.matches(path)
    {
        assert!(glob.specificity() <= literal.specificity(), "narrower than the path itself");
    }
}

fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut rest = pattern.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::One(vec![('/', '/')], true),
            '\\' => rest.next().map(|c| Token::One(vec![(c, c)], false))?,
            '[' => class(&mut rest)?,
            c => Token::One(vec![(c, c)], false),
        });
    }
    Some(tokens)
}

fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && rest.next_if_eq(&']').is_some() {
            return Some(Token::One(ranges, negated));
        }
        let low = class_end(rest)?;
        let high = if rest.next_if_eq(&'-').is_some() { class_end(rest)? } else { low };
        ranges.push((low, high));
    }
}

fn class_end(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match rest.next()? {
        '-' | ']' => None,
        '\\' => rest.next(),
        c => Some(c),
    }
}

/// `reach[i]` after each token: whether the tokens so far match the first `i` characters.
fn matches(tokens: &[Token], path: &str) -> bool {
    let path: Vec<char> = path.chars().collect();
    let mut reach = vec![false; path.len() + 1];
    reach[0] = true;
    for token in tokens {
        let before = reach.clone();
        for end in 0..=path.len() {
            reach[end] = match token {
                Token::Star => before[end] || (end > 0 && reach[end - 1] && path[end - 1] != '/'),
                Token::One(ranges, negated) => {
                    end > 0 && before[end - 1] && accepts(ranges, *negated, path[end - 1])
                }
            };
        }
    }
    reach[path.len()]
}

fn accepts(ranges: &[(char, char)], negated: bool, c: char) -> bool {
    ranges.iter().any(|(low, high)| *low <= c && c <= *high) != negated
}
