//! Where connections go: providers resolved by name, addresses that the operator wrote, and our own internal
//! listeners.

use std::net::SocketAddr;
use std::path::Path;

use envoy_types::pb::envoy::config::cluster::v3 as cluster;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::endpoint::v3 as endpoint;
use envoy_types::pb::envoy::extensions::clusters::dynamic_forward_proxy::v3 as forward;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::transport_sockets::internal_upstream::v3::InternalUpstreamTransport;
use envoy_types::pb::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options as options;

use super::any::{internal_address, number, pack, seconds, socket_address};
use super::dns::{self, Cache};
use super::{collector, hosts, limits, names, tls, tunnel, upstream_guard, upstream_proxy};
use crate::plan::{Alias, Collector, GatewayPlan, ProxyHost, UpstreamProxy};

/// Envoy's default of 1,024 connections, requests and waiting requests would bite. What one agent may hold is a
/// matter for the listeners.
const CAP: u32 = 1_000_000;
/// Longest time for a TCP and TLS handshake.
const CONNECT_TIMEOUT: u64 = 10;

/// What a cluster speaks to its upstream.
#[derive(Clone, Copy)]
enum Speaks {
    /// TLS; HTTP/2 or HTTP/1.1, as the upstream chooses.
    Https,
    /// TLS and HTTP/1.1, for upgrades: an HTTP/2 provider without RFC 8441 would fail them.
    Https1,
    /// HTTP/1.1 in the clear.
    Http1,
    /// Whatever the agent speaks.
    Bytes,
}

/// Every cluster of the gateway, in the order of their names.
pub(super) fn clusters(plan: &GatewayPlan) -> Vec<cluster::Cluster> {
    let mut all = vec![
        resolved(plan, names::CREDENTIALED, Cache::Credentialed, Speaks::Https),
        resolved(plan, names::CREDENTIALED_H1, Cache::Credentialed, Speaks::Https1),
        resolved(plan, names::OPEN, Cache::Open, Speaks::Https),
        resolved(plan, names::OPEN_H1, Cache::Open, Speaks::Https1),
        resolved(plan, names::OPEN_CLEARTEXT, Cache::Open, Speaks::Http1),
        internal(names::MITM),
    ];
    match &plan.upstream_proxy {
        Some(proxy) => all.push(of_proxy(plan, proxy)),
        None => all.push(resolved(plan, names::PASSTHROUGH, Cache::Open, Speaks::Bytes)),
    }
    all.extend(plan.collector.as_ref().map(|collector| of_collector(plan, collector)));
    all.extend(plan.inspector.as_ref().map(|socket| of_inspector(socket)));
    if tunnel::exists(plan) {
        all.extend([internal(names::TUNNEL), internal(names::TUNNEL_SERVER_FIRST)]);
    }
    for (host, alias) in hosts::aliases(plan) {
        all.push(addressed(&names::alias(host), alias, Speaks::Https));
        all.push(addressed(&names::alias_h1(host), alias, Speaks::Https1));
    }
    for (host, alias) in tunnel::aliases(plan) {
        all.push(addressed(&names::alias_passthrough(host), alias, Speaks::Bytes));
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn resolved(plan: &GatewayPlan, name: &str, cache: Cache, speaks: Speaks) -> cluster::Cluster {
    if plan.upstream_proxy.is_some() {
        return tunnelled(name, speaks);
    }
    let config = forward::ClusterConfig {
        cluster_implementation_specifier: Some(
            forward::cluster_config::ClusterImplementationSpecifier::DnsCacheConfig(dns::cache(plan, cache)),
        ),
        ..Default::default()
    };
    let guard = upstream_guard::http(&plan.allowed_private_networks);
    cluster::Cluster {
        lb_policy: cluster::cluster::LbPolicy::ClusterProvided as i32,
        cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::ClusterType(
            cluster::cluster::CustomClusterType {
                name: "envoy.clusters.dynamic_forward_proxy".to_owned(),
                typed_config: Some(pack(&config)),
            },
        )),
        ..speaking(name, speaks, guard.into())
    }
}

/// Upstreams behind the operator's proxy: what is spoken to them is spoken inside a tunnel.
fn tunnelled(name: &str, speaks: Speaks) -> cluster::Cluster {
    let inside = speaking(name, speaks, Vec::new());
    cluster::Cluster {
        load_assignment: Some(one_endpoint(name, internal_address(names::UPSTREAM_PROXY))),
        transport_socket: Some(crossing(inside.transport_socket)),
        ..speaking(name, speaks, Vec::new())
    }
}

/// The operator's proxy itself, exempt from the guard.
fn of_proxy(plan: &GatewayPlan, proxy: &UpstreamProxy) -> cluster::Cluster {
    named(plan, &proxy.host, proxy.port, base(names::UPSTREAM_PROXY))
}

/// The operator's collector, exempt from it too.
fn of_collector(plan: &GatewayPlan, whom: &Collector) -> cluster::Cluster {
    let speaks = if whom.tls { Speaks::Https } else { Speaks::Http1 };
    named(plan, &whom.host, whom.port, speaking(names::COLLECTOR, speaks, collector::http().into()))
}

/// The inspector of the controller that runs this Envoy.
fn of_inspector(socket: &Path) -> cluster::Cluster {
    let pipe = core::Pipe { path: socket.display().to_string(), mode: 0 };
    let address = core::Address { address: Some(core::address::Address::Pipe(pipe)) };
    cluster::Cluster {
        load_assignment: Some(one_endpoint(names::INSPECTOR, address)),
        ..speaking(names::INSPECTOR, Speaks::Http1, Vec::new())
    }
}

/// A cluster of what the operator named.
fn named(plan: &GatewayPlan, host: &ProxyHost, port: u16, cluster: cluster::Cluster) -> cluster::Cluster {
    let (address, discovery) = upstream_proxy::address(host, port);
    cluster::Cluster {
        load_assignment: Some(one_endpoint(&cluster.name, address)),
        cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::Type(discovery as i32)),
        typed_dns_resolver_config: Some(dns::resolver(plan)),
        dns_lookup_family: dns::family(plan.dns.family) as i32,
        ..cluster
    }
}

/// An address that the operator wrote, exempt from the guard.
fn addressed(name: &str, alias: &Alias, speaks: Speaks) -> cluster::Cluster {
    let address = socket_address(SocketAddr::new(alias.ip, alias.port));
    // All aliases count together. Envoy would cut the name of one of its own at its first dot, and there can be thousands.
    let counted_as = name.split('/').next().unwrap_or(name);
    cluster::Cluster {
        load_assignment: Some(one_endpoint(name, address)),
        alt_stat_name: counted_as.to_owned(),
        ..speaking(name, speaks, Vec::new())
    }
}

fn internal(name: &str) -> cluster::Cluster {
    cluster::Cluster {
        load_assignment: Some(one_endpoint(name, internal_address(name))),
        transport_socket: Some(crossing(None)),
        ..base(name)
    }
}

/// Takes facts along into an internal listener; what is spoken there is in the clear unless something is given.
fn crossing(inside: Option<core::TransportSocket>) -> core::TransportSocket {
    let plain = || tls::socket("envoy.transport_sockets.raw_buffer", pack(&RawBuffer {}));
    let transport = InternalUpstreamTransport {
        transport_socket: Some(inside.unwrap_or_else(plain)),
        ..Default::default()
    };
    tls::socket("envoy.transport_sockets.internal_upstream", pack(&transport))
}

fn speaking(name: &str, speaks: Speaks, http_filters: Vec<HttpFilter>) -> cluster::Cluster {
    let mut cluster = base(name);
    if let Some(options) = http_options(speaks, http_filters) {
        cluster.typed_extension_protocol_options =
            [("envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned(), pack(&options))].into();
    }
    if matches!(speaks, Speaks::Https | Speaks::Https1) {
        cluster.transport_socket = Some(tls::verifying());
    }
    cluster
}

fn base(name: &str) -> cluster::Cluster {
    cluster::Cluster {
        name: name.to_owned(),
        connect_timeout: seconds(CONNECT_TIMEOUT),
        per_connection_buffer_limit_bytes: number(limits::BUFFER),
        circuit_breakers: Some(cluster::CircuitBreakers {
            thresholds: vec![cluster::circuit_breakers::Thresholds {
                max_connections: number(CAP),
                max_pending_requests: number(CAP),
                max_requests: number(CAP),
                max_retries: number(CAP),
                ..Default::default()
            }],
            ..Default::default()
        }),
        upstream_connection_options: Some(cluster::UpstreamConnectionOptions {
            tcp_keepalive: Some(core::TcpKeepalive { keepalive_time: number(60), ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn http_options(speaks: Speaks, http_filters: Vec<HttpFilter>) -> Option<HttpProtocolOptions> {
    let protocol = match speaks {
        Speaks::Https => options::UpstreamProtocolOptions::AutoConfig(options::AutoHttpConfig {
            http_protocol_options: Some(http1()),
            http2_protocol_options: Some(limits::upstream_http2()),
            ..Default::default()
        }),
        Speaks::Https1 | Speaks::Http1 => {
            options::UpstreamProtocolOptions::ExplicitHttpConfig(options::ExplicitHttpConfig {
                protocol_config: Some(options::explicit_http_config::ProtocolConfig::HttpProtocolOptions(
                    http1(),
                )),
            })
        }
        Speaks::Bytes => return None,
    };
    let by_name =
        core::UpstreamHttpProtocolOptions { auto_sni: true, auto_san_validation: true, ..Default::default() };
    Some(HttpProtocolOptions {
        common_http_protocol_options: Some(limits::upstream()),
        // Without effect in the clear, where Envoy asks for it all the same.
        upstream_http_protocol_options: Some(by_name),
        upstream_protocol_options: Some(protocol),
        http_filters,
        ..Default::default()
    })
}

/// No trailers: HTTP/1.1 clients do not ask for them.
fn http1() -> core::Http1ProtocolOptions {
    core::Http1ProtocolOptions { enable_trailers: false, allow_chunked_length: false, ..Default::default() }
}

fn one_endpoint(cluster: &str, address: core::Address) -> endpoint::ClusterLoadAssignment {
    let endpoint = endpoint::Endpoint { address: Some(address), ..Default::default() };
    let member = endpoint::LbEndpoint {
        host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(endpoint)),
        ..Default::default()
    };
    endpoint::ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: vec![endpoint::LocalityLbEndpoints { lb_endpoints: vec![member], ..Default::default() }],
        ..Default::default()
    }
}
