//! The private-address guard: which resolved addresses a name must not lead to.
//!
//! Envoy drops them from every DNS answer, literal addresses included. Addresses that the operator wrote
//! (`hostAliases`) do not pass through DNS and are exempt.

use std::net::IpAddr;

use envoy_types::pb::envoy::r#type::matcher::v3::AddressMatcher;
use envoy_types::pb::xds::core::v3::CidrRange;

use super::any::number;

/// Private, loopback, link-local, shared, documentation, multicast and reserved networks, and every IPv6 form that
/// carries an IPv4 address (RFC 6890, 4291, 6052, 3056, 4380).
const PRIVATE: [(&str, u8); 24] = [
    ("0.0.0.0", 8),
    ("10.0.0.0", 8),
    ("100.64.0.0", 10),
    ("127.0.0.0", 8),
    ("169.254.0.0", 16),
    ("172.16.0.0", 12),
    ("192.0.0.0", 24),
    ("192.0.2.0", 24),
    ("192.168.0.0", 16),
    ("198.18.0.0", 15),
    ("198.51.100.0", 24),
    ("203.0.113.0", 24),
    ("224.0.0.0", 4),
    ("240.0.0.0", 4),
    ("::", 96),
    ("::ffff:0:0", 96),
    ("64:ff9b::", 96),
    ("64:ff9b:1::", 48),
    ("2001::", 32),
    ("2002::", 16),
    ("fc00::", 7),
    ("fe80::", 10),
    ("fec0::", 10),
    ("ff00::", 8),
];

/// A network: the address as an integer, its length, and the width of its family in bits.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Network {
    bits: u128,
    length: u8,
    width: u8,
}

/// Matches what must not be reached: the private networks but for the allowed ones.
pub(super) fn matcher(allowed: &[(IpAddr, u8)]) -> AddressMatcher {
    let range = |(address, length): (IpAddr, u8)| CidrRange {
        address_prefix: address.to_string(),
        prefix_len: number(length.into()),
    };
    AddressMatcher { ranges: forbidden(allowed).into_iter().map(range).collect(), invert_match: false }
}

/// The networks that must not be reached, as address and length.
pub(super) fn forbidden(allowed: &[(IpAddr, u8)]) -> Vec<(IpAddr, u8)> {
    let allowed: Vec<Network> =
        allowed.iter().map(|(address, length)| Network::new(*address, *length)).collect();
    let private =
        PRIVATE.iter().filter_map(|(address, length)| Some(Network::new(address.parse().ok()?, *length)));
    let left = private.flat_map(|network| network.without(&allowed));
    left.map(|network| (network.address(), network.length)).collect()
}

impl Network {
    fn new(address: IpAddr, length: u8) -> Self {
        let (bits, width) = match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        let length = length.min(width);
        Network { bits: bits & mask(length, width), length, width }
    }

    fn contains(self, other: Network) -> bool {
        self.width == other.width
            && self.length <= other.length
            && other.bits & mask(self.length, self.width) == self.bits
    }

    /// The parts of this network that none of the allowed ones contains.
    fn without(self, allowed: &[Network]) -> Vec<Network> {
        if allowed.iter().any(|network| network.contains(self)) {
            return Vec::new();
        }
        if !allowed.iter().any(|network| self.contains(*network)) {
            return vec![self];
        }
        self.halves().into_iter().flat_map(|half| half.without(allowed)).collect()
    }

    fn halves(self) -> [Network; 2] {
        let length = self.length + 1;
        let upper = self.bits | (1 << (self.width - length));
        [Network { length, ..self }, Network { bits: upper, length, ..self }]
    }

    fn address(self) -> IpAddr {
        match u32::try_from(self.bits) {
            Ok(bits) if self.width == 32 => IpAddr::V4(bits.into()),
            _ => IpAddr::V6(self.bits.into()),
        }
    }
}

fn mask(length: u8, width: u8) -> u128 {
    let ones = if width == 32 { u128::from(u32::MAX) } else { u128::MAX };
    let host = width - length;
    if host == 128 { 0 } else { ones >> host << host & ones }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(allowed: &[(&str, u8)], address: &str) -> bool {
        let allowed: Vec<_> = allowed.iter().map(|(a, l)| (a.parse().unwrap(), *l)).collect();
        let address: IpAddr = address.parse().unwrap();
        let host = Network::new(address, 128);
        matcher(&allowed).ranges.iter().any(|range| {
            let length = range.prefix_len.map(|l| u8::try_from(l.value).unwrap()).unwrap();
            Network::new(range.address_prefix.parse().unwrap(), length).contains(host)
        })
    }

    #[test]
    fn every_form_of_an_inner_address_is_blocked() {
        let inner = [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "192.168.0.1",
            "172.31.255.255",
            "100.64.0.1",
            "0.0.0.0",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:0:1::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "224.0.0.1",
            "255.255.255.255",
        ];
        for address in inner {
            assert!(blocked(&[], address), "{address}");
        }
        for address in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00::1"] {
            assert!(!blocked(&[], address), "{address}");
        }
    }

    #[test]
    fn an_allowed_network_opens_itself_and_nothing_beside_it() {
        let allowed = [("10.1.0.0", 16), ("fd00::", 8), ("127.0.0.1", 32)];
        for (address, expected) in [
            ("10.1.0.0", false),
            ("10.1.255.255", false),
            ("10.0.255.255", true),
            ("10.2.0.0", true),
            ("127.0.0.1", false),
            ("127.0.0.2", true),
            ("fd00::1", false),
            ("fc00::1", true),
            ("::ffff:127.0.0.1", true),
        ] {
            assert_eq!(blocked(&allowed, address), expected, "{address}");
        }
    }

    #[test]
    fn everything_can_be_allowed() {
        assert!(!blocked(&[("0.0.0.0", 0)], "10.0.0.1"));
        assert!(!blocked(&[("::", 0)], "::1"));
        assert!(blocked(&[("::", 0)], "10.0.0.1"));
    }
}
