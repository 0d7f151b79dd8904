//! The one canonical form of a host and port, for `:authority`, the CONNECT target and the SNI alike.
//!
//! Absent on purpose: IP literals, userinfo, trailing dots, IDNA mapping. What is not a plain lower-case name (after
//! ASCII lower-casing) has no canonical form and is refused, so that two spellings never name one host.

use std::fmt;

use thiserror::Error;

/// The port of an authority that names none, on a connection that is TLS.
pub const HTTPS_PORT: u16 = 443;

/// The port of an authority that names none, over cleartext HTTP.
pub const HTTP_PORT: u16 = 80;

/// A canonical host name and port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Authority {
    /// Lower-case LDH name (RFC 952, RFC 1123), without a trailing dot.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

impl Authority {
    /// Parses `host` or `host:port` as a client of HTTPS writes it; port 443 unless it names one.
    ///
    /// # Errors
    /// [`Malformed`] for everything that has no canonical form.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        Authority::parse_or(bytes, HTTPS_PORT)
    }

    /// Like [`Authority::parse`], with another default port.
    ///
    /// # Errors
    /// [`Malformed`] for everything that has no canonical form.
    pub fn parse_or(bytes: &[u8], default_port: u16) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Host)?;
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, parse_port(port)?),
            None => (text, default_port),
        };
        Ok(Authority { host: name(host.as_bytes())?, port })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Why bytes have no canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Not a plain host name: userinfo, an address, a trailing dot, an empty or over-long label, another character.
    #[error("not a plain host name")]
    Host,
    /// Not a decimal port from 1 to 65535 without leading zeros.
    #[error("not a port")]
    Port,
}

/// The canonical form of a host name, as an SNI carries it (RFC 6066: no port, no trailing dot).
///
/// # Errors
/// [`Malformed::Host`] for everything that is not a plain name.
pub fn name(bytes: &[u8]) -> Result<String, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Host)?;
    let name = text.to_ascii_lowercase();
    let plain = !name.is_empty() && name.len() <= 253 && name.split('.').all(is_label) && !is_address(&name);
    if plain { Ok(name) } else { Err(Malformed::Host) }
}

/// Whether a lower-case text is one LDH label of 1 to 63 characters.
pub(crate) fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Whether resolvers may read the name as an IPv4 address: its last label is a number, decimal or `0x` hexadecimal
/// (the rule of the WHATWG URL standard, "ends in a number").
pub(crate) fn is_address(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hexadecimal = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || last.bytes().all(|b| b.is_ascii_digit())
}

fn parse_port(text: &str) -> Result<u16, Malformed> {
    let plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().map_err(|_| Malformed::Port) } else { Err(Malformed::Port) }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn check(given: &str, expected: Result<(&str, u16), Malformed>) {
        let got = Authority::parse(given.as_bytes());
        let got = got.as_ref().map(|a| (a.host.as_str(), a.port)).map_err(|malformed| *malformed);
        assert_eq!(got, expected, "{given:?}");
    }

    #[test]
    fn names_have_one_lower_case_form_and_443_as_their_port() {
        check("api.anthropic.com", Ok(("api.anthropic.com", 443)));
        check("API.Anthropic.COM", Ok(("api.anthropic.com", 443)));
        check("api.anthropic.com:443", Ok(("api.anthropic.com", 443)));
        check("llm.internal:8443", Ok(("llm.internal", 8443)));
        check("localhost:1", Ok(("localhost", 1)));
        check("xn--bcher-kva.example", Ok(("xn--bcher-kva.example", 443)));
        check("1.example", Ok(("1.example", 443)));
        check("a.0xyz", Ok(("a.0xyz", 443)));
    }

    #[test]
    fn what_has_two_spellings_is_refused() {
        let labels_of_63 = "a".repeat(63);
        let long_label = "a".repeat(64);
        let long_name = [labels_of_63.as_str(); 4].join(".");
        let hosts = [
            "",
            ".",
            "a.",
            "a..b",
            ".a",
            "-a.b",
            "a-.b",
            "a_b.c",
            "a b",
            " a",
            "a/b",
            "user@a",
            "a@b:1",
            "bücher.example",
            "1.2.3.4",
            "0x7f.1",
            "a.0x7f",
            "127.1",
            "2130706433",
            "0x7f000001",
            "a.0x",
            "a.127",
            "[::1]",
            "[::1]:443",
            "a\0b",
            "a%2eb",
            &long_label,
            &long_name,
        ];
        for host in hosts {
            assert!(Authority::parse(host.as_bytes()).is_err(), "{host:?}");
        }
        check(&labels_of_63, Ok((&labels_of_63, 443)));
        let longest = &long_name[2..];
        check(longest, Ok((longest, 443)));
        check(&long_name[1..], Err(Malformed::Host));
    }

    #[test]
    fn ports_are_decimal_without_leading_zeros() {
        for port in ["", "0", "00443", "0443", "+443", "-1", "65536", "443a", " 443", "443 ", "4:3"] {
            check(&format!("a.example:{port}"), Err(Malformed::Port));
        }
        check("a.example:65535", Ok(("a.example", 65535)));
    }

    #[test]
    fn an_sni_is_a_name_alone() {
        assert_eq!(name(b"API.example").as_deref(), Ok("api.example"));
        assert_eq!(name(b"api.example:443"), Err(Malformed::Host));
        assert_eq!(name(b"api.example."), Err(Malformed::Host));
        assert_eq!(name(b"\xff\xfe"), Err(Malformed::Host));
    }

    #[test]
    fn the_default_port_of_cleartext_is_80() {
        let authority = Authority::parse_or(b"a.example", HTTP_PORT).unwrap();
        assert_eq!(authority.to_string(), "a.example:80");
    }
}

#[cfg(test)]
mod properties {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_canonical_form_is_its_own_canonical_form(text in "[a-cA-C0-2.:-]{0,12}|[ -~]{0,12}") {
            if let Ok(authority) = Authority::parse(text.as_bytes()) {
                prop_assert_eq!(Authority::parse(authority.to_string().as_bytes()), Ok(authority.clone()));
                prop_assert_eq!(authority.host.to_ascii_lowercase(), authority.host);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Authority::parse(&bytes);
            let _ = name(&bytes);
        }
    }
}
