//! Destinations as Envoy can match them: expressions over `:authority`, and predicates over what is known of a tunnel.
//!
//! IPv6 addresses have many spellings, which no expression tells apart: a request to open a tunnel to one is judged by
//! the tunnel itself, which reads the address as a number.

use std::net::{IpAddr, Ipv4Addr};

use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::Predicate;

use super::hosts::unanchored;
use super::names;
use super::sni::{address_in, all_of, any_of, sni, state};
use crate::destination::{Host, PortRanges, Traffic};
use crate::plan::{Denied, DenyResponse, GatewayPlan};

/// How many names one expression holds: RE2 limits the memory of a compiled expression.
const GROUP: usize = 200;

/// Some hosts on the same ports.
pub(super) struct Hosts<'a> {
    pub(super) hosts: Vec<&'a Host>,
    pub(super) ports: &'a PortRanges,
}

impl Hosts<'_> {
    /// Expressions over `:authority` with a port.
    pub(super) fn authorities(&self) -> Vec<String> {
        let ports = ports(self.ports);
        self.alternatives().iter().map(|hosts| format!("(?i)(?:{hosts}):(?:{ports})")).collect()
    }

    /// Expressions over `:authority` whose port is this one where it has none.
    pub(super) fn authorities_or(&self, default: u16) -> Vec<String> {
        if !self.ports.contains(default) {
            return self.authorities();
        }
        let ports = ports(self.ports);
        self.alternatives().iter().map(|hosts| format!("(?i)(?:{hosts})(?::(?:{ports}))?")).collect()
    }

    /// The target of a tunnel.
    pub(super) fn target(&self) -> Predicate {
        let names =
            Hosts { hosts: self.hosts.iter().filter(|host| !is_network(host)).copied().collect(), ..*self };
        let mut any: Vec<Predicate> =
            names.authorities().iter().map(|expression| state(names::TARGET, expression)).collect();
        let networks = self.networks();
        if !networks.is_empty() {
            any.push(all_of(vec![address_in(names::TARGET_HOST, &networks), self.on_ports()]));
        }
        any_of(any)
    }

    /// The port of a tunnel's target.
    pub(super) fn on_ports(&self) -> Predicate {
        state(names::TARGET, &format!(".*:(?:{})", ports(self.ports)))
    }

    /// The name inside TLS; `None` where no name is meant.
    pub(super) fn name(&self) -> Option<Predicate> {
        if self.hosts.iter().any(|host| **host == Host::Any) {
            return Some(sni(".+"));
        }
        let names: Vec<_> = self.names().iter().map(|names| sni(names)).collect();
        (!names.is_empty()).then(|| any_of(names))
    }

    /// The hosts, as alternatives of expressions without anchors.
    fn alternatives(&self) -> Vec<String> {
        if self.hosts.iter().any(|host| **host == Host::Any) {
            return vec![".*".to_owned()];
        }
        let networks = self.hosts.iter().filter_map(|host| match host {
            Host::Network(IpAddr::V4(address), length) => Some(ipv4(*address, *length)),
            _ => None,
        });
        let networks: Vec<String> = networks.collect();
        let mut all = self.names();
        all.extend(networks.chunks(GROUP).map(|chunk| chunk.join("|")));
        all
    }

    fn names(&self) -> Vec<String> {
        let names = self.hosts.iter().filter_map(|host| match host {
            Host::Name(pattern) => Some(unanchored(pattern)),
            _ => None,
        });
        names.collect::<Vec<_>>().chunks(GROUP).map(|chunk| chunk.join("|")).collect()
    }

    fn networks(&self) -> Vec<(IpAddr, u8)> {
        let networks = self.hosts.iter().filter_map(|host| match host {
            Host::Network(address, length) => Some((*address, *length)),
            _ => None,
        });
        networks.collect()
    }
}

fn is_network(host: &Host) -> bool {
    matches!(host, Host::Network(..))
}

/// An address in IPv6 form, on these ports.
pub(super) fn ipv6_on(of: &PortRanges) -> String {
    format!(r"(?i)\[[0-9a-f:.]+\]:(?:{})", ports(of))
}

/// Denied destinations that share ports, traffic and answer.
pub(super) struct Denials<'a> {
    pub(super) hosts: Hosts<'a>,
    pub(super) traffic: Traffic,
    pub(super) response: &'a DenyResponse,
}

/// What a plan denies, of which some speaks of one of these hosts where they are given.
pub(super) fn denials<'a>(plan: &'a GatewayPlan, concerns: impl Fn(&Host) -> bool) -> Vec<Denials<'a>> {
    let mut all: Vec<Denials<'a>> = Vec::new();
    for Denied { destination, response } in &plan.egress.denied {
        if !concerns(&destination.host) {
            continue;
        }
        let known = all.iter_mut().find(|known| {
            known.response == response
                && known.traffic == destination.traffic
                && *known.hosts.ports == destination.ports
        });
        match known {
            Some(known) => known.hosts.hosts.push(&destination.host),
            None => all.push(Denials {
                hosts: Hosts { hosts: vec![&destination.host], ports: &destination.ports },
                traffic: destination.traffic,
                response,
            }),
        }
    }
    all
}

impl Denials<'_> {
    /// Whether it speaks of tunnels: what is spoken inside is not known when one is opened.
    pub(super) fn tunnels(&self) -> bool {
        self.traffic != Traffic::Cleartext
    }

    /// Whether it speaks of requests in the clear.
    pub(super) fn cleartext(&self) -> bool {
        self.traffic != Traffic::Tls
    }

    /// A tunnel to such a destination, or one that names it inside: a name that is dialled by its address is that name.
    pub(super) fn of_tunnels(&self) -> Vec<Predicate> {
        let mapped: Vec<Host> = self.hosts.hosts.iter().filter_map(|host| mapped(host)).collect();
        let also = Hosts { hosts: mapped.iter().collect(), ports: self.hosts.ports };
        let mut all = vec![self.hosts.target()];
        if !also.hosts.is_empty() {
            all.push(also.target());
        }
        all.extend(self.hosts.name().map(|name| all_of(vec![name, self.hosts.on_ports()])));
        all
    }
}

/// An IPv4 network as IPv6 writes it (RFC 4291, 2.5.5.2).
fn mapped(host: &Host) -> Option<Host> {
    match host {
        Host::Network(IpAddr::V4(address), length) => {
            Some(Host::Network(address.to_ipv6_mapped().into(), 96 + length))
        }
        _ => None,
    }
}

/// Whether a name is denied in tunnels on a port.
pub(super) fn is_denied(plan: &GatewayPlan, name: &str, port: u16) -> bool {
    let denied = plan.egress.denied.iter().map(|denied| &denied.destination);
    let mut tunnels = denied.filter(|it| it.traffic != Traffic::Cleartext);
    tunnels.any(|it| it.host.names(name) && it.ports.contains(port))
}

/// Ports, as alternatives of an expression without anchors.
fn ports(ports: &PortRanges) -> String {
    if *ports == PortRanges::all() {
        return "[0-9]+".to_owned();
    }
    let ranges = ports.ranges().iter().flat_map(|(first, last)| numbers(u32::from(*first), u32::from(*last)));
    ranges.collect::<Vec<_>>().join("|")
}

/// The addresses of an IPv4 network in their only canonical form, four decimal numbers. Numbers above 255 match too; no
/// address has them.
fn ipv4(address: Ipv4Addr, length: u8) -> String {
    let octets = address.octets().into_iter().zip([0, 8, 16, 24]).map(|(octet, before)| {
        let fixed = length.saturating_sub(before).min(8);
        let free = u32::from(u8::MAX.checked_shr(fixed.into()).unwrap_or(0));
        let first = u32::from(octet) & !free;
        match fixed {
            0 => "[0-9]+".to_owned(),
            8 => octet.to_string(),
            _ => format!("(?:{})", numbers(first, first + free).join("|")),
        }
    });
    octets.collect::<Vec<_>>().join(r"\.")
}

/// The decimal numbers from one to another, as expressions.
fn numbers(first: u32, last: u32) -> Vec<String> {
    let mut all = Vec::new();
    let mut from = first;
    while from <= last {
        // The largest block of numbers that differ in their last digits alone: 40 to 49, 1000 to 1999.
        let mut size = 1;
        while from.is_multiple_of(size * 10) && from > 0 && from + size * 10 - 1 <= last {
            size *= 10;
        }
        // Some blocks beside each other, up to the next ten of them.
        let step = size * 10;
        let end = last.min((from / step + 1) * step - 1);
        let count = (end + 1 - from) / size;
        let free = "[0-9]".repeat(size.ilog10() as usize);
        let digit = from / size % 10;
        let before = match from / step {
            0 => String::new(),
            number => number.to_string(),
        };
        all.push(match count {
            1 => format!("{before}{digit}{free}"),
            _ => format!("{before}[{digit}-{}]{free}", digit + count - 1),
        });
        from += count * size;
    }
    all
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    /// Whether an expression of this module's small language matches in full: digits, classes of digits, `(?:…|…)`.
    fn matches(expression: &str, text: &str) -> bool {
        expression.split('|').any(|one| {
            let mut rest = text.bytes();
            let mut bytes = one.bytes().peekable();
            while let Some(byte) = bytes.next() {
                let class = match byte {
                    b'[' => {
                        let (first, _, last) = (bytes.next(), bytes.next(), bytes.next());
                        bytes.next();
                        first.unwrap()..=last.unwrap()
                    }
                    digit => digit..=digit,
                };
                if !rest.next().is_some_and(|next| class.contains(&next)) {
                    return false;
                }
            }
            rest.next().is_none()
        })
    }

    #[test]
    fn ranges_of_numbers_match_those_numbers_and_no_other() {
        for (first, last) in [
            (1, 1),
            (1, 9),
            (1, 10),
            (0, 255),
            (128, 191),
            (443, 8443),
            (1024, 65535),
            (99, 101),
            (9999, 10000),
            (1, 65535),
        ] {
            let expression = numbers(first, last).join("|");
            let wrong = (0..=70_000).find(|number: &u32| {
                matches(&expression, &number.to_string()) != (first..=last).contains(number)
            });
            assert_eq!(wrong, None, "{first} to {last}: {expression}");
            assert!(expression.len() < 250, "{first} to {last}: {expression}");
        }
    }

    #[test]
    fn networks_become_expressions_over_their_addresses() {
        for (address, length, expected) in [
            ("10.0.0.0", 8, r"10\.[0-9]+\.[0-9]+\.[0-9]+"),
            ("10.1.2.3", 32, r"10\.1\.2\.3"),
            ("0.0.0.0", 0, r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+"),
            ("172.16.0.0", 12, r"172\.(?:1[6-9]|2[0-9]|3[0-1])\.[0-9]+\.[0-9]+"),
            ("10.0.0.128", 25, r"10\.0\.0\.(?:12[8-9]|1[3-9][0-9]|2[0-4][0-9]|25[0-5])"),
        ] {
            assert_eq!(ipv4(address.parse().unwrap(), length), expected, "{address}/{length}");
        }
    }

    #[test]
    fn an_authority_without_a_port_has_the_default_one() {
        let host = Host::Name(policy::host::HostPattern::parse("*.example.com").unwrap());
        let expression = |ranges: &[(u16, u16)]| {
            let ports = PortRanges::of(ranges.iter().copied());
            Hosts { hosts: vec![&host], ports: &ports }.authorities_or(443)
        };
        assert_eq!(expression(&[(443, 443)]), [r"(?i)(?:[a-z0-9-]+\.example\.com)(?::(?:443))?"]);
        assert_eq!(expression(&[(8443, 8443)]), [r"(?i)(?:[a-z0-9-]+\.example\.com):(?:8443)"]);
    }

    #[test]
    fn an_ipv4_network_is_denied_in_its_ipv6_form_too() {
        let network = Host::Network("1.2.3.0".parse().unwrap(), 24);
        let expected = Host::Network("::ffff:1.2.3.0".parse::<Ipv6Addr>().unwrap().into(), 120);
        assert_eq!(mapped(&network), Some(expected));
    }
}
