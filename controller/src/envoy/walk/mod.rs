//! What Envoy decides around the filter, read from the very configuration that it is sent: which listener, filter chain
//! and route a connection or a request comes to.
//!
//! It knows the few forms of matching that are generated here, and gives up on any other: a wrong explanation is worse
//! than none. What only shows on the network (DNS, the upstream's certificate) is not looked at.

mod admission;
mod chains;
mod routes;

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3 as tcp_proxy;
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};
use regex::Regex;

use super::{GenerateError, Placement, Resource, names, resources};
use crate::plan::GatewayPlan;

/// A gateway's listeners and routes.
pub(crate) struct Configuration {
    routes: BTreeMap<String, route::RouteConfiguration>,
    listeners: BTreeMap<String, Listener>,
}

/// Why it cannot be told what Envoy would do. A fault of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WalkError {
    /// There is no configuration.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// It holds something that this reader does not know.
    #[error("the configuration holds {0}, which cannot be explained; ask a running gateway")]
    Unknown(&'static str),
}

use WalkError::Unknown;

/// A connection, as an inspecting listener sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connection<'a> {
    /// `None`: the client sends none.
    pub(crate) sni: Option<&'a str>,
    /// The CONNECT target; `None` on the transparent port.
    pub(crate) target: Option<&'a str>,
}

/// What clients of HTTP offer, as Envoy writes a list.
const ALPN: &str = "'h2','http/1.1'";

/// A request, as far as routes look at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) connect: bool,
    /// As the client writes it.
    pub(crate) authority: &'a str,
    /// The header `upgrade`.
    pub(crate) upgrade: Option<&'a str>,
}

/// Where a connection comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is closed.
    Closed,
    /// It is closed because its server name is not that of its target.
    Misnamed,
    /// It goes on in this listener.
    Listener(String),
    /// Its bytes pass untouched.
    Untouched,
}

/// Where a request comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Routed {
    /// The filter of the module that it meets first.
    pub(crate) filter: Option<String>,
    pub(crate) outcome: Outcome,
}

/// What its route says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is answered.
    Refused {
        status: u32,
        /// The value of `x-keyward-reason`.
        reason: String,
    },
    /// It goes to this cluster.
    Cluster(String),
}

impl Configuration {
    /// The configuration of a plan.
    pub(crate) fn of(plan: &GatewayPlan) -> Result<Self, WalkError> {
        let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let placement = Placement {
            proxy: anywhere,
            transparent: Some(anywhere),
            module: "keyward.wasm".into(),
            epoch: 0,
        };
        let mut read = Configuration { routes: BTreeMap::new(), listeners: BTreeMap::new() };
        for Resource { type_url, name, body } in resources(plan, &placement)? {
            if type_url == route::RouteConfiguration::type_url() {
                read.routes.insert(name, decode(&body)?);
            } else if type_url == Listener::type_url() {
                read.listeners.insert(name, decode(&body)?);
            }
        }
        Ok(read)
    }

    /// Where a connection comes to at a listener.
    pub(crate) fn connect(&self, listener: &str, connection: Connection<'_>) -> Result<End, WalkError> {
        let listener = self.listeners.get(listener).ok_or(Unknown("a listener that is not there"))?;
        let matcher = listener.filter_chain_matcher.as_ref().ok_or(Unknown("a listener without a choice"))?;
        let name =
            chains::chosen(matcher, &connection)?.ok_or(Unknown("a connection without a filter chain"))?;
        let chain = listener.filter_chains.iter().find(|chain| chain.name == name);
        let chain = chain.ok_or(Unknown("a filter chain that is not there"))?;
        match admission::admits(chain, &connection)? {
            true => self.end_of(chain),
            false => Ok(End::Misnamed),
        }
    }

    /// A cluster that is a listener of the same Envoy has its name.
    pub(crate) fn is_listener(&self, cluster: &str) -> bool {
        self.listeners.contains_key(cluster)
    }

    fn end_of(&self, chain: &FilterChain) -> Result<End, WalkError> {
        if chain.transport_socket.is_some() {
            return Ok(End::Listener(names::MITM.to_owned()));
        }
        let proxy = chain.filters.iter().find(|filter| filter.name.ends_with(".tcp_proxy"));
        let Some(proxy) = proxy else { return Ok(End::Closed) };
        let proxy: tcp_proxy::TcpProxy = decode(config(proxy)?)?;
        match proxy.cluster_specifier {
            // The cluster is that of the operator's proxy, and has the name of the listener that leads to it.
            Some(_) if proxy.tunneling_config.is_some() => Ok(End::Untouched),
            Some(tcp_proxy::tcp_proxy::ClusterSpecifier::Cluster(name)) if self.is_listener(&name) => {
                Ok(End::Listener(name))
            }
            Some(tcp_proxy::tcp_proxy::ClusterSpecifier::Cluster(_)) => Ok(End::Untouched),
            _ => Err(Unknown("a proxy without a cluster")),
        }
    }

    /// Where a request comes to in a route configuration.
    pub(crate) fn route(&self, routes: &str, request: Request<'_>) -> Result<Routed, WalkError> {
        let routes = self.routes.get(routes).ok_or(Unknown("routes that are not there"))?;
        let host = routes::virtual_host(routes, request.authority)?;
        for route in &host.routes {
            if routes::matches(route.r#match.as_ref(), &request)? {
                let own = route.typed_per_filter_config.keys();
                let mut enabled = own.chain(host.typed_per_filter_config.keys());
                let of_module = names::mitm_filters();
                let filter = enabled.find(|name| of_module.contains(name)).cloned();
                return Ok(Routed { filter, outcome: routes::outcome(route)? });
            }
        }
        Err(Unknown("a request without a route"))
    }
}

fn decode<M: Message + Default>(any: &Any) -> Result<M, WalkError> {
    M::decode(any.value.as_slice()).map_err(|_| Unknown("a message that does not decode"))
}

fn config(filter: &Filter) -> Result<&Any, WalkError> {
    match &filter.config_type {
        Some(filter::ConfigType::TypedConfig(config)) => Ok(config),
        _ => Err(Unknown("a filter without a configuration")),
    }
}

/// As Envoy matches expressions: the whole text.
fn in_full(expression: &str, text: &str) -> Result<bool, WalkError> {
    let expression = Regex::new(&format!(r"\A(?:{expression})\z"));
    Ok(expression.map_err(|_| Unknown("an expression that does not compile"))?.is_match(text))
}

/// What a filter state holds for a connection: `None` where nothing was written.
fn state<'a>(key: &str, connection: &Connection<'a>) -> Result<Option<&'a str>, WalkError> {
    let target = connection.target.and_then(|target| target.rsplit_once(':'));
    match key {
        names::SNI => Ok(connection.sni),
        names::TARGET => Ok(connection.target),
        names::TARGET_HOST => Ok(target.map(|(host, _)| host.trim_matches(['[', ']']))),
        names::TARGET_PORT => Ok(target.map(|(_, port)| port)),
        _ => Err(Unknown("a condition on another fact")),
    }
}
