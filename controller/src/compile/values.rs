//! Values that manifests write as text: Go durations, networks, header names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use policy::rules::is_settable_header;

/// A Go duration (`time.ParseDuration`): numbers, each with a unit, such as `1h30m` or `1.5s`. `None` when it is
/// not one, negative, or beyond what Go holds (292 years).
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        total += number.parse::<f64>().ok()? * seconds(unit)?;
        rest = tail;
    }
    Duration::try_from_secs_f64(total).ok().filter(|duration| i64::try_from(duration.as_nanos()).is_ok())
}

/// A Kubernetes quantity of bytes
/// (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>): a whole number, perhaps with
/// one of the suffixes k M G Ki Mi Gi. Fractions and exponents, which nobody writes for bytes, are not read.
pub(super) fn quantity(text: &str) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let factor: u64 = match suffix {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

/// A network as `address/length`, its host bits cleared.
pub(super) fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let length: u8 = length.parse().ok()?;
    match address.parse().ok()? {
        IpAddr::V4(address) if length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            Some((Ipv4Addr::from_bits(address.to_bits() & mask).into(), length))
        }
        IpAddr::V6(address) if length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            Some((Ipv6Addr::from_bits(address.to_bits() & mask).into(), length))
        }
        _ => None,
    }
}

/// A header name in lower case, unless the filter may not set or remove it.
pub(super) fn header_name(text: &str) -> Result<String, &'static str> {
    let name = text.to_ascii_lowercase();
    if !is_token(text) {
        Err("not a header name")
    } else if !is_settable_header(&name) {
        Err("a header that a filter may not set")
    } else {
        Ok(name)
    }
}

/// RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    let is_symbol = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_symbol(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read_as_go_reads_them() {
        for (text, milliseconds) in [
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5s", Some(1_500)),
            (".5s", Some(500)),
            ("250ms", Some(250)),
            ("1000us", Some(1)),
            ("0", Some(0)),
            ("", None),
            ("5", None),
            ("m", None),
            ("-5m", None),
            ("5 m", None),
            ("2562048h", None),
            ("5d", None),
            ("1.2.3s", None),
        ] {
            assert_eq!(go_duration(text), milliseconds.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn quantities_are_bytes() {
        for (text, bytes) in [
            ("8Mi", Some(8 << 20)),
            ("500k", Some(500_000)),
            ("1048576", Some(1 << 20)),
            ("0", Some(0)),
            ("", None),
            ("Mi", None),
            ("-1", None),
            ("8MB", None),
            ("1.5Mi", None),
            ("99999999999Gi", None),
        ] {
            assert_eq!(quantity(text), bytes, "{text}");
        }
    }

    #[test]
    fn networks_lose_their_host_bits() {
        for (text, network_of) in [
            ("10.1.2.3/8", Some(("10.0.0.0", 8))),
            ("10.0.0.7/32", Some(("10.0.0.7", 32))),
            ("0.0.0.0/0", Some(("0.0.0.0", 0))),
            ("fd00::1/8", Some(("fd00::", 8))),
            ("10.0.0.0", None),
            ("10.0.0.0/33", None),
            ("::/129", None),
            ("ten/8", None),
        ] {
            let expected = network_of.map(|(address, length): (&str, u8)| (address.parse().unwrap(), length));
            assert_eq!(network(text), expected, "{text}");
        }
    }

    #[test]
    fn header_names_are_lower_cased_and_framing_ones_refused() {
        for (text, name) in [
            ("X-Api-Key", Ok("x-api-key")),
            ("Authorization", Ok("authorization")),
            ("Host", Err("a header that a filter may not set")),
            ("x-envoy-retry-on", Err("a header that a filter may not set")),
            ("Content-Length", Err("a header that a filter may not set")),
            (":authority", Err("not a header name")),
            ("a b", Err("not a header name")),
            ("", Err("not a header name")),
        ] {
            assert_eq!(header_name(text).as_deref().map_err(|why| *why), name, "{text}");
        }
    }
}
