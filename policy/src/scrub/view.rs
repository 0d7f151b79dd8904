//! A value as a reader would see it after undoing escapes, with the way back to its own bytes.

use std::borrow::Cow;
use std::ops::Range;

use crate::path::escape;

/// Reads the escape after a mark: the character or byte that it stands for, and what follows it.
type Unescape = fn(&[u8]) -> Option<(Unit, &[u8])>;

enum Unit {
    Byte(u8),
    Char(char),
}

/// Bytes, and for each of them where in the original it comes from.
pub(super) struct View<'a> {
    bytes: Cow<'a, [u8]>,
    /// Where each byte starts in the original, and where the original ends; `None`: the bytes are the original.
    starts: Option<Vec<usize>>,
}

impl<'a> View<'a> {
    /// The value as it is, and once more for each kind of escape (and both) that it may contain.
    pub(super) fn all(value: &'a [u8]) -> Vec<View<'a>> {
        let plain = View { bytes: Cow::Borrowed(value), starts: None };
        let percent = plain.decode(b'%', percent);
        let json = plain.decode(b'\\', json);
        let both = percent.as_ref().and_then(|view| view.decode(b'\\', self::json));
        [Some(plain), percent, json, both].into_iter().flatten().collect()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The range of the original that a range of the view comes from.
    pub(super) fn original(&self, range: Range<usize>) -> Range<usize> {
        self.start(range.start)..self.start(range.end)
    }

    fn start(&self, index: usize) -> usize {
        self.starts.as_ref().map_or(index, |starts| starts.get(index).copied().unwrap_or(index))
    }

    /// A view in which each escape that `read` understands after `mark` is undone; `None` without any `mark`.
    fn decode(&self, mark: u8, read: Unescape) -> Option<View<'a>> {
        if !self.bytes.contains(&mark) {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.bytes.len());
        let mut starts = Vec::with_capacity(self.bytes.len() + 1);
        let mut rest = &self.bytes[..];
        while let Some((first, tail)) = rest.split_first() {
            let start = self.start(self.bytes.len() - rest.len());
            let escaped = if *first == mark { read(tail) } else { None };
            let (unit, after) = escaped.unwrap_or((Unit::Byte(*first), tail));
            match unit {
                Unit::Byte(byte) => bytes.push(byte),
                Unit::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
            starts.resize(bytes.len(), start);
            rest = after;
        }
        starts.push(self.start(self.bytes.len()));
        Some(View { bytes: Cow::Owned(bytes), starts: Some(starts) })
    }
}

fn percent(after: &[u8]) -> Option<(Unit, &[u8])> {
    escape(after).map(|(byte, rest)| (Unit::Byte(byte), rest))
}

/// The escapes of JSON strings (RFC 8259, 7) that a credential's characters can take. Credentials hold no control
/// characters, so `\n` and its like are left alone.
fn json(after: &[u8]) -> Option<(Unit, &[u8])> {
    match after.split_first()? {
        (quoted @ (b'"' | b'\\' | b'/'), rest) => Some((Unit::Byte(*quoted), rest)),
        (b'u', rest) => unicode(rest),
        _ => None,
    }
}

/// One UTF-16 unit, or the two of a character beyond the first plane.
fn unicode(after: &[u8]) -> Option<(Unit, &[u8])> {
    let (first, rest) = utf16_unit(after)?;
    if let Some(c) = char::from_u32(first.into()) {
        return Some((Unit::Char(c), rest));
    }
    let (second, rest) = utf16_unit(rest.strip_prefix(b"\\u")?)?;
    let c = char::decode_utf16([first, second]).next()?.ok()?;
    Some((Unit::Char(c), rest))
}

/// Four hexadecimal digits.
fn utf16_unit(digits: &[u8]) -> Option<(u16, &[u8])> {
    let (high, rest) = escape(digits)?;
    let (low, rest) = escape(rest)?;
    Some((u16::from_be_bytes([high, low]), rest))
}
