//! One form of a credential, and the search for it.
//!
//! A search tool that is prepared anew for every header costs more than the search, and one that is kept copies the
//! bytes into memory that nobody zeroizes. So: look for one rare byte, then compare.

use std::ops::Range;

use memchr::memchr_iter;

use super::Cut;
use crate::secret::Secret;

/// Bytes of a credential that give nothing away.
const SHORTEST_PART: usize = 4;

/// Bytes of `\u0041`: a text may be cut within such an escape, of which the view then shows the rest.
const LONGEST_ESCAPE: usize = 6;

/// Bytes to look for.
pub(super) struct Form {
    bytes: Secret,
    /// Which of them to look for first, and the byte.
    probe: (usize, u8),
}

impl Form {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let probe = bytes.iter().copied().enumerate().min_by_key(|(_, byte)| commonness(*byte));
        Form { bytes: Secret::new(bytes.to_vec()), probe: probe.unwrap_or_default() }
    }

    pub(super) fn length(&self) -> usize {
        // Exposed to be measured.
        self.bytes.expose().len()
    }

    /// Where the form stands; occurrences may overlap.
    pub(super) fn find<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Range<usize>> {
        // Exposed to the comparison.
        let wanted = self.bytes.expose();
        let (before, byte) = self.probe;
        let text = if text.len() < wanted.len() { &[] } else { text };
        memchr_iter(byte, text).filter_map(move |at| {
            let start = at.checked_sub(before)?;
            let end = start + wanted.len();
            (text.get(start..end)? == wanted).then_some(start..end)
        })
    }

    /// The longest end of the text that the form begins with, shorter than the form itself.
    pub(super) fn beginning_at_the_end_of(&self, text: &[u8]) -> Option<Range<usize>> {
        // Exposed to the comparison.
        let wanted = self.bytes.expose();
        let longest = wanted.len().saturating_sub(1).min(text.len());
        let starts = text.len() - longest..text.len();
        starts
            .into_iter()
            .find_map(|start| wanted.starts_with(text.get(start..)?).then_some(start..text.len()))
    }

    /// Where a part of the form stands that the text was cut through; `None` where it is too short to be of use.
    pub(super) fn find_part(&self, text: &[u8], cut: Cut) -> Option<Range<usize>> {
        // Exposed to the comparison.
        let wanted = self.bytes.expose();
        let longest = wanted.len().min(text.len() + 1).saturating_sub(1);
        let mut parts = (SHORTEST_PART..=longest)
            .rev()
            .flat_map(|length| (0..LONGEST_ESCAPE).map(move |cut| (length, cut)));
        parts.find_map(|(length, escape)| match cut {
            Cut::After => {
                let end = text.len().checked_sub(escape)?;
                let start = end.checked_sub(length)?;
                (text.get(start..end)? == wanted.get(..length)?).then_some(start..text.len())
            }
            Cut::Before => {
                let end = escape + length;
                (text.get(escape..end)? == wanted.get(wanted.len() - length..)?).then_some(0..end)
            }
        })
    }
}

/// How often a byte is met in header values, roughly.
fn commonness(byte: u8) -> u8 {
    match byte {
        b'J' | b'Q' | b'X' | b'Z' | b'j' | b'q' | b'x' | b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 3,
        b'a' | b'e' | b'i' | b'n' | b'o' | b'r' | b's' | b't' | b'-' | b' ' | b'/' | b'=' => 4,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::Form;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_rarest_byte_is_looked_for_first() {
        for rarer_first in [&b"zA_0e"[..], b"jB%9-", b"xKb5 "] {
            for pair in rarer_first.windows(2) {
                let (rare, common) = (pair[0], pair[1]);
                assert_eq!(Form::new(&[rare, common]).probe, (0, rare), "{pair:?}");
                assert_eq!(Form::new(&[common, common, rare]).probe, (2, rare), "{pair:?}");
            }
        }
    }
}
