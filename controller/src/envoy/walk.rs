//! What Envoy decides around the filter, read from the very configuration that it is sent: which listener, filter chain
//! and route a connection or a request comes to.
//!
//! It knows the few forms of matching that are generated here, and gives up on any other: a wrong explanation is worse
//! than none. What only shows on the network (DNS, the upstream's certificate) is not looked at.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3 as tcp_proxy;
use envoy_types::pb::envoy::extensions::matching::common_inputs::network::v3 as inputs;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
use envoy_types::pb::google::protobuf::{Any, StringValue};
use envoy_types::pb::xds::core::v3::TypedExtensionConfig;
use envoy_types::pb::xds::r#type::matcher::v3 as xds;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::{Predicate, predicate};
use prost::{Message, Name};
use regex::Regex;

use super::sni::ServerNameMatcher;
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
        let name = chosen(matcher, &connection)?.ok_or(Unknown("a connection without a filter chain"))?;
        let chain = listener.filter_chains.iter().find(|chain| chain.name == name);
        self.end_of(chain.ok_or(Unknown("a filter chain that is not there"))?)
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
        match decode::<tcp_proxy::TcpProxy>(config(proxy)?)?.cluster_specifier {
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
        let host = virtual_host(routes, request.authority)?;
        for route in &host.routes {
            if matches(route.r#match.as_ref(), &request)? {
                let own = route.typed_per_filter_config.keys();
                let mut enabled = own.chain(host.typed_per_filter_config.keys());
                let of_module = names::mitm_filters();
                let filter = enabled.find(|name| of_module.contains(name)).cloned();
                return Ok(Routed { filter, outcome: outcome(route)? });
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

/// By name, else the one for the rest; with any port.
fn virtual_host<'a>(
    routes: &'a route::RouteConfiguration,
    authority: &str,
) -> Result<&'a route::VirtualHost, WalkError> {
    let name = without_port(authority).to_ascii_lowercase();
    let is_known = |domain: &&String| *domain == "*" || !domain.contains('*');
    if !routes.virtual_hosts.iter().flat_map(|host| &host.domains).all(|domain| is_known(&domain)) {
        return Err(Unknown("a virtual host by a pattern"));
    }
    let of = |name: &str| routes.virtual_hosts.iter().find(|host| host.domains.iter().any(|it| it == name));
    of(&name).or_else(|| of("*")).ok_or(Unknown("no virtual host for the rest"))
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn matches(what: Option<&route::RouteMatch>, request: &Request<'_>) -> Result<bool, WalkError> {
    let what = what.ok_or(Unknown("a route without a match"))?;
    let known = route::RouteMatch {
        path_specifier: what.path_specifier.clone(),
        headers: what.headers.clone(),
        ..Default::default()
    };
    if known != *what {
        return Err(Unknown("a route that matches by more than path and headers"));
    }
    let of_kind = match &what.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) if prefix == "/" => !request.connect,
        Some(PathSpecifier::ConnectMatcher(_)) => request.connect,
        _ => return Err(Unknown("a route by path")),
    };
    for header in &what.headers {
        if !of_kind || !header_matches(header, request)? {
            return Ok(false);
        }
    }
    Ok(of_kind)
}

fn header_matches(header: &route::HeaderMatcher, request: &Request<'_>) -> Result<bool, WalkError> {
    let value = match header.name.as_str() {
        ":authority" => Some(request.authority),
        "upgrade" => request.upgrade,
        _ => return Err(Unknown("a route by another header")),
    };
    let Some(HeaderMatchSpecifier::StringMatch(text)) = &header.header_match_specifier else {
        return Err(Unknown("a route by a header's presence"));
    };
    // Envoy: what is absent matches nothing, inverted or not.
    let Some(value) = value else { return Ok(false) };
    let matched = match &text.match_pattern {
        Some(matcher::string_matcher::MatchPattern::Exact(exact)) if text.ignore_case => {
            value.eq_ignore_ascii_case(exact)
        }
        Some(matcher::string_matcher::MatchPattern::Exact(exact)) => value == exact,
        Some(matcher::string_matcher::MatchPattern::SafeRegex(regex)) => in_full(&regex.regex, value)?,
        _ => return Err(Unknown("a route by part of a header")),
    };
    Ok(matched != header.invert_match)
}

/// As Envoy matches expressions: the whole text.
fn in_full(expression: &str, text: &str) -> Result<bool, WalkError> {
    let expression = Regex::new(&format!(r"\A(?:{expression})\z"));
    Ok(expression.map_err(|_| Unknown("an expression that does not compile"))?.is_match(text))
}

fn outcome(route: &route::Route) -> Result<Outcome, WalkError> {
    match &route.action {
        Some(route::route::Action::DirectResponse(answer)) => {
            let headers = route.response_headers_to_add.iter().filter_map(|option| option.header.as_ref());
            let reason =
                |header: &core::HeaderValue| (header.key == "x-keyward-reason").then(|| header.value.clone());
            let reason = headers.filter_map(reason).next().ok_or(Unknown("a refusal without a reason"))?;
            Ok(Outcome::Refused { status: answer.status, reason })
        }
        Some(route::route::Action::Route(action)) => match &action.cluster_specifier {
            Some(route::route_action::ClusterSpecifier::Cluster(name)) => Ok(Outcome::Cluster(name.clone())),
            _ => Err(Unknown("a route to more than one cluster")),
        },
        _ => Err(Unknown("a route that neither forwards nor answers")),
    }
}

/// The filter chain that a matcher chooses.
fn chosen(matcher: &xds::Matcher, connection: &Connection<'_>) -> Result<Option<String>, WalkError> {
    use xds::matcher::{MatcherType, matcher_tree::TreeType};
    let on_match = match &matcher.matcher_type {
        Some(MatcherType::MatcherList(list)) => {
            let mut found = None;
            for rule in &list.matchers {
                let predicate = rule.predicate.as_ref().ok_or(Unknown("a rule without a condition"))?;
                if holds(predicate, connection)? {
                    found = rule.on_match.as_ref();
                    break;
                }
            }
            found
        }
        Some(MatcherType::MatcherTree(tree)) => match &tree.tree_type {
            Some(TreeType::CustomMatch(custom)) => return by_name(custom, matcher, connection),
            _ => return Err(Unknown("a choice by another tree")),
        },
        None => None,
    };
    follow(on_match.or(matcher.on_no_match.as_deref()), connection)
}

fn by_name(
    custom: &TypedExtensionConfig,
    matcher: &xds::Matcher,
    connection: &Connection<'_>,
) -> Result<Option<String>, WalkError> {
    let config = custom.typed_config.as_ref().ok_or(Unknown("an empty list of names"))?;
    let names: ServerNameMatcher = decode(config)?;
    let domains = || names.domain_matchers.iter().flat_map(|matcher| &matcher.domains);
    if config.type_url != ServerNameMatcher::type_url() || domains().any(|domain| domain.contains('*')) {
        return Err(Unknown("a choice by a pattern of names"));
    }
    let named = |domains: &[String]| connection.sni.is_some_and(|sni| domains.iter().any(|it| it == sni));
    let found = names.domain_matchers.iter().find(|matcher| named(&matcher.domains));
    follow(found.and_then(|it| it.on_match.as_ref()).or(matcher.on_no_match.as_deref()), connection)
}

fn follow(
    on_match: Option<&xds::matcher::OnMatch>,
    connection: &Connection<'_>,
) -> Result<Option<String>, WalkError> {
    use xds::matcher::on_match::OnMatch;
    match on_match.and_then(|on_match| on_match.on_match.as_ref()) {
        None => Ok(None),
        Some(OnMatch::Matcher(matcher)) => chosen(matcher, connection),
        Some(OnMatch::Action(action)) => {
            let name = action.typed_config.as_ref().ok_or(Unknown("a choice without a name"))?;
            Ok(Some(decode::<StringValue>(name)?.value))
        }
    }
}

fn holds(predicate: &Predicate, connection: &Connection<'_>) -> Result<bool, WalkError> {
    match predicate.match_type.as_ref().ok_or(Unknown("an empty condition"))? {
        predicate::MatchType::AndMatcher(list) => {
            for predicate in &list.predicate {
                if !holds(predicate, connection)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        predicate::MatchType::OrMatcher(list) => {
            for predicate in &list.predicate {
                if holds(predicate, connection)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        predicate::MatchType::NotMatcher(predicate) => Ok(!holds(predicate, connection)?),
        predicate::MatchType::SinglePredicate(single) => single_holds(single, connection),
    }
}

fn single_holds(single: &predicate::SinglePredicate, connection: &Connection<'_>) -> Result<bool, WalkError> {
    let input = single.input.as_ref().and_then(|input| input.typed_config.as_ref());
    let value = input_of(input.ok_or(Unknown("a condition on nothing"))?, connection)?;
    let Some(predicate::single_predicate::Matcher::ValueMatch(text)) = &single.matcher else {
        return Err(Unknown("a condition of another kind"));
    };
    let Some(xds::string_matcher::MatchPattern::SafeRegex(regex)) = &text.match_pattern else {
        return Err(Unknown("a condition that is no expression"));
    };
    // What is absent matches nothing.
    value.map_or(Ok(false), |value| in_full(&regex.regex, value))
}

fn input_of<'a>(input: &Any, connection: &Connection<'a>) -> Result<Option<&'a str>, WalkError> {
    if input.type_url == inputs::ServerNameInput::type_url() {
        Ok(connection.sni)
    } else if input.type_url == inputs::ApplicationProtocolInput::type_url() {
        Ok(Some(ALPN))
    } else if input.type_url == inputs::TransportProtocolInput::type_url() {
        Ok(Some("tls"))
    } else if input.type_url == inputs::FilterStateInput::type_url() {
        match decode::<inputs::FilterStateInput>(input)?.key.as_str() {
            names::TARGET => Ok(connection.target),
            names::TARGET_HOST => {
                Ok(connection.target.and_then(|target| target.rsplit_once(':')).map(|it| it.0))
            }
            names::TARGET_PORT => {
                Ok(connection.target.and_then(|target| target.rsplit_once(':')).map(|it| it.1))
            }
            _ => Err(Unknown("a condition on another fact")),
        }
    } else {
        Err(Unknown("a condition on something else"))
    }
}
