//! The plans that are proved: both policies, both interceptions, with and without patterns, aliases and ports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use policy::host::HostPattern;
use policy::wire;

use super::{Configuration, violations};
use crate::destination::{Destination, Host, PortRanges, Traffic};
use crate::envoy::bootstrap::{Capacity, bootstrap};
use crate::envoy::{GenerateError, Placement, resources};
use crate::plan::{
    Alias, Allowed, BUCKETS, DefaultPolicy, Denied, DenyResponse, Dns, Egress, GatewayPlan, HostPlan,
    Interception, LookupFamily, ObjectKey, Passage, PortSet, Ports, ProxyHost, UpstreamProxy,
};

pub(super) fn placement() -> Placement {
    Placement {
        proxy: "127.0.0.1:3128".parse().unwrap(),
        transparent: Some("127.0.0.1:8443".parse().unwrap()),
        module: "/opt/keyward.wasm".into(),
        epoch: 0,
    }
}

fn alias() -> Alias {
    Alias { ip: "10.0.0.7".parse().unwrap(), port: 8443 }
}

pub(super) fn pattern(text: &str) -> HostPattern {
    HostPattern::parse(text).unwrap()
}

fn host(bucket: usize, ports: &[u16], alias: Option<Alias>) -> HostPlan {
    HostPlan { bucket, ports: ports.iter().copied().collect(), alias }
}

fn filter(unlisted: wire::Unlisted) -> wire::Config {
    wire::Config {
        version: wire::VERSION,
        gateway: "default/gateway".to_owned(),
        agent_side: wire::AgentSide::Tls,
        connection_facts: wire::ConnectionFacts::Header,
        record: wire::RecordText::Exchanged,
        telemetry: None,
        scrub: wire::Scrub::default(),
        unlisted,
        other_hosts: unlisted,
        endpoints: Vec::new(),
        methods: Vec::new(),
        models: Vec::new(),
        max_held_body: wire::DEFAULT_MAX_HELD_BODY,
        carriers: Vec::new(),
        targets: Vec::new(),
        rules: Vec::new(),
    }
}

/// The hosts that the cases add to: none; names; names and patterns; with aliases.
fn hosts(kind: usize) -> BTreeMap<HostPattern, HostPlan> {
    let names = [
        ("api.anthropic.com", host(3, &[443], None)),
        ("api.openai.com", host(3, &[443], None)),
        ("llm.internal", host(7, &[443, 8443], Some(alias()))),
        ("*.openai.azure.com", host(4, &[443], None)),
        ("bedrock-runtime.*.amazonaws.com", host(31, &[443], None)),
    ];
    names.into_iter().take([0, 2, 3, 5][kind]).map(|(name, host)| (pattern(name), host)).collect()
}

fn ports(kind: usize) -> Ports {
    let only = |ports: &[u16]| PortSet::Only(ports.iter().copied().collect::<BTreeSet<u16>>());
    match kind {
        0 => Ports { terminate: PortSet::Any, ..Default::default() },
        1 => Ports { terminate: only(&[443]), passthrough: only(&[22, 5432]), cleartext: only(&[80]) },
        2 => Ports { passthrough: PortSet::Any, ..Default::default() },
        _ => Ports::default(),
    }
}

/// What routes allow and policies deny: by name, pattern, network and port, intercepted and not.
fn egress() -> Egress {
    let ports = |ports: &[(u16, u16)]| PortRanges::of(ports.iter().copied());
    let destination = |host, ranges, traffic| Destination { host, ports: ranges, traffic };
    let name = |text: &str| Host::Name(pattern(text));
    let allowed = [
        (name("allowed.example"), ports(&[(443, 443)]), Traffic::Any, Passage::Intercepted),
        (name("pinned.example"), ports(&[(443, 443), (8000, 8010)]), Traffic::Tls, Passage::Untouched),
        (name("wiki.internal"), ports(&[(443, 443)]), Traffic::Any, Passage::Untouched),
        (name("mirror.example.com"), ports(&[(80, 80)]), Traffic::Cleartext, Passage::Untouched),
        (name("*.wild.example"), PortRanges::all(), Traffic::Any, Passage::Untouched),
        (
            Host::Network("203.0.113.0".parse().unwrap(), 24),
            ports(&[(5432, 5432)]),
            Traffic::Any,
            Passage::Untouched,
        ),
        (
            Host::Network("2001:db8::".parse().unwrap(), 32),
            PortRanges::all(),
            Traffic::Any,
            Passage::Untouched,
        ),
        (Host::Any, ports(&[(22, 22)]), Traffic::Any, Passage::Untouched),
    ];
    let denied = [
        (name("denied.wild.example"), ports(&[(443, 443)]), Traffic::Any),
        (name("api.openai.com"), PortRanges::all(), Traffic::Any),
        (Host::Network("203.0.113.7".parse().unwrap(), 32), PortRanges::all(), Traffic::Any),
    ];
    let response = DenyResponse { status: 451, message: Some("not \"there\"".to_owned()) };
    Egress {
        denied: denied
            .map(|(host, ports, traffic)| Denied {
                destination: destination(host, ports, traffic),
                response: response.clone(),
            })
            .into(),
        allowed: allowed
            .map(|(host, ports, traffic, passage)| Allowed {
                destination: destination(host, ports, traffic),
                passage,
            })
            .into(),
    }
}

/// Every combination, then each with destinations of its own, and behind a proxy.
pub(super) fn plans() -> Vec<GatewayPlan> {
    let mut all = plain();
    let proxies = [
        UpstreamProxy { host: ProxyHost::Address("10.0.0.9".parse().unwrap()), port: 3128 },
        UpstreamProxy { host: ProxyHost::Name("proxy.corp.example".to_owned()), port: 8080 },
    ];
    for plan in plain() {
        for upstream_proxy in [None, Some(proxies[plan.hosts.len() % 2].clone())] {
            for egress in [Egress::default(), egress()] {
                if upstream_proxy.is_some() || egress != Egress::default() {
                    let upstream_proxy = upstream_proxy.clone();
                    all.push(GatewayPlan { egress, upstream_proxy, ..plan.clone() });
                }
            }
        }
    }
    all
}

fn plain() -> Vec<GatewayPlan> {
    let mut all = Vec::new();
    for default_policy in [DefaultPolicy::AllowAll, DefaultPolicy::DenyAll] {
        for interception in [Interception::All, Interception::Routes] {
            for (hosts_kind, ports_kind) in (0..4).flat_map(|hosts| (0..4).map(move |ports| (hosts, ports))) {
                for open_aliases in [BTreeMap::new(), BTreeMap::from([("wiki.internal".to_owned(), alias())])]
                {
                    all.push(GatewayPlan {
                        key: ObjectKey { namespace: "default".to_owned(), name: "gateway".to_owned() },
                        default_policy,
                        interception,
                        ports: ports(ports_kind),
                        hosts: hosts(hosts_kind),
                        open_aliases,
                        buckets: vec![filter(wire::Unlisted::Deny); BUCKETS],
                        guard: filter(wire::Unlisted::Pass),
                        trust_bundle: "-----BEGIN CERTIFICATE-----".to_owned(),
                        dns: Dns { family: LookupFamily::V4Preferred, resolvers: Vec::new() },
                        max_held_body: 8 << 20,
                        request_timeout: Duration::from_mins(5),
                        allowed_private_networks: Vec::new(),
                        egress: Egress::default(),
                        upstream_proxy: None,
                        collector: None,
                        inspector: None,
                    });
                }
            }
        }
    }
    all
}

/// The plan with the most in it: under `deny-all` there is less.
pub(super) fn fullest() -> GatewayPlan {
    let allowing = plain().into_iter().filter(|plan| plan.default_policy == DefaultPolicy::AllowAll);
    allowing.max_by_key(|plan| plan.hosts.len() * 2 + plan.open_aliases.len()).unwrap()
}

pub(super) fn configuration(plan: &GatewayPlan) -> Configuration {
    let resources = resources(plan, &placement()).unwrap();
    Configuration::read(
        &resources,
        bootstrap(&plan.key, Path::new("/run/xds.sock"), Path::new("/run/admin.sock"), Capacity::default()),
    )
}

#[test]
fn every_generated_configuration_is_proved() {
    let plans = plans();
    assert_eq!(plans.len(), 4 * 128);
    for plan in plans {
        let found = violations(&configuration(&plan), &plan);
        assert!(
            found.is_empty(),
            "{:?} {:?} {:?}: {found:#?}",
            plan.default_policy,
            plan.interception,
            plan.ports
        );
    }
}

#[test]
fn equal_plans_give_equal_bytes() {
    for plan in plans().into_iter().step_by(5) {
        assert!(resources(&plan, &placement()).unwrap() == resources(&plan.clone(), &placement()).unwrap());
    }
}

#[test]
fn a_plan_that_contradicts_itself_is_refused() {
    let check = |change: fn(&mut GatewayPlan), expected: fn(&GenerateError) -> bool| {
        let mut plan = fullest();
        change(&mut plan);
        let Err(error) = resources(&plan, &placement()) else {
            panic!("a contradiction that is not noticed")
        };
        assert!(expected(&error), "{error}");
    };
    check(|plan| drop(plan.buckets.pop()), |error| matches!(error, GenerateError::Buckets));
    check(
        |plan| drop(plan.hosts.insert(pattern("a.example"), host(BUCKETS, &[443], None))),
        |error| matches!(error, GenerateError::NoSuchBucket),
    );
    check(
        |plan| plan.open_aliases.extend([("me.openai.azure.com".to_owned(), alias())]),
        |error| matches!(error, GenerateError::AliasOfNamedHost),
    );
}

#[test]
fn without_a_transparent_address_there_is_no_transparent_listener() {
    let placement = Placement { transparent: None, ..placement() };
    let resources = resources(&fullest(), &placement).unwrap();
    assert!(resources.iter().all(|resource| resource.name != "transparent"));
}
