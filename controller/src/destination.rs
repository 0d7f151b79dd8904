//! Destinations as EgressL4Routes name them: a host, its ports, and what is spoken there.
//!
//! A name is the one that the agent dials, never an answer of DNS; a network holds the addresses that are dialled as
//! such.

use std::net::IpAddr;

use policy::host::HostPattern;

/// Where connections go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// Which hosts.
    pub host: Host,
    /// On which ports.
    pub ports: PortRanges,
    /// What is spoken there.
    pub traffic: Traffic,
}

/// Hosts, narrower ones first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// By name.
    Name(HostPattern),
    /// By address, dialled as such: the network's address and its length.
    Network(IpAddr, u8),
    /// Every one.
    Any,
}

/// What is spoken at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traffic {
    /// Anything over TCP.
    Any,
    /// TLS alone.
    Tls,
    /// Plain HTTP requests alone, which no tunnel hides.
    Cleartext,
}

/// Ports as ranges, both ends included: sorted, apart from each other, never 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRanges(Vec<(u16, u16)>);

impl Destination {
    /// Whether some connection could be to both.
    #[must_use]
    pub fn overlaps(&self, other: &Destination) -> bool {
        self.host.overlaps(&other.host) && !self.ports.intersect(&other.ports).is_empty()
    }
}

impl Host {
    /// Whether some host is both.
    #[must_use]
    pub fn overlaps(&self, other: &Host) -> bool {
        match (self, other) {
            (Host::Any, _) | (_, Host::Any) => true,
            (Host::Name(a), Host::Name(b)) => names_overlap(a, b),
            (Host::Network(a, of_a), Host::Network(b, of_b)) => {
                let shorter = *of_a.min(of_b);
                a.is_ipv4() == b.is_ipv4() && prefix(*a, shorter) == prefix(*b, shorter)
            }
            _ => false,
        }
    }

    /// Whether it names this (canonical) name.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        match self {
            Host::Name(pattern) => pattern.matches(name),
            Host::Network(..) => false,
            Host::Any => true,
        }
    }
}

/// Whether some name fits both. Each pattern's `*` is tried as a letter that the other may have to take; two patterns
/// that differ in where their stars stand count as overlapping, which closes rather more than it must.
fn names_overlap(a: &HostPattern, b: &HostPattern) -> bool {
    let (left, right): (Vec<&str>, Vec<&str>) =
        (a.as_str().split('.').collect(), b.as_str().split('.').collect());
    let labels = left.iter().zip(&right);
    left.len() == right.len()
        && labels.into_iter().all(|(left, right)| match (left.contains('*'), right.contains('*')) {
            (false, false) => left == right,
            (true, true) => true,
            (true, false) => label_fits(left, right),
            (false, true) => label_fits(right, left),
        })
}

fn label_fits(pattern: &str, label: &str) -> bool {
    pattern.split_once('*').is_some_and(|(before, after)| {
        label.len() > before.len() + after.len() && label.starts_with(before) && label.ends_with(after)
    })
}

/// The first bits of an address.
fn prefix(address: IpAddr, length: u8) -> u128 {
    let (bits, width) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    bits.checked_shr(width - u32::from(length)).unwrap_or(0)
}

impl PortRanges {
    /// Every port.
    #[must_use]
    pub fn all() -> Self {
        PortRanges(vec![(1, u16::MAX)])
    }

    /// These ranges; one whose end is before its start holds nothing, and 0 is no port.
    #[must_use]
    pub fn of(ranges: impl IntoIterator<Item = (u16, u16)>) -> Self {
        let ranges = ranges.into_iter().map(|(first, last)| (first.max(1), last));
        let mut sorted: Vec<(u16, u16)> = ranges.filter(|(first, last)| first <= last).collect();
        sorted.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::new();
        for (first, last) in sorted {
            match merged.last_mut() {
                Some(before) if u32::from(first) <= u32::from(before.1) + 1 => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        PortRanges(merged)
    }

    /// The ranges.
    #[must_use]
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it holds this port.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&port))
    }

    /// What both hold.
    #[must_use]
    pub fn intersect(&self, other: &PortRanges) -> PortRanges {
        let pairs = self.0.iter().flat_map(|a| other.0.iter().map(move |b| (a.0.max(b.0), a.1.min(b.1))));
        PortRanges::of(pairs)
    }

    /// What either holds.
    #[must_use]
    pub fn union(&self, other: &PortRanges) -> PortRanges {
        PortRanges::of(self.0.iter().chain(&other.0).copied())
    }

    /// Without one port.
    #[must_use]
    pub fn without(&self, port: u16) -> PortRanges {
        let parts = self.0.iter().flat_map(|(first, last)| {
            [(*first, (*last).min(port.saturating_sub(1))), ((*first).max(port.saturating_add(1)), *last)]
                .into_iter()
                .enumerate()
                // Beyond the last port there is none, whatever saturates.
                .filter_map(move |(part, range)| (part == 0 || port < u16::MAX).then_some(range))
        });
        PortRanges::of(parts)
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Host::Name(pattern) => pattern.fmt(f),
            Host::Network(address, length) => write!(f, "{address}/{length}"),
            Host::Any => f.write_str("*"),
        }
    }
}

impl std::fmt::Display for PortRanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let range = |(first, last): &(u16, u16)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        f.write_str(&self.0.iter().map(range).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(ranges: &[(u16, u16)]) -> PortRanges {
        PortRanges::of(ranges.iter().copied())
    }

    #[test]
    fn ranges_are_merged_cut_and_joined() {
        assert_eq!(
            ports(&[(80, 80), (81, 90), (85, 87), (443, 443), (9, 5), (0, 0)]).to_string(),
            "80-90,443"
        );
        assert_eq!(ports(&[(0, 3)]).to_string(), "1-3");
        for (ranges, without, left) in [
            (ports(&[(1, 10)]), 5, "1-4,6-10"),
            (ports(&[(1, 10)]), 1, "2-10"),
            (ports(&[(1, 10)]), 10, "1-9"),
            (ports(&[(1, 10)]), 11, "1-10"),
            (ports(&[(443, 443)]), 443, ""),
            (PortRanges::all(), 65535, "1-65534"),
            (ports(&[(65535, 65535)]), 65535, ""),
        ] {
            assert_eq!(ranges.without(without).to_string(), left, "{ranges} without {without}");
        }
        assert_eq!(
            ports(&[(1, 100), (200, 300)]).intersect(&ports(&[(50, 250)])).to_string(),
            "50-100,200-250"
        );
        assert_eq!(ports(&[(1, 100)]).union(&ports(&[(101, 102)])).to_string(), "1-102");
        assert!(PortRanges::all().contains(65535) && !PortRanges::all().contains(0));
    }

    #[test]
    fn hosts_overlap_where_a_connection_could_be_to_both() {
        let name = |text: &str| Host::Name(HostPattern::parse(text).unwrap());
        let network = |text: &str, length| Host::Network(text.parse().unwrap(), length);
        for (a, b, expected) in [
            (name("a.example"), name("a.example"), true),
            (name("a.example"), name("b.example"), false),
            (name("*.example.com"), name("a.example.com"), true),
            (name("*.example.com"), name("a.b.example.com"), false),
            (name("*.example.com"), name("x-*.example.com"), true),
            (name("*.example.com"), name("*.example.org"), false),
            (network("10.0.0.0", 8), network("10.1.0.0", 16), true),
            (network("10.0.0.0", 8), network("11.0.0.0", 8), false),
            (network("0.0.0.0", 0), network("11.0.0.0", 8), true),
            (network("::", 0), network("11.0.0.0", 8), false),
            (network("::", 0), name("a.example"), false),
            (Host::Any, name("a.example"), true),
        ] {
            assert_eq!(a.overlaps(&b), expected, "{a} and {b}");
            assert_eq!(b.overlaps(&a), expected, "{b} and {a}");
        }
    }
}
