//! Endpoint globs with the meaning of Go's `path.Match`: `*` and `?` do not cross `/`, `[a-z]`, `[^a-z]`, `\x`.
//!
//! A pattern is a list of chunks, each with or without a `*` before it. A chunk is taken at the first place where it
//! fits and never moved again, so the work is at most pattern × text: no pattern makes it exponential. Both are Go's
//! meaning to the letter: a class, unlike `?`, may accept a `/` (`[^a]` does), and where a chunk that ate one was the
//! first that fits, another place for it is not tried.
//!
//! One difference is deliberate. Go's `*` takes bytes, so that it can stop inside a character and leave `?` or a class
//! the rest (`*??` matches the one character `☺`); ours takes characters. No request can tell: globs are matched on
//! canonical paths, which are ASCII.
//!
//! `vectors/path_match.tsv` is what Go says. It is made anew by
//! `cd hack/go/path-match && go run . > ../../../policy/vectors/path_match.tsv`.

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

    /// What every path that matches begins with.
    pub(crate) fn literal_prefix(&self) -> String {
        let first = self.chunks.first().filter(|chunk| !chunk.star);
        let atoms = first.into_iter().flat_map(|chunk| &chunk.atoms);
        let literal = |atom: &Atom| match atom {
            Atom::Literal(literal) => Some(*literal),
            Atom::AnyButSlash | Atom::Class { .. } => None,
        };
        atoms.map_while(literal).collect()
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
mod tests;
