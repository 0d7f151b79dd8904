//! The two HTTP connection managers: of the proxy listener, and of the interception chain.
//!
//! Neither adds anything of its own to a request or an answer: no `x-envoy-*`, `x-forwarded-*`, `x-request-id`, and
//! `server` is the upstream's.

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::{HeaderMutation, header_mutation};
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::filters::http::dynamic_forward_proxy::v3 as forward;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::http::set_filter_state::v3 as set_filter_state;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::extensions::http::early_header_mutation::header_mutation::v3 as early;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
use envoy_types::pb::google::protobuf::Any;
use policy::wire::CONNECTION_HEADER;
use prost::Name;

use super::any::{self, ads, boolean, number, pack, seconds};
use super::dns::{self, Cache};
use super::network::crossing;
use super::{access_log, limits, names, refusal, upstream_proxy};
use crate::plan::GatewayPlan;

/// Host and port of a CONNECT target, the host without the brackets of an IPv6 address and with them.
const HOST: &str = r"%CEL(re.extract(request.host, '^\\[?([^\\]]*)\\]?:[0-9]+$', '\\1'))%";
const DIALLED: &str = r"%CEL(re.extract(request.host, '^(.*):[0-9]+$', '\\1'))%";
const PORT: &str = r"%CEL(re.extract(request.host, '^.*:([0-9]+)$', '\\1'))%";

/// The manager of the proxy listener: CONNECT, and plain `http://` requests.
pub(super) fn proxy(plan: &GatewayPlan) -> hcm::HttpConnectionManager {
    hcm::HttpConnectionManager {
        http_filters: proxy_filters(plan),
        upgrade_configs: upgrades("CONNECT"),
        // A CONNECT meets no filter of ours, and Envoy's router takes orders from the former. Nothing here is TLS.
        early_header_mutation_extensions: vec![early(vec![
            remove_matching("x-envoy-"),
            header_mutation::Action::Remove(CONNECTION_HEADER.to_owned()),
        ])],
        // Python below 3.12 sends `CONNECT … HTTP/1.0`.
        http_protocol_options: Some(core::Http1ProtocolOptions { accept_http_10: true, ..http1() }),
        ..base(plan, "proxy", names::PROXY_ROUTES, access_log::proxy())
    }
}

/// The manager of the interception chain.
pub(super) fn mitm(plan: &GatewayPlan) -> hcm::HttpConnectionManager {
    let modules = names::mitm_filters().into_iter().map(|name| module(&name));
    let rest = match &plan.upstream_proxy {
        Some(_) => vec![upstream(upstream_proxy::SECURE), router()],
        None => vec![resolver(plan, Cache::Credentialed), resolver(plan, Cache::Open), router()],
    };
    hcm::HttpConnectionManager {
        http_filters: modules.chain(rest).collect(),
        upgrade_configs: upgrades("websocket"),
        http_protocol_options: Some(http1()),
        early_header_mutation_extensions: vec![early(vec![told_of_connection()])],
        // What the agent writes as `:scheme` decides nothing.
        scheme_header_transformation: Some(core::SchemeHeaderTransformation {
            transformation: Some(core::scheme_header_transformation::Transformation::SchemeToOverwrite(
                "https".to_owned(),
            )),
            ..Default::default()
        }),
        ..base(plan, "mitm", names::MITM_ROUTES, access_log::request())
    }
}

fn base(plan: &GatewayPlan, stat_prefix: &str, routes: &str, log: AccessLog) -> hcm::HttpConnectionManager {
    use hcm::http_connection_manager::{
        PathWithEscapedSlashesAction, RouteSpecifier, ServerHeaderTransformation,
    };
    hcm::HttpConnectionManager {
        stat_prefix: stat_prefix.to_owned(),
        route_specifier: Some(RouteSpecifier::Rds(hcm::Rds {
            config_source: Some(ads()),
            route_config_name: routes.to_owned(),
        })),
        access_log: vec![log],
        local_reply_config: Some(refusal::local_replies()),
        // `name.` and `name` are one host, to the routes and to the upstream.
        strip_trailing_host_dot: true,
        use_remote_address: boolean(false),
        skip_xff_append: true,
        generate_request_id: boolean(false),
        server_header_transformation: ServerHeaderTransformation::PassThrough as i32,
        // Paths reach the filter as they were sent: it refuses what can be read in two ways.
        normalize_path: boolean(false),
        merge_slashes: false,
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::KeepUnchanged as i32,
        // Interim answers of an upstream end here: no filter sees them, so nothing would scrub them.
        proxy_100_continue: false,
        stream_error_on_invalid_http_message: boolean(false),
        max_request_headers_kb: number(limits::HEAD_KIB),
        stream_idle_timeout: any::duration(plan.request_timeout),
        request_timeout: any::duration(limits::upload(plan.request_timeout)),
        request_headers_timeout: seconds(limits::HEAD_TIMEOUT),
        common_http_protocol_options: Some(limits::downstream(plan.request_timeout)),
        http2_protocol_options: Some(limits::downstream_http2()),
        ..Default::default()
    }
}

/// HTTP/1.1 as RFC 9112 has it, and nothing besides: no length beside chunks, no trailers, no method of one's own.
/// A request line with an absolute URL must be understood; its host then counts, as everywhere.
fn http1() -> core::Http1ProtocolOptions {
    core::Http1ProtocolOptions {
        allow_absolute_url: boolean(true),
        override_stream_error_on_invalid_http_message: boolean(false),
        allow_chunked_length: false,
        enable_trailers: false,
        allow_custom_methods: false,
        ..Default::default()
    }
}

/// Changes to a request's head before any route or filter sees it.
fn early(actions: Vec<header_mutation::Action>) -> core::TypedExtensionConfig {
    let mutations = actions.into_iter().map(|action| HeaderMutation { action: Some(action) }).collect();
    let config = early::HeaderMutation { mutations };
    any::extension("envoy.http.early_header_mutation.header_mutation", pack(&config))
}

fn remove_matching(prefix: &str) -> header_mutation::Action {
    let named = matcher::StringMatcher {
        match_pattern: Some(matcher::string_matcher::MatchPattern::Prefix(prefix.to_owned())),
        ignore_case: false,
    };
    header_mutation::Action::RemoveOnMatch(header_mutation::RemoveOnMatch { key_matcher: Some(named) })
}

/// Tells the filter what the connection is about, in place of whatever the agent wrote there. A header comes with the
/// map that the filter reads anyway; asking for the filter state would be a host call of its own.
fn told_of_connection() -> header_mutation::Action {
    let header = core::HeaderValue {
        key: CONNECTION_HEADER.to_owned(),
        value: format!("%FILTER_STATE({}:PLAIN)%", names::CONNECTION),
        ..Default::default()
    };
    header_mutation::Action::Append(core::HeaderValueOption {
        header: Some(header),
        append_action: core::header_value_option::HeaderAppendAction::OverwriteIfExistsOrAdd as i32,
        keep_empty_value: true,
        ..Default::default()
    })
}

/// Facts about the caller that cross into the internal listeners. The agent cannot write filter state.
fn facts() -> hcm::HttpFilter {
    let facts = vec![
        crossing(names::TARGET, "%REQ(:AUTHORITY)%"),
        crossing(names::TARGET_HOST, HOST),
        crossing(names::TARGET_DIALLED, DIALLED),
        crossing(names::TARGET_PORT, PORT),
        crossing(names::PEER, "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ];
    let config = set_filter_state::Config { on_request_headers: facts, ..Default::default() };
    filter("facts", pack(&config))
}

fn proxy_filters(plan: &GatewayPlan) -> Vec<hcm::HttpFilter> {
    let before_upstream = match &plan.upstream_proxy {
        // A CONNECT must not say this already: what it carries says it anew.
        Some(_) => hcm::HttpFilter { disabled: true, ..upstream(upstream_proxy::IN_THE_CLEAR) },
        None => resolver(plan, Cache::Open),
    };
    vec![facts(), module(names::GUARD), before_upstream, router()]
}

/// Says what the operator's proxy is to be asked for.
fn upstream(host_and_port: &str) -> hcm::HttpFilter {
    let facts = vec![crossing(names::UPSTREAM, host_and_port)];
    let config = set_filter_state::Config { on_request_headers: facts, ..Default::default() };
    filter(upstream_proxy::FILTER, pack(&config))
}

/// A filter of the module: off until a virtual host enables it, configured by ECDS. Requests that meet it before its
/// first configuration are answered, never forwarded.
fn module(name: &str) -> hcm::HttpFilter {
    let source = core::ExtensionConfigSource {
        config_source: Some(ads()),
        type_urls: vec![Wasm::type_url()],
        ..Default::default()
    };
    hcm::HttpFilter {
        name: name.to_owned(),
        disabled: true,
        config_type: Some(hcm::http_filter::ConfigType::ConfigDiscovery(source)),
        ..Default::default()
    }
}

fn resolver(plan: &GatewayPlan, cache: Cache) -> hcm::HttpFilter {
    let config = forward::FilterConfig {
        implementation_specifier: Some(forward::filter_config::ImplementationSpecifier::DnsCacheConfig(
            dns::cache(plan, cache),
        )),
        ..Default::default()
    };
    hcm::HttpFilter { disabled: true, ..filter(cache.filter(), pack(&config)) }
}

fn router() -> hcm::HttpFilter {
    filter("router", pack(&Router { suppress_envoy_headers: true, ..Default::default() }))
}

fn filter(name: &str, config: Any) -> hcm::HttpFilter {
    hcm::HttpFilter {
        name: name.to_owned(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}

fn upgrades(kind: &str) -> Vec<hcm::http_connection_manager::UpgradeConfig> {
    vec![hcm::http_connection_manager::UpgradeConfig { upgrade_type: kind.to_owned(), ..Default::default() }]
}
