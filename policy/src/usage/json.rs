//! Scalars at known places of a JSON text that arrives in pieces, in memory that does not grow with the text.
//!
//! Only the structure is followed. What is kept: one bit for each open object or array, and the one key or value that
//! may be of interest, up to [`LONGEST`] bytes.

use super::places::{Field, Place, Places};

/// The longest key or value that is kept, in bytes. Names of models are far shorter. A number may not be longer (RFC
/// 8259, 9, lets a parser limit it), since it is judged whole.
const LONGEST: usize = 128;

/// Objects and arrays that may be open at a time (RFC 8259, 9, lets a parser limit it).
const DEEPEST: usize = 128;

/// How deep the places are, at most.
const PLACES_DEEPEST: usize = 6;

/// The text is not JSON, or nested too deeply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// A value at one of the places.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar<'a> {
    /// Without its quotes, as it is escaped.
    Text(&'a [u8]),
    /// A number, or one of JSON's three words.
    Word(&'a [u8]),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Value,
    /// A value, or the end of an array that is still empty.
    ValueOrEnd,
    Key,
    /// A key, or the end of an object that is still empty.
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    /// Nothing but white space.
    Nothing,
}

/// What is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    Text {
        is_key: bool,
        escaped: bool,
    },
    /// A number, or one of JSON's three words.
    Word,
}

/// Follows one JSON text.
pub(super) struct Scanner {
    places: &'static Places,
    expected: Expected,
    inside: Inside,
    /// Whether each open container, the outermost at the lowest bit, is an object.
    objects: u128,
    depth: usize,
    /// Where the outermost of them are.
    containers: [Place; PLACES_DEEPEST],
    /// Where the value that comes next is.
    next: Place,
    kept: Vec<u8>,
    too_long: bool,
}

impl Scanner {
    pub(super) fn new(places: &'static Places) -> Self {
        Scanner {
            places,
            expected: Expected::Value,
            inside: Inside::Nothing,
            objects: 0,
            depth: 0,
            containers: [Place::NOWHERE; PLACES_DEEPEST],
            next: places.root(),
            kept: Vec::new(),
            too_long: false,
        }
    }

    /// Takes a piece of the text. `found` gets each value at one of the places.
    pub(super) fn feed(
        &mut self,
        piece: &[u8],
        found: &mut impl FnMut(Field, Scalar<'_>),
    ) -> Result<(), Malformed> {
        let mut rest = piece;
        while let Some((byte, after)) = self.pass_plain_text(rest).split_first() {
            self.take(*byte, found)?;
            rest = after;
        }
        Ok(())
    }

    /// Takes what a text has until something in it means something, which is most of any body; what is left.
    fn pass_plain_text<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        if !matches!(self.inside, Inside::Text { escaped: false, .. }) {
            return piece;
        }
        let end = piece.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        let (plain, rest) = piece.split_at(end.unwrap_or(piece.len()));
        self.keep(plain);
        rest
    }

    /// The text is over: whether it was whole.
    pub(super) fn end(mut self, found: &mut impl FnMut(Field, Scalar<'_>)) -> Result<(), Malformed> {
        if self.inside == Inside::Word {
            self.end_word(found)?;
        }
        if self.expected == Expected::Nothing { Ok(()) } else { Err(Malformed) }
    }

    fn take(&mut self, byte: u8, found: &mut impl FnMut(Field, Scalar<'_>)) -> Result<(), Malformed> {
        match self.inside {
            Inside::Text { is_key, escaped: true } => {
                self.keep(&[byte]);
                self.inside = Inside::Text { is_key, escaped: false };
            }
            Inside::Text { is_key, escaped: false } => match byte {
                b'"' => self.end_text(is_key, found),
                b'\\' => {
                    self.keep(&[byte]);
                    self.inside = Inside::Text { is_key, escaped: true };
                }
                // A control character: whatever else there may be was taken before.
                _ => return Err(Malformed),
            },
            Inside::Word if matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'E' | b'+' | b'-' | b'.') => {
                self.keep(&[byte])
            }
            Inside::Word => {
                self.end_word(found)?;
                return self.take(byte, found);
            }
            Inside::Nothing if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => {}
            Inside::Nothing => self.begin(byte)?,
        }
        Ok(())
    }

    /// The first byte of something.
    fn begin(&mut self, byte: u8) -> Result<(), Malformed> {
        use Expected::{Colon, CommaOrEnd, Key, KeyOrEnd, Value, ValueOrEnd};
        match (self.expected, byte) {
            (Key | KeyOrEnd, b'"') => self.inside = Inside::Text { is_key: true, escaped: false },
            (Colon, b':') => self.expected = Value,
            (KeyOrEnd, b'}') => self.close(),
            (ValueOrEnd, b']') => self.close(),
            (CommaOrEnd, b',') => self.after_comma(),
            (CommaOrEnd, b'}') if self.is_in_object() => self.close(),
            (CommaOrEnd, b']') if !self.is_in_object() => self.close(),
            (Value | ValueOrEnd, b'{') => self.open(true)?,
            (Value | ValueOrEnd, b'[') => self.open(false)?,
            (Value | ValueOrEnd, b'"') => self.inside = Inside::Text { is_key: false, escaped: false },
            (Value | ValueOrEnd, b'0'..=b'9' | b'-' | b't' | b'f' | b'n') => {
                self.inside = Inside::Word;
                self.keep(&[byte]);
            }
            _ => return Err(Malformed),
        }
        Ok(())
    }

    fn is_in_object(&self) -> bool {
        self.depth > 0 && self.objects >> (self.depth - 1) & 1 == 1
    }

    fn open(&mut self, object: bool) -> Result<(), Malformed> {
        if self.depth == DEEPEST {
            return Err(Malformed);
        }
        let inside = if object { self.next } else { self.next.in_array() };
        if let Some(container) = self.containers.get_mut(self.depth) {
            *container = inside;
        }
        self.next = inside;
        self.objects &= !(1 << self.depth);
        self.objects |= u128::from(object) << self.depth;
        self.depth += 1;
        self.expected = if object { Expected::KeyOrEnd } else { Expected::ValueOrEnd };
        Ok(())
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.after_value();
    }

    fn after_value(&mut self) {
        self.expected = if self.depth == 0 { Expected::Nothing } else { Expected::CommaOrEnd };
    }

    fn after_comma(&mut self) {
        self.expected = if self.is_in_object() { Expected::Key } else { Expected::Value };
        self.next = self.here();
    }

    /// Where the innermost container is.
    fn here(&self) -> Place {
        self.depth.checked_sub(1).and_then(|at| self.containers.get(at)).copied().unwrap_or(Place::NOWHERE)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LONGEST - self.kept.len();
        self.kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.too_long |= bytes.len() > room;
    }

    fn end_text(&mut self, is_key: bool, found: &mut impl FnMut(Field, Scalar<'_>)) {
        self.inside = Inside::Nothing;
        if is_key {
            let key = if self.too_long { &[][..] } else { &self.kept };
            self.next = self.places.under(self.here(), key);
            self.expected = Expected::Colon;
        } else {
            self.report(Scalar::Text, found);
            self.after_value();
        }
        self.forget();
    }

    fn end_word(&mut self, found: &mut impl FnMut(Field, Scalar<'_>)) -> Result<(), Malformed> {
        self.inside = Inside::Nothing;
        let is_number = !self.too_long && serde_json::from_slice::<serde_json::Number>(&self.kept).is_ok();
        if !(is_number || matches!(self.kept.as_slice(), b"true" | b"false" | b"null")) {
            return Err(Malformed);
        }
        self.report(Scalar::Word, found);
        self.forget();
        self.after_value();
        Ok(())
    }

    fn report<'a>(&'a self, kind: fn(&'a [u8]) -> Scalar<'a>, found: &mut impl FnMut(Field, Scalar<'_>)) {
        if !self.too_long
            && let Some(field) = self.places.at(self.next)
        {
            found(field, kind(&self.kept));
        }
    }

    fn forget(&mut self) {
        self.kept.clear();
        self.too_long = false;
    }
}
