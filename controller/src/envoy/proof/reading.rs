//! Resources, decoded, with the walks that the claims need.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::ClusterDiscoveryType;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::config::route::v3::{
    FilterConfig, Route, RouteConfiguration, VirtualHost, route, route_action,
};
use envoy_types::pb::envoy::extensions::clusters::dynamic_forward_proxy::v3 as cluster_forward;
use envoy_types::pb::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use envoy_types::pb::envoy::extensions::filters::http::dynamic_forward_proxy::v3 as http_forward;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::extensions::filters::network::sni_dynamic_forward_proxy::v3 as sni_forward;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};

use crate::envoy::{Resource, names};

/// A gateway's configuration.
#[derive(Clone, Default)]
pub(crate) struct Configuration {
    pub(super) clusters: BTreeMap<String, Cluster>,
    pub(super) routes: BTreeMap<String, RouteConfiguration>,
    pub(super) listeners: BTreeMap<String, Listener>,
    pub(super) filters: BTreeMap<String, Any>,
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) bootstrap: serde_json::Value,
}

impl Configuration {
    pub(crate) fn read(resources: &[Resource], bootstrap: serde_json::Value) -> Self {
        let mut all = Configuration { bootstrap, ..Default::default() };
        for resource in resources {
            let name = resource.name.clone();
            assert_eq!(resource.type_url, resource.body.type_url, "{name}");
            match resource.type_url.rsplit('.').next().unwrap() {
                "Cluster" => drop(all.clusters.insert(name, unpack(&resource.body))),
                "RouteConfiguration" => drop(all.routes.insert(name, unpack(&resource.body))),
                "Listener" => drop(all.listeners.insert(name, unpack(&resource.body))),
                "Secret" => drop(all.secrets.insert(name, unpack(&resource.body))),
                "TypedExtensionConfig" => {
                    let filter: core::TypedExtensionConfig = unpack(&resource.body);
                    all.filters.insert(name, filter.typed_config.unwrap());
                }
                other => panic!("a resource of an unknown type: {other}"),
            }
        }
        all
    }

    pub(super) fn chains(&self) -> impl Iterator<Item = &FilterChain> {
        self.listeners.values().flat_map(|listener| &listener.filter_chains)
    }

    pub(super) fn managers(&self) -> Vec<hcm::HttpConnectionManager> {
        self.network("http_connection_manager")
    }

    pub(super) fn tcp_proxies(&self) -> Vec<TcpProxy> {
        self.network("tcp_proxy")
    }

    /// Every DNS cache, wherever it is configured.
    pub(super) fn dns_caches(&self) -> Vec<DnsCacheConfig> {
        let in_clusters =
            self.clusters.values().filter_map(|cluster| match &cluster.cluster_discovery_type {
                Some(ClusterDiscoveryType::ClusterType(custom)) => {
                    let config: cluster_forward::ClusterConfig = unpack(custom.typed_config.as_ref()?);
                    match config.cluster_implementation_specifier? {
                        cluster_forward::cluster_config::ClusterImplementationSpecifier::DnsCacheConfig(
                            cache,
                        ) => Some(cache),
                        _ => None,
                    }
                }
                _ => None,
            });
        let managers = self.managers();
        let in_managers = managers.iter().flat_map(|manager| &manager.http_filters).filter_map(|filter| {
            let config = http_config(filter)?;
            if config.type_url != http_forward::FilterConfig::type_url() {
                return None;
            }
            match unpack::<http_forward::FilterConfig>(config).implementation_specifier? {
                http_forward::filter_config::ImplementationSpecifier::DnsCacheConfig(cache) => Some(cache),
                _ => None,
            }
        });
        let by_name = self.network::<sni_forward::FilterConfig>("sni_dynamic_forward_proxy");
        let by_name = by_name.into_iter().filter_map(|config| config.dns_cache_config);
        in_clusters.chain(in_managers).chain(by_name).collect()
    }

    /// The internal listener that a cluster leads to, unless it leads on to upstreams.
    pub(super) fn inward(&self, cluster: &str) -> Option<String> {
        self.internal(cluster).filter(|listener| listener != names::UPSTREAM_PROXY)
    }

    /// The internal listener that a cluster leads to.
    pub(super) fn internal(&self, cluster: &str) -> Option<String> {
        let assignment = self.clusters.get(cluster)?.load_assignment.as_ref()?;
        let member = assignment.endpoints.first()?.lb_endpoints.first()?;
        let Some(HostIdentifier::Endpoint(endpoint)) = &member.host_identifier else { return None };
        match endpoint.address.as_ref()?.address.as_ref()? {
            core::address::Address::EnvoyInternalAddress(internal) => {
                match internal.address_name_specifier.as_ref()? {
                    core::envoy_internal_address::AddressNameSpecifier::ServerListenerName(name) => {
                        Some(name.clone())
                    }
                }
            }
            _ => None,
        }
    }

    fn network<M: Message + Name + Default>(&self, filter: &str) -> Vec<M> {
        let suffix = format!("filters.network.{filter}");
        let filters = self.chains().flat_map(|chain| &chain.filters).filter(|f| f.name.ends_with(&suffix));
        filters.map(|filter| unpack(network_config(filter))).collect()
    }
}

pub(super) fn unpack<M: Message + Name + Default>(any: &Any) -> M {
    assert_eq!(any.type_url, M::type_url());
    M::decode(any.value.as_slice()).unwrap()
}

pub(super) fn network_config(filter: &Filter) -> &Any {
    match &filter.config_type {
        Some(filter::ConfigType::TypedConfig(config)) => config,
        _ => panic!("a network filter without its configuration"),
    }
}

pub(super) fn http_config(filter: &hcm::HttpFilter) -> Option<&Any> {
    match &filter.config_type {
        Some(hcm::http_filter::ConfigType::TypedConfig(config)) => Some(config),
        _ => None,
    }
}

/// The clusters of a chain's TCP proxies.
pub(super) fn tcp_clusters(chain: &FilterChain) -> Vec<String> {
    let proxies = chain.filters.iter().filter(|filter| filter.name.ends_with("tcp_proxy"));
    proxies.map(|filter| tcp_cluster(&unpack(network_config(filter)))).collect()
}

/// The cluster of a TCP proxy.
pub(super) fn tcp_cluster(proxy: &TcpProxy) -> String {
    match &proxy.cluster_specifier {
        Some(tcp_proxy::ClusterSpecifier::Cluster(name)) => name.clone(),
        _ => panic!("a TCP proxy with more than one cluster"),
    }
}

/// The cluster of a route that forwards; `None` where it answers by itself.
pub(super) fn route_cluster(route: &Route) -> Option<String> {
    match route.action.as_ref().expect("a route that does something") {
        route::Action::DirectResponse(_) => None,
        route::Action::Route(action) => match &action.cluster_specifier {
            Some(route_action::ClusterSpecifier::Cluster(name)) => Some(name.clone()),
            other => panic!("a route to something other than one cluster: {other:?}"),
        },
        other => panic!("a route that neither forwards nor answers: {other:?}"),
    }
}

/// The filters that are on for a route: what it says itself, else what its virtual host says.
pub(super) fn enabled(host: &VirtualHost, route: &Route) -> Vec<String> {
    let mut all: BTreeMap<&String, &Any> = host.typed_per_filter_config.iter().collect();
    all.extend(&route.typed_per_filter_config);
    let on = |(name, config): (&String, &Any)| is_enabling(config).then(|| name.clone());
    all.into_iter().filter_map(on).collect()
}

fn is_enabling(config: &Any) -> bool {
    let config: FilterConfig = unpack(config);
    config.config == Some(Any::default()) && !config.disabled && !config.is_optional
}
