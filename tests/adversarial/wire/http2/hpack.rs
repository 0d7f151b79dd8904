//! Header compression (RFC 7541), as little as can be: what goes out is literal; what comes in uses no dynamic table,
//! because our SETTINGS leave it none.

use super::huffman;
use crate::wire::Field;

/// Appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// A header list, every field as a literal without indexing, names as they are (section 6.2.2).
pub(crate) fn encode(fields: &[Field]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend(text);
        }
    }
    block
}

/// With a prefix of seven bits (section 5.1).
fn integer(block: &mut Vec<u8>, value: usize) {
    if value < 127 {
        block.push(u8::try_from(value).unwrap_or(0));
        return;
    }
    block.push(127);
    let mut rest = value - 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap_or(0) | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap_or(0));
}

/// The header list of a block. None when it uses what we did not allow, or is not whole.
pub(crate) fn decode(block: &[u8]) -> Option<Vec<Field>> {
    let (mut block, mut fields) = (block, Vec::new());
    while let Some(first) = block.first().copied() {
        match first {
            0x80.. => fields.push(indexed(number(&mut block, 7)?)?),
            // A change of the table's size says nothing about fields.
            0x20..0x40 => drop(number(&mut block, 5)?),
            _ => {
                let index = number(&mut block, if first >= 0x40 { 6 } else { 4 })?;
                let name = if index == 0 { text(&mut block)? } else { indexed(index)?.0 };
                fields.push((name, text(&mut block)?));
            }
        }
    }
    Some(fields)
}

fn indexed(index: usize) -> Option<Field> {
    let (name, value) = STATIC.get(index.checked_sub(1)?)?;
    Some((name.as_bytes().to_vec(), value.as_bytes().to_vec()))
}

fn number(block: &mut &[u8], prefix: u32) -> Option<usize> {
    let (first, rest) = block.split_first()?;
    *block = rest;
    let full = (1 << prefix) - 1;
    let mut value = usize::from(*first) & full;
    if value < full {
        return Some(value);
    }
    let mut shift = 0;
    loop {
        let (next, rest) = block.split_first()?;
        *block = rest;
        value = value.checked_add((usize::from(*next) & 127).checked_shl(shift)?)?;
        shift += 7;
        if next & 128 == 0 {
            return Some(value);
        }
    }
}

fn text(block: &mut &[u8]) -> Option<Vec<u8>> {
    let compressed = block.first()? & 128 != 0;
    let length = number(block, 7)?;
    let bytes = block.get(..length)?;
    *block = &block[length..];
    if compressed { huffman::decode(bytes) } else { Some(bytes.to_vec()) }
}
