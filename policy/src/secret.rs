//! The secret type: bytes that are zeroized on drop and that nothing prints, compares or copies by accident.
//!
//! Absent on purpose: `Debug`, `Display`, `Serialize`, `Clone`, `Deref`. [`Secret::expose`] is the one way to the bytes.

use thiserror::Error;
use zeroize::Zeroizing;

/// What an agent sends where a credential would be. Never a credential itself.
pub const PLACEHOLDER: &str = "clrk-injected-by-proxy";

/// The shortest usable credential, in bytes: scrubbing by a shorter value would hit innocent text.
pub const MIN_BYTES: usize = 8;

/// The longest usable credential, in bytes.
pub const MAX_BYTES: usize = 8 * 1024;

/// Bytes that must not be seen: zeroized on drop.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes as they are. For a credential out of a manifest use [`Secret::credential`].
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Secret(Zeroizing::new(bytes))
    }

    /// A credential out of a Secret's value: one trailing newline (`\n` or `\r\n`) is trimmed.
    ///
    /// # Errors
    /// [`Unusable`] where a header could not carry the value, or where scrubbing by it would be meaningless.
    pub fn credential(bytes: &[u8]) -> Result<Self, Unusable> {
        let value = trim_newline(bytes);
        match fault(value) {
            Some(fault) => Err(fault),
            None => Ok(Secret::new(value.to_vec())),
        }
    }

    /// The bytes. Every use says why it needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// Why a value cannot be a credential. Never carries the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unusable {
    /// Nothing is there.
    #[error("the value is empty")]
    Empty,
    /// Shorter than [`MIN_BYTES`], spaces around it aside: responses are scrubbed of the value without them.
    #[error("the value is shorter than 8 bytes")]
    TooShort,
    /// Longer than [`MAX_BYTES`].
    #[error("the value is longer than 8 KiB")]
    TooLong,
    /// CR, LF, NUL, DEL or another control byte inside.
    #[error("the value holds a control character (a line break inside, for example)")]
    ControlByte,
    /// Not UTF-8.
    #[error("the value is not UTF-8 text")]
    NotUtf8,
    /// Not visible ASCII, or a separator in an access key id.
    #[error("the value is not an AWS key: visible ASCII characters, and no / , or = in an access key id")]
    NotAwsKey,
    /// Not a token with its end.
    #[error("the value is not a token with its end")]
    NotToken,
    /// Not a service account with its key.
    #[error("the value is not a service account with its key")]
    NotAccount,
    /// [`PLACEHOLDER`].
    #[error("the value is the placeholder that agents send")]
    Placeholder,
}

fn trim_newline(bytes: &[u8]) -> &[u8] {
    match bytes.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => bytes,
    }
}

fn fault(value: &[u8]) -> Option<Unusable> {
    if value.is_empty() {
        Some(Unusable::Empty)
    } else if value == PLACEHOLDER.as_bytes() {
        Some(Unusable::Placeholder)
    } else if value.trim_ascii().len() < MIN_BYTES {
        Some(Unusable::TooShort)
    } else if value.len() > MAX_BYTES {
        Some(Unusable::TooLong)
    } else if value.iter().any(u8::is_ascii_control) {
        Some(Unusable::ControlByte)
    } else if std::str::from_utf8(value).is_err() {
        Some(Unusable::NotUtf8)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn check(given: &[u8], expected: Result<&[u8], Unusable>) {
        let got = Secret::credential(given);
        let got = got.as_ref().map(Secret::expose).map_err(|unusable| *unusable);
        assert_eq!(got, expected, "{given:?}");
    }

    #[test]
    fn a_credential_loses_one_trailing_newline_and_nothing_else() {
        check(b"sk-ant-0123", Ok(b"sk-ant-0123"));
        check(b"sk-ant-0123\n", Ok(b"sk-ant-0123"));
        check(b"sk-ant-0123\r\n", Ok(b"sk-ant-0123"));
        check(b" sk-ant-0123 ", Ok(b" sk-ant-0123 "));
        check("schlüssel".as_bytes(), Ok("schlüssel".as_bytes()));
    }

    #[test]
    fn values_that_no_header_can_carry_are_refused() {
        check(b"", Err(Unusable::Empty));
        check(b"\n", Err(Unusable::Empty));
        check(b"1234567", Err(Unusable::TooShort));
        check(b"1234567\n", Err(Unusable::TooShort));
        check(b"1234567 ", Err(Unusable::TooShort));
        check(b"    a    ", Err(Unusable::TooShort));
        check(b"        ", Err(Unusable::TooShort));
        check(b"12345678\n\n", Err(Unusable::ControlByte));
        check(b"sk-ant-0123\r", Err(Unusable::ControlByte));
        check(b"sk-ant\n0123", Err(Unusable::ControlByte));
        check(b"sk-ant\t0123", Err(Unusable::ControlByte));
        check(b"sk-ant\x000123", Err(Unusable::ControlByte));
        check(b"sk-ant\x7f0123", Err(Unusable::ControlByte));
        check(b"sk-ant\xff0123", Err(Unusable::NotUtf8));
        check(b"clrk-injected-by-proxy\n", Err(Unusable::Placeholder));
    }

    #[test]
    fn eight_kibibytes_are_the_limit() {
        check(&[b'k'; 8192], Ok(&[b'k'; 8192]));
        check(&[b'k'; 8193], Err(Unusable::TooLong));
    }
}
