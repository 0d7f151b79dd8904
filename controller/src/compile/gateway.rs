//! An EgressGateway's spec to what its plan needs, or why it is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use policy::api::egress_gateway::{
    self as api, FromNamespaces, Listener, Protocol, Quantity, RouteNamespaces, Scrub, Spec, TlsMode,
};
use policy::host::HostPattern;
use policy::wire::{self, DEFAULT_MAX_HELD_BODY};

use super::collector;
use super::support::{self, Support};
use super::values::{go_duration, network, quantity};
use super::verdict::Refusal;
use crate::plan::{
    Alias, Collector, DefaultPolicy, Dns, Interception, LookupFamily, PortSet, Ports, ProxyHost,
    UpstreamProxy,
};

/// `requestTimeout` where the spec gives none.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);

/// What all requests of one worker may hold together; none may hold more.
const MAX_HELD_BODY: u32 = 64 << 20;

/// How many listeners a gateway may have, and how long their names may be.
const MAX_LISTENERS: usize = 8;
const MAX_NAME: usize = 63;

/// What a gateway's spec says, checked.
pub(super) struct Settings {
    pub(super) default_policy: DefaultPolicy,
    pub(super) interception: Interception,
    pub(super) ports: Ports,
    pub(super) aliases: BTreeMap<String, Alias>,
    pub(super) dns: Dns,
    pub(super) request_timeout: Duration,
    pub(super) allowed_private_networks: Vec<(IpAddr, u8)>,
    pub(super) max_held_body: u32,
    pub(super) scrub: wire::Scrub,
    pub(super) upstream_proxy: Option<UpstreamProxy>,
    pub(super) collector: Option<Collector>,
}

/// Checks a spec.
pub(super) fn settings(spec: &Spec) -> Result<Settings, Refusal> {
    let invalid = |message: String| Refusal::new("InvalidSpec", message);
    check_listeners(&spec.listeners).map_err(invalid)?;
    if let Some(refusal) = Refusal::unsupported(&unsupported(spec)) {
        return Err(refusal);
    }
    Ok(Settings {
        default_policy: default_policy(spec.default_policy),
        interception: interception(spec.interception),
        ports: ports(&spec.listeners),
        aliases: aliases(spec).map_err(invalid)?,
        dns: dns(spec).map_err(invalid)?,
        request_timeout: request_timeout(spec).map_err(invalid)?,
        allowed_private_networks: networks(spec).map_err(invalid)?,
        max_held_body: max_held_body(spec).map_err(invalid)?,
        scrub: scrub(&spec.scrub),
        upstream_proxy: upstream_proxy(spec).map_err(invalid)?,
        collector: collector::at(spec).map_err(invalid)?,
    })
}

fn scrub(parts: &[Scrub]) -> wire::Scrub {
    wire::Scrub { bodies: parts.contains(&Scrub::Bodies), set_cookie: parts.contains(&Scrub::SetCookie) }
}

/// The fields that are accepted without effect.
pub(super) fn partly_supported(spec: &Spec, inspected: bool) -> Vec<String> {
    let mut fields = support::used(support::GATEWAY, Support::Partial, spec, "spec");
    fields.retain(|field| !inspected || !field.ends_with(support::CAPTURE_FOR_NOBODY));
    fields
}

/// What becomes of TLS at a listener.
pub(super) fn terminates(listener: &Listener) -> bool {
    listener.tls.as_ref().is_some_and(|tls| tls.mode == TlsMode::Terminate)
}

fn unsupported(spec: &Spec) -> Vec<String> {
    let mut fields = support::used(support::GATEWAY, Support::Refused, spec, "spec");
    for (index, listener) in spec.listeners.iter().enumerate() {
        let prefix = format!("spec.listeners[{index}]");
        fields.extend(support::used(support::LISTENER, Support::Refused, listener, &prefix));
    }
    fields
}

fn check_listeners(listeners: &[Listener]) -> Result<(), String> {
    if listeners.is_empty() || listeners.len() > MAX_LISTENERS {
        return Err(format!("spec.listeners: write 1 to {MAX_LISTENERS} of them"));
    }
    let mut names = BTreeSet::new();
    for (index, listener) in listeners.iter().enumerate() {
        let field = format!("spec.listeners[{index}]");
        if listener.name.is_empty() || listener.name.len() > MAX_NAME {
            return Err(format!("{field}.name: use 1 to {MAX_NAME} characters"));
        }
        if !names.insert(&listener.name) {
            return Err(format!("{field}.name: another listener has that name"));
        }
        if listener.port == Some(0) {
            return Err(format!("{field}.port: use 1 to 65535, or leave it out for any"));
        }
        check_protocol(listener).map_err(|why| format!("{field}.{why}"))?;
        check_selector(listener).map_err(|why| format!("{field}.allowedRoutes.namespaces.selector{why}"))?;
    }
    check_overlap(listeners)
}

fn check_protocol(listener: &Listener) -> Result<(), String> {
    match listener.protocol {
        Protocol::Udp => Err("protocol: UDP is not served; use TLS, HTTPS, TCP or HTTP".to_owned()),
        Protocol::Tcp | Protocol::Http if terminates(listener) => {
            Err("tls.mode: Terminate goes with protocol TLS or HTTPS only".to_owned())
        }
        _ => Ok(()),
    }
}

/// Where namespaces are selected, a selector says which.
fn check_selector(listener: &Listener) -> Result<(), String> {
    let allowed = listener.allowed_routes.as_ref();
    match allowed.and_then(|allowed| allowed.namespaces.as_ref()) {
        Some(RouteNamespaces { from: FromNamespaces::Selector, selector }) => match selector {
            None => Err(": write it where from is Selector".to_owned()),
            Some(selector) => selector.check().map_err(|why| format!(".{why}")),
        },
        _ => Ok(()),
    }
}

/// One port cannot be both intercepted and passed on.
fn check_overlap(listeners: &[Listener]) -> Result<(), String> {
    let mut served: BTreeMap<Option<u16>, bool> = BTreeMap::new();
    for (index, listener) in listeners.iter().enumerate() {
        if listener.protocol == Protocol::Http {
            continue;
        }
        let terminate = terminates(listener);
        if served.insert(listener.port, terminate).is_some_and(|other| other != terminate) {
            return Err(format!(
                "spec.listeners[{index}].port: another listener serves the same port with another tls.mode"
            ));
        }
    }
    Ok(())
}

fn ports(listeners: &[Listener]) -> Ports {
    let mut ports = Ports::default();
    for listener in listeners {
        let set = match listener.protocol {
            Protocol::Http => &mut ports.cleartext,
            _ if terminates(listener) => &mut ports.terminate,
            _ => &mut ports.passthrough,
        };
        match (listener.port, set) {
            (None, set) => *set = PortSet::Any,
            (Some(port), PortSet::Only(ports)) => drop(ports.insert(port)),
            (Some(_), PortSet::Any) => {}
        }
    }
    ports
}

fn default_policy(policy: api::DefaultPolicy) -> DefaultPolicy {
    match policy {
        api::DefaultPolicy::AllowAll => DefaultPolicy::AllowAll,
        api::DefaultPolicy::DenyAll => DefaultPolicy::DenyAll,
    }
}

fn interception(interception: api::Interception) -> Interception {
    match interception {
        api::Interception::All => Interception::All,
        api::Interception::Routes => Interception::Routes,
    }
}

fn aliases(spec: &Spec) -> Result<BTreeMap<String, Alias>, String> {
    let mut aliases = BTreeMap::new();
    let written = spec.upstream_tls.iter().flat_map(|tls| &tls.host_aliases).enumerate();
    for (index, alias) in written {
        let field = format!("spec.upstreamTLS.hostAliases[{index}]");
        let ip: IpAddr = alias.ip.parse().map_err(|_| format!("{field}.ip: not an IP address"))?;
        let port = alias.port.unwrap_or(443);
        if port == 0 {
            return Err(format!("{field}.port: use 1 to 65535, or leave it out for 443"));
        }
        for name in &alias.hostnames {
            let name = name.to_ascii_lowercase();
            if HostPattern::parse(&name).ok().is_none_or(|pattern| pattern.exact().is_none()) {
                return Err(format!("{field}.hostnames: {name} is not a host name"));
            }
            if aliases.insert(name.clone(), Alias { ip, port }).is_some() {
                return Err(format!("{field}.hostnames: {name} has an alias already"));
            }
        }
    }
    Ok(aliases)
}

fn dns(spec: &Spec) -> Result<Dns, String> {
    let Some(dns) = &spec.dns else {
        return Ok(Dns { family: LookupFamily::V4Preferred, resolvers: Vec::new() });
    };
    let family = match dns.lookup_family {
        api::LookupFamily::V4Preferred => LookupFamily::V4Preferred,
        api::LookupFamily::V4Only => LookupFamily::V4Only,
        api::LookupFamily::V6Only => LookupFamily::V6Only,
        api::LookupFamily::Auto => LookupFamily::Auto,
        api::LookupFamily::All => LookupFamily::All,
    };
    let resolver = |text: &String| {
        let address = text.parse::<SocketAddr>();
        address.map_err(|_| "spec.dns.resolvers: write address:port, such as 10.0.0.2:53".to_owned())
    };
    Ok(Dns { family, resolvers: dns.resolvers.iter().map(resolver).collect::<Result<_, _>>()? })
}

fn request_timeout(spec: &Spec) -> Result<Duration, String> {
    let Some(text) = &spec.request_timeout else { return Ok(REQUEST_TIMEOUT) };
    go_duration(text)
        .filter(|timeout| !timeout.is_zero())
        .ok_or_else(|| "spec.requestTimeout: write a Go duration above 0, such as 5m or 1m30s".to_owned())
}

fn max_held_body(spec: &Spec) -> Result<u32, String> {
    let Some(Quantity(text)) = &spec.max_signed_body_bytes else { return Ok(DEFAULT_MAX_HELD_BODY) };
    quantity(text)
        .and_then(|bytes| u32::try_from(bytes).ok())
        .filter(|bytes| (1..=MAX_HELD_BODY).contains(bytes))
        .ok_or_else(|| {
            "spec.maxSignedBodyBytes: write 1 to 64Mi as a Kubernetes quantity, such as 8Mi or 500k"
                .to_owned()
        })
}

fn upstream_proxy(spec: &Spec) -> Result<Option<UpstreamProxy>, String> {
    let Some(written) = &spec.upstream_proxy else { return Ok(None) };
    let fault = "spec.upstreamProxy.address: write host:port, such as proxy.corp.example:3128";
    if let Ok(address) = written.address.parse::<SocketAddr>() {
        let proxy = UpstreamProxy { host: ProxyHost::Address(address.ip()), port: address.port() };
        return if proxy.port == 0 { Err(fault.to_owned()) } else { Ok(Some(proxy)) };
    }
    let (host, port) = written.address.rsplit_once(':').ok_or(fault)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or(fault)?;
    let host = host.to_ascii_lowercase();
    match HostPattern::parse(&host).ok().is_some_and(|pattern| pattern.exact().is_some()) {
        true => Ok(Some(UpstreamProxy { host: ProxyHost::Name(host), port })),
        false => Err(fault.to_owned()),
    }
}

fn networks(spec: &Spec) -> Result<Vec<(IpAddr, u8)>, String> {
    let parsed = spec.allowed_private_networks.iter().enumerate().map(|(index, text)| {
        network(text)
            .ok_or_else(|| format!("spec.allowedPrivateNetworks[{index}]: write a CIDR, such as 10.0.0.0/8"))
    });
    let networks: BTreeSet<(IpAddr, u8)> = parsed.collect::<Result<_, _>>()?;
    Ok(networks.into_iter().collect())
}
