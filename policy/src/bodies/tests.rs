use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::secret::Secret;

/// Keeps all that it reads.
#[derive(Default)]
struct All(Vec<u8>);

impl Reader for All {
    fn feed(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).expect("compressed");
    encoder.finish().expect("compressed")
}

fn capture(max_bytes: u32) -> Capture {
    Capture { max_bytes, content_types: vec!["application/json".to_owned(), "text/event-stream".to_owned()] }
}

fn seen(headers: &[(&str, &str)], pieces: &[&[u8]], capture: Option<&Capture>) -> Seen<All> {
    let headers: HeaderMap = headers.iter().copied().collect();
    let mut body = Body::of(&headers, All::default(), capture);
    pieces.iter().for_each(|piece| body.feed(piece));
    body.end()
}

fn read(encoding: &str, pieces: &[&[u8]]) -> Option<Vec<u8>> {
    seen(&[("content-encoding", encoding)], pieces, None).reader.map(|all| all.0)
}

#[test]
fn what_is_encoded_is_read_decoded() {
    let text = b"some text ".repeat(5000);
    let gz = gzip(&text);
    for encoding in ["gzip", " GZIP ", "x-gzip"] {
        assert_eq!(read(encoding, &[&gz]), Some(text.clone()), "{encoding}");
    }
    let bytes: Vec<&[u8]> = gz.chunks(1).collect();
    assert_eq!(read("gzip", &bytes), Some(text.clone()));
    assert_eq!(read("gzip", &[&gz, &gz]), Some(text.repeat(2)), "two members");
    for encoding in ["identity", ""] {
        assert_eq!(read(encoding, &[&text]), Some(text.clone()), "{encoding}");
    }
    assert_eq!(seen(&[], &[&text], None).reader.map(|all| all.0), Some(text));
}

#[test]
fn what_cannot_be_decoded_is_not_read() {
    let gz = gzip(b"some text");
    for encoding in ["br", "zstd", "deflate", "gzip, gzip", "\u{fc}"] {
        assert_eq!(read(encoding, &[&gz]), None, "{encoding}");
    }
    assert_eq!(read("gzip", &[b"some text that is not encoded"]), None);
    let mut broken = gzip(&b"some text ".repeat(5000));
    let middle = broken.len() / 2;
    broken[middle] ^= 0xff;
    assert_eq!(read("gzip", &[&broken]), None);
    assert_eq!(read("gzip", &[&gz, b"and something that is not encoded"]), None);
}

#[test]
fn what_is_broken_off_is_read_as_far_as_it_came() {
    let text: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
    let gz = gzip(&text);
    let part = read("gzip", &[&gz[..gz.len() / 2]]).expect("a part");
    assert!(!part.is_empty() && part.len() < text.len() && text.starts_with(&part), "{}", part.len());
    assert_eq!(read("gzip", &[]), Some(Vec::new()));
}

/// Counts, and holds nothing.
struct Count(u64);

impl Reader for Count {
    fn feed(&mut self, piece: &[u8]) {
        self.0 += piece.len() as u64;
        assert!(self.0 <= MOST_DECODED && piece.len() <= 64 << 10, "{} bytes at once", piece.len());
    }
}

#[test]
fn a_bomb_is_given_up_before_it_has_grown() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..=MOST_DECODED >> 20 {
        encoder.write_all(&zeros).expect("compressed");
    }
    let bomb = encoder.finish().expect("compressed");
    assert!(bomb.len() < 100_000);
    let headers: HeaderMap =
        [("content-encoding", "gzip"), ("content-type", "application/json")].into_iter().collect();
    let capture = capture(1000);
    let mut body = Body::of(&headers, Count(0), Some(&capture));
    body.feed(&bomb);
    let seen = body.end();
    assert!(seen.reader.is_none() && seen.shown.is_none());
}

fn shown(kind: &str, pieces: &[&[u8]], max_bytes: u32) -> Option<(Vec<u8>, u64, bool)> {
    let shown = seen(&[("content-type", kind)], pieces, Some(&capture(max_bytes))).shown?;
    let (bytes, truncated) = (shown.bytes(), shown.is_truncated());
    Some((shown.text(&Scrubber::default()), bytes, truncated))
}

#[test]
fn the_first_bytes_of_a_body_are_shown_and_the_last_ones_of_a_stream() {
    let text = b"0123456789".as_slice();
    for pieces in [vec![text], text.chunks(1).collect(), text.chunks(7).collect()] {
        let json = "application/json; charset=utf-8";
        assert_eq!(shown(json, &pieces, 10), Some((text.to_vec(), 10, false)));
        assert_eq!(shown(json, &pieces, 4), Some((b"0123".to_vec(), 10, true)));
        let stream = "Text/Event-Stream";
        assert_eq!(shown(stream, &pieces, 10), Some((text.to_vec(), 10, false)));
        assert_eq!(shown(stream, &pieces, 4), Some((b"6789".to_vec(), 10, true)));
        assert_eq!(shown("text/html", &pieces, 10), None);
        assert_eq!(shown("", &pieces, 10), None);
    }
    assert_eq!(shown("application/json", &[], 10), Some((Vec::new(), 0, false)));
}

#[test]
fn what_is_shown_of_an_encoded_body_is_decoded() {
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let shown = seen(&headers, &[&gzip(b"{\"some\": \"text\"}")], Some(&capture(100))).shown.expect("shown");
    assert_eq!((shown.encoding(), shown.bytes()), (Some("gzip"), 16));
    assert_eq!(shown.text(&Scrubber::default()), b"{\"some\": \"text\"}");
    let encoded = [("content-type", "application/json"), ("content-encoding", "br")];
    assert!(seen(&encoded, &[b"?"], Some(&capture(100))).shown.is_none());
}

const KEY: &str = "sk-live-0123456789/+abc";

fn scrubber() -> Scrubber {
    Scrubber::default().and(Secret::new(KEY.as_bytes().to_vec()))
}

/// The forms in which a key may stand in a body.
fn spelt() -> [String; 3] {
    let percent = KEY.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let json = KEY.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    [KEY.to_owned(), percent, json]
}

/// Undoes the escapes of the forms above.
fn plain(text: &str) -> String {
    let text = text.replace("\\u00", "%");
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => plain.extend([char::from(byte)].into_iter().chain(part[2..].chars())),
            None => plain.push_str(part),
        }
    }
    plain
}

#[test]
fn no_part_of_a_key_is_shown_wherever_a_body_is_cut() {
    for spelling in spelt() {
        let body = format!("{{\"before\": 1, \"key\": \"{spelling}\", \"after\": \"{}\"}}", "x".repeat(30));
        for most in 1..=body.len() {
            for kind in ["application/json", "text/event-stream"] {
                let max_bytes = u32::try_from(most).expect("a short body");
                let seen = seen(&[("content-type", kind)], &[body.as_bytes()], Some(&capture(max_bytes)));
                let text = seen.shown.expect("shown").text(&scrubber());
                let text = plain(&String::from_utf8_lossy(&text));
                for part in KEY.as_bytes().windows(4) {
                    let part = std::str::from_utf8(part).expect("a part");
                    assert!(!text.contains(part), "{kind}, {most} bytes: {part} in {text}");
                }
            }
        }
    }
}

#[test]
fn an_upstream_is_asked_for_what_is_decoded_here() {
    for (accepted, narrow) in [
        ("gzip", None),
        ("identity", None),
        (" GZip ", None),
        ("gzip, deflate, br, zstd", Some("gzip")),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", Some("gzip")),
        ("*", Some("gzip")),
        ("br", Some("identity")),
        ("br, gzip;q=0", Some("identity")),
        ("br, gzip; q=0.000", Some("identity")),
        ("", Some("identity")),
    ] {
        assert_eq!(narrowed(accepted.as_bytes()), narrow, "{accepted}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_given_up(bytes: Vec<u8>, cut in 0..64_usize) {
        let gz = gzip(&bytes);
        let mut wrong = gz.clone();
        let at = cut % wrong.len();
        wrong[at] = wrong[at].wrapping_add(1);
        let _ = read("gzip", &[&wrong]);
        let _ = read("gzip", &[&bytes]);
        prop_assert_eq!(read("gzip", &[&gz]), Some(bytes));
    }

    #[test]
    fn what_is_shown_is_the_same_however_it_arrives(bytes: Vec<u8>, size in 1..9_usize, most in 0..40_u32) {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        for kind in ["application/json", "text/event-stream"] {
            prop_assert_eq!(shown(kind, &pieces, most), shown(kind, &[&bytes], most));
        }
    }
}
