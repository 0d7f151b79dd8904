//! Bodies, which come in pieces: what is found is masked in its place, so that no length changes, and a piece that ends
//! within what may be a credential has to wait for the next one.

use std::ops::Range;

use super::Scrubber;
use super::view::View;
use crate::query::REDACTED;
use crate::secret::MIN_BYTES;

/// What is to be done with a piece that was searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Searched {
    /// Whether something in it was masked.
    pub masked: bool,
    /// Whether its end may be the beginning of a credential: it is to be searched again with what follows.
    pub open: bool,
}

impl Scrubber {
    /// Whether there is nothing to be found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Masks each credential in a piece of a body. `ended`: nothing follows; then what may be the beginning of one is
    /// masked too, where it is as long as a credential can be.
    pub fn mask(&self, piece: &mut [u8], ended: bool) -> Searched {
        let (mut found, mut open) = (Vec::new(), false);
        for view in View::all(piece) {
            open |= ends_within_escape(view.bytes());
            for live in &self.live {
                live.find(&view, &mut found);
                for form in &live.forms {
                    let Some(part) = form.beginning_at_the_end_of(view.bytes()) else { continue };
                    open = true;
                    if ended && part.len() >= MIN_BYTES {
                        found.push(view.original(part));
                    }
                }
            }
        }
        let masked = !found.is_empty();
        found.into_iter().for_each(|range| cover(piece, range));
        Searched { masked, open: open && !ended }
    }
}

/// `[redacted]` and as many stars as it takes; where there is no room for that, stars.
fn cover(piece: &mut [u8], range: Range<usize>) {
    let Some(place) = piece.get_mut(range) else { return };
    place.fill(b'*');
    if let Some(place) = place.get_mut(..REDACTED.len()) {
        place.copy_from_slice(REDACTED.as_bytes());
    }
}

/// Whether a text ends with what may become an escape: of a byte in a URL, or of a character in JSON, which may take two.
fn ends_within_escape(text: &[u8]) -> bool {
    /// Bytes of `\ud83d\ude0`.
    const LONGEST: usize = 11;
    let start = text.len().saturating_sub(LONGEST);
    (start..text.len()).any(|at| {
        let (mark, rest) = text.get(at..).and_then(<[u8]>::split_first).unwrap_or((&0, &[]));
        match mark {
            b'%' => rest.len() < 2 && are_digits(rest),
            b'\\' => is_within_unicode(rest) || begins_pair(rest),
            _ => false,
        }
    })
}

/// Whether `u` and at most three digits stand there, or nothing.
fn is_within_unicode(rest: &[u8]) -> bool {
    rest.split_first().is_none_or(|(mark, digits)| *mark == b'u' && digits.len() < 4 && are_digits(digits))
}

/// Whether `u`, the four digits of a first half, and the beginning of a second one stand there.
fn begins_pair(rest: &[u8]) -> bool {
    let Some((first, second)) = rest.split_first_chunk::<5>() else { return false };
    let is_first_half = matches!(first, [b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', digits @ ..] if are_digits(digits));
    is_first_half && second.split_first().is_none_or(|(mark, rest)| *mark == b'\\' && is_within_unicode(rest))
}

fn are_digits(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_hexdigit)
}
