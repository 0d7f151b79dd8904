//! Lines for people: in colours where their terminal shows some, and without anything that a terminal takes for a command.
//!
//! Hosts, paths and models are chosen by agents and providers. One that moves the cursor, or reorders what is read, could
//! make a line say what did not happen.

use std::borrow::Cow;
use std::fmt::Write as _;

use anstream::AutoStream;
use anstream::stream::RawStream;
use anstyle::{AnsiColor, Style};

/// What a line tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// A credential went out.
    Injected,
    /// Something passed without one.
    Passed,
    /// Something was forwarded, and the answer is an error, or none.
    Failed,
    /// Something was refused, or broken off.
    Refused,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) tone: Tone,
    pub(crate) text: String,
}

impl Line {
    pub(crate) fn new(tone: Tone, text: String) -> Line {
        Line { tone, text }
    }

    /// As it is written.
    pub(crate) fn shown(&self, looks: Looks) -> String {
        let style = match looks {
            Looks::Plain => Style::new(),
            Looks::Coloured => self.tone.style(),
        };
        format!("{style}{}{style:#}", plain(&self.text))
    }
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Tone::Injected => AnsiColor::Green.on_default(),
            Tone::Passed => Style::new(),
            Tone::Failed => AnsiColor::Yellow.on_default(),
            Tone::Refused => AnsiColor::Red.on_default(),
        }
    }
}

/// Whether there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looks {
    Plain,
    Coloured,
}

impl Looks {
    /// Those of a stream: a terminal has colours, unless `NO_COLOR`, `CLICOLOR` or `TERM` says otherwise
    /// (<https://no-color.org>, <https://bixense.com/clicolors>).
    pub(crate) fn of(stream: &impl RawStream) -> Looks {
        match AutoStream::choice(stream) {
            anstream::ColorChoice::Never => Looks::Plain,
            _ => Looks::Coloured,
        }
    }
}

/// A text without what a terminal would not show: control characters, and those that reorder a line, stand escaped.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut seen = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unseen(character) {
            // Nothing fails that writes into memory.
            let _ = write!(seen, "{}", character.escape_unicode());
        } else {
            seen.push(character);
        }
    }
    Cow::Owned(seen)
}

/// Control characters (ECMA-48, both sets), separators of lines, and the marks of Unicode's bidirectional algorithm
/// (UAX #9).
fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        for (text, shown) in [
            ("10:33:01 200 GET a.test/ö injected", "10:33:01 200 GET a.test/ö injected"),
            ("\u{1b}[2Jm\r\n\u{7}\0\u{7f}", "\\u{1b}[2Jm\\u{d}\\u{a}\\u{7}\\u{0}\\u{7f}"),
            ("\u{9b}31m\u{9d}0;title\u{9c}", "\\u{9b}31m\\u{9d}0;title\\u{9c}"),
            ("a\u{202e}b\u{2066}c\u{2028}d", "a\\u{202e}b\\u{2066}c\\u{2028}d"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }

    #[test]
    fn a_line_has_the_colour_of_what_it_tells_and_none_where_there_are_none() {
        for (tone, shown) in [
            (Tone::Injected, "\u{1b}[32ma line\u{1b}[0m"),
            (Tone::Passed, "a line"),
            (Tone::Failed, "\u{1b}[33ma line\u{1b}[0m"),
            (Tone::Refused, "\u{1b}[31ma line\u{1b}[0m"),
        ] {
            let line = Line::new(tone, "a line".to_owned());
            assert_eq!(line.shown(Looks::Coloured), shown);
            assert_eq!(line.shown(Looks::Plain), "a line");
        }
        let line = Line::new(Tone::Refused, "\u{1b}[32m".to_owned());
        assert_eq!(line.shown(Looks::Coloured), "\u{1b}[31m\\u{1b}[32m\u{1b}[0m");
    }
}
