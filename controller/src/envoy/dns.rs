//! How upstream names are resolved: two caches, so that an agent cannot crowd out the hosts that matter with random
//! names. A cache's filter and its clusters must carry the same configuration; both call [`cache`].
//!
//! Envoy keeps a cache for as long as it runs and refuses another configuration under the name of one. So the name
//! carries a digest of the configuration: a change makes a cache of its own, without what the former has resolved.

use envoy_types::pb::envoy::config::cluster::v3::cluster::DnsLookupFamily;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::common::dynamic_forward_proxy::v3::{
    DnsCacheCircuitBreakers, DnsCacheConfig,
};
use envoy_types::pb::envoy::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::any::{extension, number, pack, socket_address};
use super::private_networks;
use crate::plan::{GatewayPlan, LookupFamily};

/// Names that a cache holds; Envoy's default of 1,024 would bite.
const MAX_HOSTS: u32 = 16_384;

/// Which cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cache {
    /// For hosts that a route names.
    Credentialed,
    /// For the others.
    Open,
}

impl Cache {
    /// The part of the name that says which it is.
    fn name(self) -> &'static str {
        match self {
            Cache::Credentialed => "credentialed",
            Cache::Open => "open",
        }
    }

    /// The same, where names are resolved here and not by the operator's proxy.
    pub(super) fn filter_of(self, plan: &GatewayPlan) -> Option<&'static str> {
        plan.upstream_proxy.is_none().then(|| self.filter())
    }

    /// The HTTP filter that fills the cache.
    pub(super) fn filter(self) -> &'static str {
        match self {
            Cache::Credentialed => "dns-credentialed",
            Cache::Open => "dns-open",
        }
    }
}

/// The configuration of a cache.
pub(super) fn cache(plan: &GatewayPlan, cache: Cache) -> DnsCacheConfig {
    let unnamed = DnsCacheConfig {
        dns_lookup_family: family(plan.dns.family) as i32,
        max_hosts: number(MAX_HOSTS),
        dns_cache_circuit_breaker: Some(DnsCacheCircuitBreakers { max_pending_requests: number(MAX_HOSTS) }),
        typed_dns_resolver_config: Some(resolver(plan)),
        resolved_address_filter: Some(private_networks::matcher(&plan.allowed_private_networks)),
        ..Default::default()
    };
    DnsCacheConfig { name: format!("{}/{}", cache.name(), digest(&unnamed)), ..unnamed }
}

/// Enough of a digest to tell the configurations of one operator apart.
fn digest(config: &DnsCacheConfig) -> String {
    let digest = Sha256::digest(config.encode_to_vec());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Who is asked.
pub(super) fn resolver(plan: &GatewayPlan) -> core::TypedExtensionConfig {
    let config = CaresDnsResolverConfig {
        resolvers: plan.dns.resolvers.iter().copied().map(socket_address).collect(),
        // A name is what the agent wrote, never one completed by a search domain of this machine.
        dns_resolver_options: Some(core::DnsResolverOptions {
            no_default_search_domain: true,
            ..Default::default()
        }),
        ..Default::default()
    };
    extension("envoy.network.dns_resolver.cares", pack(&config))
}

/// Address families.
pub(super) fn family(family: LookupFamily) -> DnsLookupFamily {
    match family {
        LookupFamily::V4Preferred => DnsLookupFamily::V4Preferred,
        LookupFamily::V4Only => DnsLookupFamily::V4Only,
        LookupFamily::V6Only => DnsLookupFamily::V6Only,
        LookupFamily::Auto => DnsLookupFamily::Auto,
        LookupFamily::All => DnsLookupFamily::All,
    }
}
