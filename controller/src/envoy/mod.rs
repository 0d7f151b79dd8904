//! Envoy: the configuration of one gateway, generated from its [`GatewayPlan`], and the process that runs it.
//!
//! Generation is pure, and equal plans give equal bytes. Nothing is decided here that the plan has not decided.

mod access_log;
mod admin;
mod allowed;
mod any;
pub mod binary;
pub mod bootstrap;
mod clusters;
mod collector;
mod destinations;
mod dns;
mod filters;
mod hcm;
mod hosts;
mod limits;
mod listeners;
mod mitm_routes;
pub mod module;
pub mod names;
mod network;
mod overload;
mod private_networks;
pub mod process;
#[cfg(test)]
mod proof;
mod proxy_routes;
mod refusal;
mod route;
mod sni;
mod tls;
mod transparent;
mod tunnel;
mod upstream_guard;
mod upstream_proxy;
pub(crate) mod walk;

use std::net::SocketAddr;
use std::path::PathBuf;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::google::protobuf::Any;
use prost::Name;

pub(crate) use self::admin::statistics;
pub use self::filters::KEYRING_VARIABLE;
use crate::plan::{BUCKETS, GatewayPlan};

/// Where a gateway's Envoy listens and finds its module: what a plan leaves to whoever runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Address of the proxy listener. Port 0 is a free one, chosen by the kernel.
    pub proxy: SocketAddr,
    /// Address of the transparent listener, where there is one.
    pub transparent: Option<SocketAddr>,
    /// Path of the filter module, as Envoy sees it. A new module needs a new path.
    pub module: PathBuf,
    /// A number that starts a fresh VM for every filter when it changes.
    pub epoch: u64,
}

/// One xDS resource. No `Debug`: it holds configuration.
#[derive(Clone, PartialEq)]
pub struct Resource {
    /// Type, as xDS subscriptions name it.
    pub type_url: String,
    /// Name, unique in its type.
    pub name: String,
    /// The resource.
    pub body: Any,
}

/// Why no configuration can be generated. Each is a fault of ours or of the installation, never of a manifest.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The module's path cannot be written into protobuf.
    #[error("the path of the filter module is not UTF-8")]
    ModulePath,
    /// A filter's configuration cannot be written as JSON.
    #[error("a filter configuration cannot be encoded")]
    Encode(#[source] serde_json::Error),
    /// The plan does not have as many buckets as the listener has filters.
    #[error("the plan has another number of buckets than {BUCKETS}")]
    Buckets,
    /// A host is assigned to a bucket that does not exist.
    #[error("a host of the plan is in a bucket that does not exist")]
    NoSuchBucket,
    /// A host that a route names is also listed among the aliases of other hosts, and would miss its bucket.
    #[error("a host that a route names is listed as an alias of no route")]
    AliasOfNamedHost,
}

/// Every resource of a gateway but the leaves, ordered so that whatever is referred to comes before what refers to
/// it: secrets, clusters, filters, routes, listeners.
///
/// # Errors
/// [`GenerateError`], when the plan contradicts itself.
pub fn resources(plan: &GatewayPlan, placement: &Placement) -> Result<Vec<Resource>, GenerateError> {
    check(plan)?;
    let bundle = tls::trust_bundle(plan);
    let mut all = vec![resource(Secret::type_url(), &bundle.name, any::pack(&bundle))];
    for cluster in clusters::clusters(plan) {
        all.push(resource(Cluster::type_url(), &cluster.name, any::pack(&cluster)));
    }
    for (name, filter) in filters::filters(plan, placement)? {
        let body = any::pack(&any::extension(&name, filter));
        all.push(resource(TypedExtensionConfig::type_url(), &name, body));
    }
    for routes in [mitm_routes::routes(plan), proxy_routes::routes(plan)] {
        all.push(resource(RouteConfiguration::type_url(), &routes.name, routes.pack()));
    }
    for (name, listener) in listeners::listeners(plan, placement) {
        all.push(resource(Listener::type_url(), name, listener));
    }
    Ok(all)
}

/// The filter configuration of one bucket, as [`resources`] has it.
///
/// # Errors
/// [`GenerateError`], when the plan has no such bucket.
pub fn bucket(plan: &GatewayPlan, bucket: usize, placement: &Placement) -> Result<Resource, GenerateError> {
    let (name, filter) = filters::of_bucket(plan, bucket, placement)?;
    let body = any::pack(&any::extension(&name, filter));
    Ok(resource(TypedExtensionConfig::type_url(), &name, body))
}

fn resource(type_url: String, name: &str, body: Any) -> Resource {
    Resource { type_url, name: name.to_owned(), body }
}

fn check(plan: &GatewayPlan) -> Result<(), GenerateError> {
    if plan.buckets.len() != BUCKETS {
        return Err(GenerateError::Buckets);
    }
    if plan.hosts.values().any(|host| host.bucket >= BUCKETS) {
        return Err(GenerateError::NoSuchBucket);
    }
    let named = |host: &String| plan.hosts.keys().any(|pattern| pattern.matches(host));
    if plan.open_aliases.keys().any(named) {
        return Err(GenerateError::AliasOfNamedHost);
    }
    Ok(())
}
