//! What the spec of a route names.

use policy::api::egress_l4_route::{Match, PortMatch, Rule, Spec};

use super::super::scope::host_pattern;
use super::super::support::{self, Support};
use super::super::values::network;
use super::super::verdict::Refusal;
use super::Wanted;
use crate::destination::{Host, PortRanges, Traffic};

/// What a route names, as far as it can be read, and whether all of it can.
pub(super) fn content(spec: &Spec) -> (Vec<Wanted>, Result<(), Refusal>) {
    let mut reading = Reading::default();
    reading.unsupported.extend(support::used(support::L4_ROUTE, Support::Refused, spec, "spec"));
    if spec.rules.is_empty() {
        reading.faults.push("spec.rules is empty: the route names no destination".to_owned());
    }
    for (index, rule) in spec.rules.iter().enumerate() {
        reading.rule(rule, &format!("spec.rules[{index}]"));
    }
    let unsupported = Refusal::unsupported(&reading.unsupported);
    let invalid =
        (!reading.faults.is_empty()).then(|| Refusal::new("UnsupportedValue", reading.faults.join("; ")));
    (reading.wanted, unsupported.or(invalid).map_or(Ok(()), Err))
}

#[derive(Default)]
struct Reading {
    wanted: Vec<Wanted>,
    faults: Vec<String>,
    unsupported: Vec<String>,
}

impl Reading {
    fn rule(&mut self, rule: &Rule, field: &str) {
        self.unsupported.extend(support::used(support::L4_RULE, Support::Refused, rule, field));
        if rule.matches.is_empty() {
            self.faults.push(format!(
                "{field}.matches is empty: name the destinations, or write matches: [{{}}] for every one"
            ));
        }
        for (index, one) in rule.matches.iter().enumerate() {
            self.one(one, format!("{field}.matches[{index}]"));
        }
    }

    fn one(&mut self, one: &Match, field: String) {
        self.unsupported.extend(support::used(support::L4_MATCH, Support::Refused, one, &field));
        let mut hosts = Vec::new();
        for (index, text) in one.destination_cidrs.iter().enumerate() {
            let at = format!("{field}.destinationCIDRs[{index}]");
            match network(text) {
                Some((address, length)) => hosts.push((at, Host::Network(address, length))),
                None => self.faults.push(format!("{at}: write a CIDR, such as 10.0.0.0/8")),
            }
        }
        for (index, text) in one.destination_hostnames.iter().enumerate() {
            let at = format!("{field}.destinationHostnames[{index}]");
            match host_pattern(text) {
                Ok(pattern) => hosts.push((at, Host::Name(pattern))),
                Err(why) => self.faults.push(format!("{at}: {why} (addresses belong into destinationCIDRs)")),
            }
        }
        if one.destination_cidrs.is_empty() && one.destination_hostnames.is_empty() {
            hosts.push((field.clone(), Host::Any));
        }
        let (ports, traffic) = (self.ports(&one.ports, &field), self.traffic(one, &field));
        self.wanted.push(Wanted { field, hosts, ports, traffic });
    }

    fn ports(&mut self, ports: &[PortMatch], field: &str) -> PortRanges {
        let before = self.faults.len();
        let mut ranges = Vec::new();
        for (index, one) in ports.iter().enumerate() {
            match range(one) {
                Ok(range) => ranges.push(range),
                Err(why) => self.faults.push(format!("{field}.ports[{index}]: {why}")),
            }
        }
        let sound = before == self.faults.len();
        if sound && !ranges.is_empty() { PortRanges::of(ranges) } else { PortRanges::all() }
    }

    fn traffic(&mut self, one: &Match, field: &str) -> Traffic {
        match one.protocol.as_deref() {
            None | Some("TCP") => Traffic::Any,
            Some("TLS" | "HTTPS") => Traffic::Tls,
            Some("HTTP") => Traffic::Cleartext,
            Some("UDP") => {
                self.faults
                    .push(format!("{field}.protocol: UDP is not served; write TCP, TLS, HTTPS or HTTP"));
                Traffic::Any
            }
            Some(_) => {
                self.faults.push(format!("{field}.protocol: unknown; write TCP, TLS, HTTPS or HTTP"));
                Traffic::Any
            }
        }
    }
}

fn range(ports: &PortMatch) -> Result<(u16, u16), &'static str> {
    match (ports.port, ports.start_port, ports.end_port) {
        (Some(0), None, None) | (None, Some(0), Some(_)) => Err("use 1 to 65535"),
        (Some(port), None, None) => Ok((port, port)),
        (None, Some(first), Some(last)) if first <= last => Ok((first, last)),
        (None, Some(_), Some(_)) => Err("endPort is below startPort"),
        _ => Err("write port, or startPort and endPort"),
    }
}
