//! The private key of a service account: from PEM to the bytes that sign.
//!
//! Absent on purpose: PKCS#1 and encrypted keys. Google hands out plain PKCS#8, and each further format would be one more
//! parser of secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::EncodingKey;
use ring::signature::RsaKeyPair;
use zeroize::Zeroizing;

/// Why a private key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyError {
    /// Not a PKCS#8 private key in PEM, or one whose numbers do not fit.
    Malformed,
    /// A passphrase protects it.
    Encrypted,
    /// Not RSA.
    NotRsa,
    /// Fewer than 2048 bits.
    TooShort,
    /// More than 4096 bits.
    TooLong,
}

/// Reads a key and checks that it can sign. What is read is zeroized; ring's own copy, in [`RsaKeyPair`], is not.
pub(super) fn read(pem: &str) -> Result<EncodingKey, KeyError> {
    let der = pkcs8(pem)?;
    RsaKeyPair::from_pkcs8(&der).map_err(|rejected| cause(&rejected))?;
    Ok(EncodingKey::from_rsa_der(&der))
}

fn cause(rejected: &ring::error::KeyRejected) -> KeyError {
    // The text is ring's only way of telling; tests hold it.
    match rejected.to_string().as_str() {
        "WrongAlgorithm" => KeyError::NotRsa,
        "TooSmall" => KeyError::TooShort,
        "TooLarge" => KeyError::TooLong,
        _ => KeyError::Malformed,
    }
}

fn pkcs8(pem: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let begun = pem.trim().strip_prefix("-----BEGIN ").and_then(|begun| begun.split_once("-----"));
    let (label, rest) = begun.ok_or(KeyError::Malformed)?;
    match label {
        "PRIVATE KEY" => {}
        "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
        "EC PRIVATE KEY" | "DSA PRIVATE KEY" | "OPENSSH PRIVATE KEY" => return Err(KeyError::NotRsa),
        _ => return Err(KeyError::Malformed),
    }
    let body = rest.strip_suffix("-----").and_then(|rest| rest.strip_suffix("-----END PRIVATE KEY"));
    let body = body.ok_or(KeyError::Malformed)?;
    // Both are as large as they ever get from the start: growing would leave copies behind.
    let mut compact = Zeroizing::new(Vec::with_capacity(body.len()));
    compact.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = Zeroizing::new(Vec::with_capacity(body.len()));
    STANDARD.decode_vec(compact.as_slice(), &mut der).map_err(|_| KeyError::Malformed)?;
    Ok(der)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{armoured, pem};
    use super::*;

    fn check(pem: &str, expected: KeyError) {
        assert_eq!(read(pem).err(), Some(expected));
    }

    #[test]
    fn a_pkcs8_key_is_read_with_the_line_ends_of_any_system() {
        let one = pem("one");
        for text in [one.clone(), one.replace('\n', "\r\n"), format!("\n{one}\n\n")] {
            assert!(read(&text).is_ok());
        }
    }

    #[test]
    fn keys_that_cannot_sign_are_refused_with_their_cause() {
        let one = pem("one");
        let elliptic = rcgen::KeyPair::generate().unwrap().serialize_pem();
        check("", KeyError::Malformed);
        check("not a key", KeyError::Malformed);
        check(&one[..one.len() / 2], KeyError::Malformed);
        check(&one.replacen("MII", "M!I", 1), KeyError::Malformed);
        check(&one.replacen("MII", "MIJ", 1), KeyError::Malformed);
        check(&format!("{one}{one}"), KeyError::Malformed);
        check(&armoured("RSA PRIVATE KEY", "AAAA"), KeyError::Malformed);
        check(&armoured("ENCRYPTED PRIVATE KEY", "AAAA"), KeyError::Encrypted);
        check(&armoured("EC PRIVATE KEY", "AAAA"), KeyError::NotRsa);
        check(&elliptic, KeyError::NotRsa);
        check(&pem("short"), KeyError::TooShort);
    }
}
