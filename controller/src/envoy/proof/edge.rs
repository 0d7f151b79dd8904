//! What must hold at the edge: limits are set, nothing passes unseen, and no name leads to a private address.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::ClusterDiscoveryType;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::listener::v3::FilterChain;
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac as HttpRbac;
use envoy_types::pb::envoy::extensions::filters::network::rbac::v3::Rbac as NetworkRbac;
use envoy_types::pb::envoy::extensions::filters::network::sni_dynamic_forward_proxy::v3 as sni_forward;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;

use super::reading::{Configuration, http_config, network_config, tcp_cluster, unpack};
use crate::envoy::names;
use crate::plan::{GatewayPlan, ProxyHost};

/// Everything that is wrong at the edge.
pub(super) fn violations(configuration: &Configuration, plan: &GatewayPlan, all: &mut Vec<String>) {
    for cluster in configuration.clusters.values() {
        match &cluster.cluster_discovery_type {
            Some(ClusterDiscoveryType::ClusterType(_)) => name_is_guarded(configuration, cluster, all),
            Some(ClusterDiscoveryType::Type(0)) | None => address_is_the_operators(cluster, plan, all),
            // The operator's proxy may have a name.
            Some(ClusterDiscoveryType::Type(_)) if is_the_operators_proxy(cluster, plan) => {}
            Some(ClusterDiscoveryType::Type(_)) => {
                all.push(format!("`{}` finds addresses in another way", cluster.name));
            }
        }
        if cluster.per_connection_buffer_limit_bytes.is_none() {
            all.push(format!("`{}` buffers without a limit", cluster.name));
        }
    }
    managers_are_limited(configuration, all);
    for (name, routes) in &configuration.routes {
        if !routes.response_headers_to_remove.iter().any(|header| header == "alt-svc") {
            all.push(format!("{name} lets alt-svc through"));
        }
    }
    for name in ["fixed_heap", "global_downstream_max_connections"] {
        let monitors = configuration.bootstrap.pointer("/overload_manager/resource_monitors");
        if !monitors.is_some_and(|monitors| monitors.to_string().contains(name)) {
            all.push(format!("the overload manager does not watch {name}"));
        }
    }
}

/// The second layer of the private-address guard: in the cluster for HTTP, else in every chain that leads to it.
fn name_is_guarded(configuration: &Configuration, cluster: &Cluster, all: &mut Vec<String>) {
    let options = cluster.typed_extension_protocol_options.values().next();
    let guarded = match options {
        Some(options) => {
            let options: HttpProtocolOptions = unpack(options);
            let first = options.http_filters.first();
            let guard = first.filter(|filter| filter.name == "envoy.filters.http.upstream_rbac");
            let config = guard.and_then(http_config).map(unpack::<HttpRbac>);
            config.and_then(|config| config.rules).is_some_and(|rules| denies(&rules))
        }
        None => {
            configuration.chains().filter(|chain| leads_to(chain, &cluster.name)).all(looks_before_dialling)
        }
    };
    if !guarded {
        all.push(format!("`{}` dials what a name leads to", cluster.name));
    }
}

fn denies(rules: &envoy_types::pb::envoy::config::rbac::v3::Rbac) -> bool {
    rules.action == 1 && rules.policies.values().any(|policy| !policy.permissions.is_empty())
}

fn leads_to(chain: &FilterChain, cluster: &str) -> bool {
    let proxies = chain.filters.iter().filter(|filter| filter.name.ends_with("tcp_proxy"));
    proxies
        .map(|filter| unpack::<TcpProxy>(network_config(filter)))
        .any(|proxy| tcp_cluster(&proxy) == cluster)
}

/// Whether a resolver that saves the address comes right before a filter that denies by it.
fn looks_before_dialling(chain: &FilterChain) -> bool {
    chain.filters.windows(2).any(|pair| {
        let [resolver, guard] = pair else { return false };
        resolver.name.ends_with("sni_dynamic_forward_proxy")
            && guard.name.ends_with("network.rbac")
            && unpack::<sni_forward::FilterConfig>(network_config(resolver)).save_upstream_address
            && unpack::<NetworkRbac>(network_config(guard)).rules.is_some_and(|rules| denies(&rules))
    })
}

/// Whether a cluster is the operator's HTTP proxy, at the place that the operator wrote.
fn is_the_operators_proxy(cluster: &Cluster, plan: &GatewayPlan) -> bool {
    let Some(proxy) = &plan.upstream_proxy else { return false };
    let host = match &proxy.host {
        ProxyHost::Address(address) => address.to_string(),
        ProxyHost::Name(name) => name.clone(),
    };
    let written = format!("{:?}", cluster.load_assignment);
    cluster.name == names::UPSTREAM_PROXY
        && written.contains(&format!("address: {host:?}"))
        && written.contains(&format!("PortValue({})", proxy.port))
}

/// An address stands in the configuration only where the operator wrote it as an alias.
fn address_is_the_operators(cluster: &Cluster, plan: &GatewayPlan, all: &mut Vec<String>) {
    let named = plan.hosts.values().filter_map(|host| host.alias.as_ref());
    let aliases: Vec<_> =
        named.chain(plan.open_aliases.values()).map(|alias| (alias.ip.to_string(), alias.port)).collect();
    let members = cluster.load_assignment.iter().flat_map(|assignment| &assignment.endpoints);
    for member in members.flat_map(|locality| &locality.lb_endpoints) {
        let Some(HostIdentifier::Endpoint(endpoint)) = &member.host_identifier else { continue };
        let address = endpoint.address.as_ref().and_then(|address| address.address.as_ref());
        if let Some(core::address::Address::SocketAddress(socket)) = address {
            let written = is_the_operators_proxy(cluster, plan)
                || aliases.iter().any(|(ip, port)| {
                    let same = core::socket_address::PortSpecifier::PortValue((*port).into());
                    *ip == socket.address && socket.port_specifier == Some(same)
                });
            if !written {
                all.push(format!("`{}` dials an address that nobody wrote", cluster.name));
            }
        }
    }
}

fn managers_are_limited(configuration: &Configuration, all: &mut Vec<String>) {
    for manager in configuration.managers() {
        let common = manager.common_http_protocol_options.unwrap_or_default();
        let http1 = manager.http_protocol_options.unwrap_or_default();
        let http2 = manager.http2_protocol_options.unwrap_or_default();
        let bounded = manager.max_request_headers_kb.is_some()
            && common.max_headers_count.is_some()
            && common.idle_timeout.is_some()
            && manager.request_headers_timeout.is_some()
            && manager.request_timeout.is_some()
            && manager.stream_idle_timeout.is_some()
            && http2.max_concurrent_streams.is_some()
            && http2.initial_connection_window_size.is_some();
        if !bounded {
            all.push(format!("{}: a limit is missing", manager.stat_prefix));
        }
        let seen = !http1.enable_trailers && !http1.allow_chunked_length && !manager.proxy_100_continue;
        if !seen || http2.allow_connect {
            all.push(format!("{}: something passes that no filter sees", manager.stat_prefix));
        }
    }
    let unlimited = |listener: &&envoy_types::pb::envoy::config::listener::v3::Listener| {
        listener.per_connection_buffer_limit_bytes.is_none()
    };
    for listener in configuration.listeners.values().filter(unlimited) {
        all.push(format!("listener {} buffers without a limit", listener.name));
    }
}
