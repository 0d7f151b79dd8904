//! The listeners: the proxy port, the transparent port, and the internal ones that both feed.

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::google::protobuf::Any;

use super::any::{number, pack, seconds, socket_address};
use super::network::{fact, filter, note_tls, refuse};
use super::sni::{Chains, sni};
use super::{Placement, access_log, hcm, limits, names, tls, transparent, tunnel, upstream_proxy};
use crate::plan::GatewayPlan;

/// Longest time for a TLS handshake with the agent. It also bounds how long a controller may take for a leaf.
const HANDSHAKE_TIMEOUT: u64 = 10;
/// How long the interception listener waits for the first bytes of TLS.
const FIRST_BYTES_TIMEOUT: u64 = 15;

/// The chain that ends TLS.
const INTERCEPTING: &str = "intercepting";
/// A server name that a leaf can be for. Envoy shows it in lower case, with `_` for each odd byte.
const LEAF_NAME: &str = r"[a-z0-9-]+(?:\.[a-z0-9-]+)*";

/// Every listener with its name.
pub(super) fn listeners(plan: &GatewayPlan, placement: &Placement) -> Vec<(&'static str, Any)> {
    let mut all = tunnel::listeners(plan);
    all.extend(upstream_proxy::listener(plan));
    all.push((names::MITM, mitm(plan)));
    all.push((names::PROXY_LISTENER, pack(&proxy(plan, placement))));
    if let Some(address) = placement.transparent {
        all.push((names::TRANSPARENT_LISTENER, transparent::listener(plan, address)));
    }
    all.sort_by_key(|(name, _)| *name);
    all
}

fn proxy(plan: &GatewayPlan, placement: &Placement) -> listener::Listener {
    listener::Listener {
        name: names::PROXY_LISTENER.to_owned(),
        address: Some(socket_address(placement.proxy)),
        filter_chains: vec![chain("proxy", vec![http(&hcm::proxy(plan))])],
        per_connection_buffer_limit_bytes: number(limits::BUFFER),
        ..Default::default()
    }
}

/// The interception listener. A server name that no leaf can be for is refused before Envoy asks for one: what the
/// agent wrote would travel to the controller byte for byte, and bytes that are not UTF-8 end the stream there.
fn mitm(plan: &GatewayPlan) -> Any {
    let connection = fact(names::CONNECTION, "%REQUESTED_SERVER_NAME%|%FILTER_STATE(keyward.target:PLAIN)%");
    let established = fact(names::ESTABLISHED, "yes");
    let intercepting = listener::FilterChain {
        transport_socket: Some(tls::intercepting()),
        transport_socket_connect_timeout: seconds(HANDSHAKE_TIMEOUT),
        ..chain(INTERCEPTING, vec![note_tls(connection, established), http(&hcm::mitm(plan))])
    };
    let named = Chains {
        names: Vec::new(),
        of_names: INTERCEPTING.to_owned(),
        rules: vec![(sni(LEAF_NAME), INTERCEPTING.to_owned())],
        otherwise: tunnel::REFUSED.to_owned(),
    };
    let base = inspecting(names::MITM, FIRST_BYTES_TIMEOUT, vec![access_log::handshake()]);
    with_chains(base, vec![intercepting, chain(tunnel::REFUSED, vec![refuse()])], &named)
}

/// An internal listener that reads SNI and ALPN before it chooses a chain.
pub(super) fn inspecting(name: &str, timeout: u64, access_log: Vec<AccessLog>) -> listener::Listener {
    let inspector = listener::ListenerFilter {
        name: "envoy.filters.listener.tls_inspector".to_owned(),
        config_type: Some(listener::listener_filter::ConfigType::TypedConfig(pack(&TlsInspector::default()))),
        ..Default::default()
    };
    listener::Listener {
        name: name.to_owned(),
        listener_specifier: Some(listener::listener::ListenerSpecifier::InternalListener(
            listener::listener::InternalListenerConfig {},
        )),
        listener_filters: vec![inspector],
        listener_filters_timeout: seconds(timeout),
        per_connection_buffer_limit_bytes: number(limits::BUFFER),
        access_log,
        ..Default::default()
    }
}

/// Packs a listener with chains and the matcher that chooses among them.
pub(super) fn with_chains(
    base: listener::Listener,
    filter_chains: Vec<listener::FilterChain>,
    choice: &Chains,
) -> Any {
    pack(&listener::Listener { filter_chains, filter_chain_matcher: Some(choice.matcher()), ..base })
}

pub(super) fn chain(name: &str, filters: Vec<listener::Filter>) -> listener::FilterChain {
    listener::FilterChain { name: name.to_owned(), filters, ..Default::default() }
}

fn http(
    manager: &envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager,
) -> listener::Filter {
    filter("envoy.filters.network.http_connection_manager", pack(manager))
}
