//! The plugin configuration's wrapping: raw JSON, or JSON inside an Envoy `GenericSecret`.
//!
//! `StringValue` and `BytesValue` arrive unwrapped. Any other message arrives as its protobuf bytes; Keyward's own
//! gateways send `envoy.extensions.transport_sockets.tls.v3.GenericSecret`, which a configuration dump redacts whole.
//! Only the two shapes that they use are read.

/// The bytes are neither JSON nor a `GenericSecret` with one inline source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownWrapping;

/// `GenericSecret.secret`, a `DataSource`.
const SECRET: u8 = 1;
/// `DataSource.inline_bytes`.
const INLINE_BYTES: u8 = 2;
/// `DataSource.inline_string`.
const INLINE_STRING: u8 = 3;

/// The JSON document in a plugin configuration.
pub(crate) fn unwrap(bytes: &[u8]) -> Result<&[u8], UnknownWrapping> {
    if bytes.trim_ascii_start().starts_with(b"{") {
        return Ok(bytes);
    }
    match only_field(bytes)? {
        (SECRET, source) => match only_field(source)? {
            (INLINE_BYTES | INLINE_STRING, json) => Ok(json),
            _ => Err(UnknownWrapping),
        },
        _ => Err(UnknownWrapping),
    }
}

/// Number and bytes of the one length-delimited field that a message consists of.
fn only_field(message: &[u8]) -> Result<(u8, &[u8]), UnknownWrapping> {
    const LENGTH_DELIMITED: u8 = 2;
    let (key, rest) = message.split_first().ok_or(UnknownWrapping)?;
    let (length, field) = varint(rest)?;
    // Field numbers of one byte: the continuation bit would be a larger one.
    if key & 0x87 == LENGTH_DELIMITED && usize::try_from(length) == Ok(field.len()) {
        Ok((key >> 3, field))
    } else {
        Err(UnknownWrapping)
    }
}

/// A base-128 varint of at most five bytes (a length in a 32-bit memory), and what follows it.
fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), UnknownWrapping> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return bytes.get(index + 1..).map(|rest| (value, rest)).ok_or(UnknownWrapping);
        }
    }
    Err(UnknownWrapping)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut message = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(bytes);
        message
    }

    #[test]
    fn json_is_found_plain_and_inside_a_generic_secret() {
        let long = format!("{{\"gateway\":\"{}\"}}", "x".repeat(100_000));
        for json in [b"{}", long.as_bytes(), b" \n{}"] {
            assert_eq!(unwrap(json), Ok(json));
            assert_eq!(unwrap(&field(1, &field(2, json))), Ok(json));
            assert_eq!(unwrap(&field(1, &field(3, json))), Ok(json));
        }
    }

    #[test]
    fn every_other_shape_is_refused() {
        let good = field(1, &field(2, b"{}"));
        let table: &[&[u8]] = &[
            b"",
            b"[]",
            &field(2, &field(2, b"{}")),
            &field(1, &field(1, b"/etc/passwd")),
            &field(1, &field(4, b"KEYWARD_KEYRING")),
            &field(1, b"{}"),
            &[&good[..], &good[..]].concat(),
            &[&good[..], b"x"].concat(),
            b"\x0a\xff\xff\xff\xff\xff\x01",
            b"\x08\x01",
            b"\x8a\x01\x00",
        ];
        for bytes in table {
            assert_eq!(unwrap(bytes), Err(UnknownWrapping), "{bytes:?}");
        }
        (0..good.len()).for_each(|length| assert_eq!(unwrap(&good[..length]), Err(UnknownWrapping)));
    }
}
