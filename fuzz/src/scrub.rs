//! A live credential comes back in no form that the scrubber claims to find, and all else comes back as it was.
//!
//! Input, by lines: the credential, how to write it (a byte for the form, then one for each character), what stands
//! before it, what stands after it and may be any bytes.

use std::rc::Rc;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use policy::query::REDACTED;
use policy::scrub::{Live, Scrubber};
use policy::secret::Secret;

use crate::input::{Choices, contains, lines, percent_decoded};

/// Longer ones find nothing that short ones do not.
const LONGEST: usize = 600;

/// The credential in the form chosen is found and gone, and any bytes at all keep their order around the marks.
pub fn holds(input: &[u8]) {
    let [credential, how, before, after] = lines(&input[..input.len().min(LONGEST)]);
    let Ok(secret) = Secret::credential(credential) else { return };
    // Exposed to be written in every form.
    let value = secret.expose().trim_ascii().to_vec();
    let scrubber = Scrubber::new(vec![Rc::new(Live::new(secret))]);

    check_kept(&scrubber, after);
    check_pieces(&scrubber, after, how);
    let (Ok(text), Ok(before), Ok(after)) =
        (std::str::from_utf8(&value), std::str::from_utf8(before), std::str::from_utf8(after))
    else {
        return;
    };
    let written = write(text, before, after, &mut Choices(how));
    let Some(scrubbed) = scrubber.scrub(&written) else {
        panic!("not found in {:?}", String::from_utf8_lossy(&written));
    };
    check_kept(&scrubber, &written);
    check_pieces(&scrubber, &written, how);
    for piece in pieces(&scrubbed) {
        assert!(!survives(&value, piece), "{:?} shows it", String::from_utf8_lossy(&scrubbed));
    }
}

/// In a body that comes in pieces, however it is cut, no credential is left, and its length stays.
fn check_pieces(scrubber: &Scrubber, body: &[u8], how: &[u8]) {
    let (mut passed, mut held) = (Vec::new(), Vec::new());
    let mut sizes = how.iter().map(|size| usize::from(*size) + 1).chain(std::iter::repeat(64));
    let mut rest = body;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
        held.extend_from_slice(piece);
        if !scrubber.mask(&mut held, after.is_empty()).open {
            passed.append(&mut held);
        }
        rest = after;
    }
    assert_eq!((passed.len(), held.len()), (body.len(), 0));
    assert!(scrubber.scrub(&passed).is_none(), "{:?} shows it", String::from_utf8_lossy(&passed));
}

/// Bytes go, and marks come; the rest stays in its order.
fn check_kept(scrubber: &Scrubber, value: &[u8]) {
    let Some(scrubbed) = scrubber.scrub(value) else { return };
    let mut rest = value;
    for piece in pieces(&scrubbed) {
        let at =
            if piece.is_empty() { Some(0) } else { rest.windows(piece.len()).position(|part| part == piece) };
        rest = &rest[at.expect("a piece that was not sent") + piece.len()..];
    }
}

/// What stands between the marks.
fn pieces(scrubbed: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = scrubbed;
    while let Some(at) = rest.windows(REDACTED.len()).position(|part| part == REDACTED.as_bytes()) {
        pieces.push(&rest[..at]);
        rest = &rest[at + REDACTED.len()..];
    }
    pieces.push(rest);
    pieces
}

/// Written between its neighbours in one of the forms, which may mix escaped with plain characters.
fn write(text: &str, before: &str, after: &str, how: &mut Choices<'_>) -> Vec<u8> {
    let form = how.below(7);
    let whole = format!("{before}{text}{after}");
    let written = match form {
        0 => whole,
        1 => percent(&whole, how),
        2 => json(&whole, how),
        3 => percent(&json(&whole, how), how),
        4 => BASE64_STANDARD.encode(whole),
        5 => BASE64_URL_SAFE.encode(whole),
        _ => percent(&BASE64_STANDARD.encode(whole), how),
    };
    written.into_bytes()
}

/// A character is escaped where it must be, and where the choice says so.
fn percent(text: &str, how: &mut Choices<'_>) -> String {
    let mut written = String::new();
    for c in text.chars() {
        let choice = how.below(3);
        let bytes = c.encode_utf8(&mut [0; 4]).as_bytes().to_vec();
        match choice {
            0 if c.is_ascii_graphic() && c != '%' => written.push(c),
            1 => written.extend(bytes.iter().map(|b| format!("%{b:02x}"))),
            _ => written.extend(bytes.iter().map(|b| format!("%{b:02X}"))),
        }
    }
    written
}

fn json(text: &str, how: &mut Choices<'_>) -> String {
    let mut written = String::new();
    for c in text.chars() {
        match how.below(3) {
            0 if !c.is_control() && c != '"' && c != '\\' => written.push(c),
            1 if "\"\\/".contains(c) => written.extend(['\\', c]),
            choice => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let lower = format!("\\u{unit:04x}");
                    written += &if choice == 2 { lower } else { format!("\\u{unit:04X}") };
                }
            }
        }
    }
    written
}

/// Whether a reader who undoes escapes, or knows base64, finds the whole value.
fn survives(value: &[u8], piece: &[u8]) -> bool {
    let escaped = percent_decoded(piece);
    let views = [piece.to_vec(), unescaped(piece), unescaped(&escaped), escaped];
    views
        .iter()
        .any(|view| contains(view, value) || own_base64(value).iter().any(|form| contains(view, form)))
}

/// JSON escapes undone; what is no escape stands for itself.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let mut plain = String::new();
    let mut rest = text.as_ref();
    while let Some(c) = rest.chars().next() {
        let (read, length) = if c == '\\' { escape(rest) } else { (c, c.len_utf8()) };
        plain.push(read);
        rest = &rest[length..];
    }
    plain.into_bytes()
}

fn escape(text: &str) -> (char, usize) {
    let unit = |at: usize| {
        let digits =
            text.get(at..at + 6)?.strip_prefix("\\u").filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u16::from_str_radix(digits, 16).ok()
    };
    let simple = text[1..].chars().next().filter(|c| "\"\\/".contains(*c));
    let high = unit(0).and_then(|high| char::from_u32(high.into()));
    let pair = unit(0).zip(unit(6)).and_then(|(high, low)| char::decode_utf16([high, low]).next()?.ok());
    match (simple, high, pair) {
        (Some(c), ..) => (c, 2),
        (_, Some(c), _) => (c, 6),
        (.., Some(c)) => (c, 12),
        _ => ('\\', 1),
    }
}

/// The characters that the value alone determines, for each place in a group of three.
fn own_base64(value: &[u8]) -> Vec<Vec<u8>> {
    let encode = |offset: usize| {
        let shifted = [&b"\0\0"[..offset], value].concat();
        let own = (offset * 8).div_ceil(6)..shifted.len() * 8 / 6;
        [BASE64_STANDARD.encode(&shifted), BASE64_URL_SAFE.encode(&shifted)]
            .map(|encoded| encoded.as_bytes()[own.clone()].to_vec())
    };
    (0..3).flat_map(encode).collect()
}
