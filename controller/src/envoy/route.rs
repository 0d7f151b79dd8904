//! Building blocks of route configurations.
//!
//! The messages here have the fields of Envoy's own that we use, with ordered maps: a virtual host that enables two
//! filters would else be written in random order, and equal plans must give equal bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
use envoy_types::pb::google::protobuf::{Any, BoolValue, UInt64Value};
use prost::Message;

use super::any::{self, boolean, number, seconds};
use super::refusal::Refusal;
use crate::plan::DenyResponse;

/// How long a tunnel may stay open without a byte.
const TUNNEL_IDLE: Duration = Duration::from_hours(1);

/// `envoy.config.route.v3.RouteConfiguration`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RouteConfiguration {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) virtual_hosts: Vec<VirtualHost>,
    #[prost(string, repeated, tag = "5")]
    pub(super) response_headers_to_remove: Vec<String>,
    #[prost(string, repeated, tag = "8")]
    pub(super) request_headers_to_remove: Vec<String>,
    #[prost(message, optional, tag = "7")]
    pub(super) validate_clusters: Option<BoolValue>,
    #[prost(bool, tag = "14")]
    pub(super) ignore_port_in_host_matching: bool,
}

/// `envoy.config.route.v3.VirtualHost`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct VirtualHost {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) domains: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    pub(super) routes: Vec<Route>,
    #[prost(btree_map = "string, message", tag = "15")]
    pub(super) typed_per_filter_config: BTreeMap<String, Any>,
    #[prost(message, optional, tag = "25")]
    pub(super) request_body_buffer_limit: Option<UInt64Value>,
}

/// `envoy.config.route.v3.Route`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Route {
    #[prost(message, optional, tag = "1")]
    pub(super) r#match: Option<route::RouteMatch>,
    #[prost(message, optional, tag = "2")]
    pub(super) route: Option<route::RouteAction>,
    #[prost(message, optional, tag = "7")]
    pub(super) direct_response: Option<route::DirectResponseAction>,
    #[prost(message, repeated, tag = "10")]
    pub(super) response_headers_to_add: Vec<core::HeaderValueOption>,
    #[prost(btree_map = "string, message", tag = "13")]
    pub(super) typed_per_filter_config: BTreeMap<String, Any>,
    #[prost(message, optional, tag = "20")]
    pub(super) request_body_buffer_limit: Option<UInt64Value>,
}

impl RouteConfiguration {
    /// The resource. Hosts match with any port: whoever cares about ports says so. `alt-svc` is removed from every
    /// response: it would lead the agent past the gateway. `x-forwarded-proto` is Envoy's own, which no option turns
    /// off; the other is what our listener tells our filter.
    pub(super) fn new(name: &str, virtual_hosts: Vec<VirtualHost>) -> Self {
        RouteConfiguration {
            name: name.to_owned(),
            virtual_hosts,
            response_headers_to_remove: vec!["alt-svc".to_owned()],
            request_headers_to_remove: vec![
                "x-forwarded-proto".to_owned(),
                policy::wire::CONNECTION_HEADER.to_owned(),
            ],
            // Clusters come before their routes, and a withdrawn one answers 503 instead of refusing the update.
            validate_clusters: boolean(false),
            ignore_port_in_host_matching: true,
        }
    }

    pub(super) fn pack(&self) -> Any {
        Any {
            type_url: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration".to_owned(),
            value: self.encode_to_vec(),
        }
    }
}

impl VirtualHost {
    /// Some hosts by name.
    pub(super) fn of(name: &str, hosts: &[&str], routes: Vec<Route>) -> Self {
        VirtualHost {
            name: name.to_owned(),
            domains: hosts.iter().map(|host| (*host).to_owned()).collect(),
            routes,
            ..Default::default()
        }
    }

    /// Every host that no other virtual host names.
    pub(super) fn rest(routes: Vec<Route>) -> Self {
        VirtualHost { name: "*".to_owned(), domains: vec!["*".to_owned()], routes, ..Default::default() }
    }

    /// Enables filters for every route.
    pub(super) fn enabling<'a>(mut self, filters: impl IntoIterator<Item = &'a str>) -> Self {
        self.typed_per_filter_config = enabled(filters);
        self
    }

    /// Lets filters hold back as much of a request's body.
    pub(super) fn holding(mut self, bytes: Option<u64>) -> Self {
        self.request_body_buffer_limit = bytes.map(|value| UInt64Value { value });
        self
    }
}

impl Route {
    /// Sends what matches to a cluster.
    pub(super) fn to(what: route::RouteMatch, action: route::RouteAction) -> Self {
        Route { r#match: Some(what), route: Some(action), ..Default::default() }
    }

    /// Answers what matches.
    pub(super) fn refuse(what: route::RouteMatch, refusal: Refusal) -> Self {
        Route {
            r#match: Some(what),
            direct_response: Some(refusal.direct_response()),
            response_headers_to_add: refusal.headers(),
            ..Default::default()
        }
    }

    /// Answers what an EgressDenyPolicy denies.
    pub(super) fn deny(what: route::RouteMatch, response: &DenyResponse) -> Self {
        Route {
            direct_response: Some(Refusal::worded(response)),
            ..Route::refuse(what, Refusal::DeniedByPolicy)
        }
    }

    /// Turns a filter off that the virtual host enables.
    pub(super) fn without(mut self, filter: &str) -> Self {
        let off = route::FilterConfig { config: Some(Any::default()), disabled: true, ..Default::default() };
        self.typed_per_filter_config.insert(filter.to_owned(), any::pack(&off));
        self
    }

    /// Enables filters for this route.
    pub(super) fn enabling<'a>(mut self, filters: impl IntoIterator<Item = &'a str>) -> Self {
        self.typed_per_filter_config = enabled(filters);
        self
    }

    /// Lets filters hold back as much of a request's body.
    pub(super) fn holding(mut self, bytes: Option<u64>) -> Self {
        self.request_body_buffer_limit = bytes.map(|value| UInt64Value { value });
        self
    }
}

/// Every request but CONNECT.
pub(super) fn requests() -> route::RouteMatch {
    route::RouteMatch {
        path_specifier: Some(route::route_match::PathSpecifier::Prefix("/".to_owned())),
        ..Default::default()
    }
}

/// CONNECT.
pub(super) fn connects() -> route::RouteMatch {
    route::RouteMatch {
        path_specifier: Some(route::route_match::PathSpecifier::ConnectMatcher(
            route::route_match::ConnectMatcher {},
        )),
        ..Default::default()
    }
}

/// Only what also has an authority that the expression matches.
pub(super) fn with_authority(mut what: route::RouteMatch, expression: &str) -> route::RouteMatch {
    what.headers.push(authority(expression));
    what
}

/// Only what also has an authority that the expression does not match.
pub(super) fn without_authority(mut what: route::RouteMatch, expression: &str) -> route::RouteMatch {
    what.headers.push(route::HeaderMatcher { invert_match: true, ..authority(expression) });
    what
}

/// Only WebSocket upgrades.
pub(super) fn websocket(mut what: route::RouteMatch) -> route::RouteMatch {
    what.headers.push(route::HeaderMatcher {
        name: "upgrade".to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(matcher::StringMatcher {
            ignore_case: true,
            match_pattern: Some(matcher::string_matcher::MatchPattern::Exact("websocket".to_owned())),
        })),
        ..Default::default()
    });
    what
}

/// Forwards requests: no limit on the length of an answer, one on silence, and one more attempt where the upstream
/// has certainly not begun with the first.
pub(super) fn forward(cluster: &str, silence: Duration) -> route::RouteAction {
    let retry = route::RetryPolicy {
        retry_on: "reset-before-request,connect-failure,refused-stream".to_owned(),
        num_retries: number(1),
        ..Default::default()
    };
    route::RouteAction { retry_policy: Some(retry), ..bare(cluster, silence) }
}

/// Forwards WebSocket upgrades.
pub(super) fn upgrade(cluster: &str, silence: Duration) -> route::RouteAction {
    let websocket =
        route::route_action::UpgradeConfig { upgrade_type: "websocket".to_owned(), ..Default::default() };
    route::RouteAction { upgrade_configs: vec![websocket], ..bare(cluster, silence) }
}

/// Ends CONNECT here and passes the bytes inside on. What is silent inside is for those who can see it: a tunnel
/// outlives the silence of a request, so that the answer which ends that request still comes through.
pub(super) fn end_connect(cluster: &str, silence: Duration) -> route::RouteAction {
    let connect = route::route_action::UpgradeConfig {
        upgrade_type: "CONNECT".to_owned(),
        connect_config: Some(route::route_action::upgrade_config::ConnectConfig::default()),
        ..Default::default()
    };
    route::RouteAction { upgrade_configs: vec![connect], ..bare(cluster, TUNNEL_IDLE.max(silence * 2)) }
}

fn bare(cluster: &str, silence: Duration) -> route::RouteAction {
    route::RouteAction {
        timeout: seconds(0),
        idle_timeout: any::duration(silence),
        cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(cluster.to_owned())),
        ..Default::default()
    }
}

fn authority(expression: &str) -> route::HeaderMatcher {
    route::HeaderMatcher {
        name: ":authority".to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(any::regex(expression))),
        ..Default::default()
    }
}

fn enabled<'a>(filters: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Any> {
    filters.into_iter().map(|name| (name.to_owned(), enable())).collect()
}

/// The empty `Any` enables a filter that is off by default; any message in it would be read as its configuration.
fn enable() -> Any {
    any::pack(&route::FilterConfig { config: Some(Any::default()), ..Default::default() })
}
