//! `upstreamProxy`: the operator's HTTP proxy, which opens a tunnel (RFC 9110, 9.3.6) for every connection to an
//! upstream, and resolves its name. What the operator gave an address (`hostAliases`) is dialled directly.
//!
//! A connection for HTTP goes to an internal listener, which asks for the tunnel; TLS is spoken inside it, and the
//! provider's certificate verified, as without a proxy. Bytes that pass untouched are given to the proxy at once.
//!
//! Nothing here can judge the address that a name leads to, so names of this machine and literal addresses, which
//! would be the proxy's own machine or network, are refused. All else is the proxy's to judge
//! (`docs/decisions/0014-egress-policy.md`).

use envoy_types::pb::envoy::config::cluster::v3 as cluster;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3 as tcp_proxy;
use envoy_types::pb::google::protobuf::Any;

use super::any::{number, pack};
use super::listeners::chain;
use super::network::filter;
use super::refusal::Refusal;
use super::route::{Route, connects, requests, with_authority};
use super::{limits, names};
use crate::plan::{GatewayPlan, ProxyHost};

/// Hosts that are no names of other machines, as an expression over `:authority` with any port or none.
const LOCAL: &str = r"(?i)(?:(?:.*\.)?(?:localhost|localdomain)|[0-9.]+|\[.*\])(?::[0-9]*)?";
/// The same, as an expression over an SNI.
pub(super) const LOCAL_NAME: &str = r"(?:.*\.)?(?:localhost|localdomain)";

/// The filter that says what the proxy is to be asked for.
pub(super) const FILTER: &str = "upstream";

/// `host:port` of an intercepted request's upstream, and of one in the clear.
pub(super) const SECURE: &str = r"%CEL(request.host.matches('^.*:[0-9]+$') ? request.host : re.extract(request.host, '^(.*)$', '\\1:443'))%";
pub(super) const IN_THE_CLEAR: &str = r"%CEL(request.host.matches('^.*:[0-9]+$') ? request.host : re.extract(request.host, '^(.*)$', '\\1:80'))%";

/// Whether a name is one of this machine.
pub(super) fn is_local(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    matches!(last, "localhost" | "localdomain")
}

/// Refuses what the proxy is not asked for.
pub(super) fn refusals(plan: &GatewayPlan) -> Vec<Route> {
    let refuse = |what| Route::refuse(with_authority(what, LOCAL), Refusal::DeniedByPolicy);
    plan.upstream_proxy.iter().flat_map(|_| [connects(), requests()].map(refuse)).collect()
}

/// The internal listener.
pub(super) fn listener(plan: &GatewayPlan) -> Option<(&'static str, Any)> {
    plan.upstream_proxy.as_ref()?;
    let listener = listener::Listener {
        name: names::UPSTREAM_PROXY.to_owned(),
        listener_specifier: Some(listener::listener::ListenerSpecifier::InternalListener(
            listener::listener::InternalListenerConfig {},
        )),
        filter_chains: vec![chain(
            "tunnelled",
            vec![tunnel(&format!("%FILTER_STATE({}:PLAIN)%", names::UPSTREAM))],
        )],
        per_connection_buffer_limit_bytes: number(limits::BUFFER),
        ..Default::default()
    };
    Some((names::UPSTREAM_PROXY, pack(&listener)))
}

/// Asks the proxy for a tunnel to `host:port`, and passes bytes on through it.
pub(super) fn tunnel(target: &str) -> listener::Filter {
    let config = tcp_proxy::TcpProxy {
        stat_prefix: names::UPSTREAM_PROXY.to_owned(),
        cluster_specifier: Some(tcp_proxy::tcp_proxy::ClusterSpecifier::Cluster(
            names::UPSTREAM_PROXY.to_owned(),
        )),
        tunneling_config: Some(tcp_proxy::tcp_proxy::TunnelingConfig {
            hostname: target.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    filter("envoy.filters.network.tcp_proxy", pack(&config))
}

/// Where something of the operator's is, and how its name is found.
pub(super) fn address(host: &ProxyHost, port: u16) -> (core::Address, cluster::cluster::DiscoveryType) {
    let (host, discovery) = match host {
        ProxyHost::Address(address) => (address.to_string(), cluster::cluster::DiscoveryType::Static),
        ProxyHost::Name(name) => (name.clone(), cluster::cluster::DiscoveryType::LogicalDns),
    };
    let address = core::SocketAddress {
        address: host,
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
        ..Default::default()
    };
    (core::Address { address: Some(core::address::Address::SocketAddress(address)) }, discovery)
}
