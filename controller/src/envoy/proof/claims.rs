//! What must hold of every configuration. Each claim adds a line for each breach.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration, VirtualHost};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::extensions::transport_sockets::internal_upstream::v3::InternalUpstreamTransport;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use envoy_types::pb::envoy::extensions::wasm::v3 as wasm;
use envoy_types::pb::google::protobuf::StringValue;
use envoy_types::pb::xds::r#type::matcher::v3 as xds;
use prost::Name;

use super::connection;
use super::reading::{Configuration, enabled, route_cluster, tcp_cluster, tcp_clusters, unpack};
use crate::envoy::names;
use crate::envoy::sni::ServerNameMatcher;
use crate::plan::{DefaultPolicy, GatewayPlan};

/// Everything that is wrong.
pub(crate) fn violations(configuration: &Configuration, plan: &GatewayPlan) -> Vec<String> {
    let mut all = Vec::new();
    for manager in configuration.managers() {
        forwarded_requests_meet_one_filter(configuration, &manager, &mut all);
    }
    untouched_connections_reach_no_credential(configuration, plan, &mut all);
    every_named_host_meets_its_bucket(configuration, plan, &mut all);
    filters_fail_closed(configuration, &mut all);
    no_header_is_added(configuration, &mut all);
    every_name_exists(configuration, &mut all);
    no_name_leads_inside(configuration, &mut all);
    admin_is_not_on_tcp(configuration, &mut all);
    connection::agents_cannot_tell_of_it(configuration, &mut all);
    super::edge::violations(configuration, plan, &mut all);
    all
}

/// Every route to an upstream enables exactly one filter of the module, which the manager has, before its router.
fn forwarded_requests_meet_one_filter(
    configuration: &Configuration,
    manager: &hcm::HttpConnectionManager,
    all: &mut Vec<String>,
) {
    let ours: BTreeSet<&str> = module_filters(manager).collect();
    let last = manager.http_filters.last().map(|filter| filter.name.as_str());
    if last != Some("router") {
        all.push(format!("{}: the router is not last", manager.stat_prefix));
    }
    for (host, route) in routes_of(configuration, manager) {
        let Some(cluster) = route_cluster(route) else { continue };
        if configuration.inward(&cluster).is_some() {
            if !ends_connect(route) {
                all.push(format!("{}: a request goes to `{cluster}`", manager.stat_prefix));
            }
            continue;
        }
        let on: Vec<String> =
            enabled(host, route).into_iter().filter(|name| ours.contains(name.as_str())).collect();
        if on.len() != 1 {
            all.push(format!("{}: a route of `{}` meets {on:?}", manager.stat_prefix, host.name));
        }
    }
}

/// Whether only CONNECT matches: what the tunnel carries is then judged inside.
fn ends_connect(route: &Route) -> bool {
    let path = route.r#match.as_ref().and_then(|what| what.path_specifier.as_ref());
    matches!(path, Some(PathSpecifier::ConnectMatcher(_)))
}

/// The filters that take their configuration from ECDS as Wasm, and are off by default.
fn module_filters(manager: &hcm::HttpConnectionManager) -> impl Iterator<Item = &str> {
    manager.http_filters.iter().filter_map(|filter| match &filter.config_type {
        Some(hcm::http_filter::ConfigType::ConfigDiscovery(source)) => {
            (filter.disabled && source.type_urls == [Wasm::type_url()]).then_some(filter.name.as_str())
        }
        _ => None,
    })
}

fn routes_of<'a>(
    configuration: &'a Configuration,
    manager: &hcm::HttpConnectionManager,
) -> Vec<(&'a VirtualHost, &'a Route)> {
    let hosts =
        route_configuration(configuration, manager).into_iter().flat_map(|routes| &routes.virtual_hosts);
    hosts.flat_map(|host| host.routes.iter().map(move |route| (host, route))).collect()
}

fn route_configuration<'a>(
    configuration: &'a Configuration,
    manager: &hcm::HttpConnectionManager,
) -> Option<&'a RouteConfiguration> {
    match &manager.route_specifier {
        Some(hcm::http_connection_manager::RouteSpecifier::Rds(rds)) => {
            configuration.routes.get(&rds.route_config_name)
        }
        _ => panic!("a manager without RDS"),
    }
}

/// What passes untouched reaches no cluster that a bucket's route uses. Under `deny-all` it has a chain of its own, which
/// the matcher never chooses as a last resort.
fn untouched_connections_reach_no_credential(
    configuration: &Configuration,
    plan: &GatewayPlan,
    all: &mut Vec<String>,
) {
    let managers = configuration.managers();
    let routes = managers.iter().flat_map(|manager| routes_of(configuration, manager));
    let credentialed: BTreeSet<String> = routes
        .filter(|(host, route)| enabled(host, route).iter().any(|name| name.contains("bucket")))
        .filter_map(|(_, route)| route_cluster(route))
        .collect();
    for listener in configuration.listeners.values() {
        for chain in &listener.filter_chains {
            for cluster in tcp_clusters(chain) {
                if configuration.inward(&cluster).is_some() || listener.name == names::UPSTREAM_PROXY {
                    continue;
                }
                let last = listener.filter_chain_matcher.as_ref().and_then(last_resort);
                let unasked = last.is_none_or(|last| last == chain.name) || !chain.name.contains('/');
                if credentialed.contains(&cluster) || plan.default_policy == DefaultPolicy::DenyAll && unasked
                {
                    all.push(format!("bytes pass untouched to `{cluster}`"));
                }
            }
        }
    }
}

/// The chain that a matcher chooses where nothing else fits.
fn last_resort(matcher: &xds::Matcher) -> Option<String> {
    match matcher.on_no_match.as_ref()?.on_match.as_ref()? {
        xds::matcher::on_match::OnMatch::Matcher(inner) => last_resort(inner),
        xds::matcher::on_match::OnMatch::Action(action) => {
            Some(unpack::<StringValue>(action.typed_config.as_ref()?).value)
        }
    }
}

/// The routes of a named host enable its bucket, and only that; no two virtual hosts have one domain.
fn every_named_host_meets_its_bucket(
    configuration: &Configuration,
    plan: &GatewayPlan,
    all: &mut Vec<String>,
) {
    let Some(routes) = configuration.routes.get(names::MITM_ROUTES) else {
        all.push("there are no routes for intercepted requests".to_owned());
        return;
    };
    for (pattern, known) in &plan.hosts {
        let text = pattern.as_regex().trim_start_matches('^').trim_end_matches('$').to_owned();
        let of_host =
            |host: &VirtualHost| pattern.exact().is_some_and(|name| host.domains.iter().any(|d| d == name));
        let found =
            routes.virtual_hosts.iter().flat_map(|host| host.routes.iter().map(move |route| (host, route)));
        let found: Vec<_> = found
            .filter(|(_, route)| route_cluster(route).is_some())
            .filter(|(host, route)| {
                of_host(host)
                    || (pattern.exact().is_none()
                        && format!("{route:?}").contains(&format!("{text:?}").trim_matches('"').to_owned()))
            })
            .collect();
        let bucket = names::bucket(known.bucket);
        let right = |(host, route): &(&VirtualHost, &Route)| {
            enabled(host, route).iter().filter(|name| name.starts_with("light/")).eq([&bucket])
        };
        if found.len() != 2 || !found.iter().all(right) {
            all.push(format!("`{pattern}` does not meet {bucket} alone"));
        }
    }
    let mut domains = BTreeSet::new();
    for domain in routes.virtual_hosts.iter().flat_map(|host| &host.domains) {
        if !domains.insert(domain) {
            all.push(format!("two virtual hosts for `{domain}`"));
        }
    }
}

/// A filter that traps or is missing refuses; its capabilities are listed; its configuration is redacted in dumps.
fn filters_fail_closed(configuration: &Configuration, all: &mut Vec<String>) {
    for (name, filter) in &configuration.filters {
        let plugin = unpack::<Wasm>(filter).config.unwrap_or_default();
        let Some(wasm::plugin_config::Vm::VmConfig(vm)) = &plugin.vm else {
            all.push(format!("{name}: no VM"));
            continue;
        };
        let capabilities = vm.capability_restriction_config.as_ref().map(|c| c.allowed_capabilities.len());
        let redacted =
            plugin.configuration.as_ref().is_some_and(|any| any.type_url == tls::GenericSecret::type_url());
        let keys =
            vm.environment_variables.as_ref().is_some_and(|environment| environment.key_values.is_empty());
        let reloads = plugin.failure_policy == wasm::FailurePolicy::FailReload as i32;
        if !(capabilities > Some(0) && redacted && keys && reloads) {
            all.push(format!("{name}: open when it fails, unrestricted or legible"));
        }
    }
}

/// No header is added but to answers of our own.
fn no_header_is_added(configuration: &Configuration, all: &mut Vec<String>) {
    for routes in configuration.routes.values() {
        let mut adds = routes.request_headers_to_add.len() + routes.response_headers_to_add.len();
        for host in &routes.virtual_hosts {
            adds += host.request_headers_to_add.len() + host.response_headers_to_add.len();
            for route in &host.routes {
                adds += route.request_headers_to_add.len();
                adds += if route_cluster(route).is_some() { route.response_headers_to_add.len() } else { 0 };
            }
        }
        if adds > 0 {
            all.push(format!("{}: headers are added", routes.name));
        }
    }
    for manager in configuration.managers() {
        let silent = manager.skip_xff_append
            && manager.generate_request_id.is_some_and(|on| !on.value)
            && manager.server_header_transformation
                == hcm::http_connection_manager::ServerHeaderTransformation::PassThrough as i32
            && manager.via.is_empty();
        if !silent {
            all.push(format!("{}: Envoy adds headers", manager.stat_prefix));
        }
    }
}

/// Clusters, route configurations, filters, secrets, internal listeners and filter chains that are referred to exist.
fn every_name_exists(configuration: &Configuration, all: &mut Vec<String>) {
    let mut need = |exists: bool, what: String| {
        if !exists {
            all.push(format!("{what} does not exist"));
        }
    };
    for manager in configuration.managers() {
        need(
            route_configuration(configuration, &manager).is_some(),
            format!("the routes of {}", manager.stat_prefix),
        );
        for filter in module_filters(&manager) {
            need(configuration.filters.contains_key(filter), format!("filter `{filter}`"));
        }
        let filters: BTreeSet<&str> =
            manager.http_filters.iter().map(|filter| filter.name.as_str()).collect();
        for (host, route) in routes_of(configuration, &manager) {
            let cluster = route_cluster(route);
            need(
                cluster.iter().all(|c| configuration.clusters.contains_key(c)),
                format!("cluster {cluster:?}"),
            );
            for name in enabled(host, route) {
                need(filters.contains(name.as_str()), format!("`{name}` in {}", manager.stat_prefix));
            }
        }
    }
    for cluster in configuration.tcp_proxies().iter().map(tcp_cluster) {
        need(configuration.clusters.contains_key(&cluster), format!("cluster `{cluster}`"));
    }
    for (name, cluster) in &configuration.clusters {
        let internal = configuration.internal(name);
        need(
            internal.iter().all(|l| configuration.listeners.contains_key(l)),
            format!("listener {internal:?}"),
        );
        if let Some(secret) = cluster.transport_socket.as_ref().and_then(trust_of) {
            need(configuration.secrets.contains_key(&secret), format!("secret `{secret}`"));
        }
    }
    for listener in configuration.listeners.values() {
        let chains: BTreeSet<&str> = listener.filter_chains.iter().map(|chain| chain.name.as_str()).collect();
        for chosen in chosen_chains(listener) {
            need(chains.contains(chosen.as_str()), format!("chain `{chosen}` of {}", listener.name));
        }
    }
}

fn trust_of(socket: &core::TransportSocket) -> Option<String> {
    let Some(core::transport_socket::ConfigType::TypedConfig(config)) = &socket.config_type else {
        return None;
    };
    if config.type_url == InternalUpstreamTransport::type_url() {
        return trust_of(&unpack::<InternalUpstreamTransport>(config).transport_socket?);
    }
    if config.type_url != tls::UpstreamTlsContext::type_url() {
        return None;
    }
    match unpack::<tls::UpstreamTlsContext>(config).common_tls_context?.validation_context_type? {
        tls::common_tls_context::ValidationContextType::ValidationContextSdsSecretConfig(secret) => {
            Some(secret.name)
        }
        other => panic!("a cluster that verifies by something else: {other:?}"),
    }
}

/// Every chain that a listener's matcher can choose.
fn chosen_chains(listener: &Listener) -> Vec<String> {
    let mut chosen = Vec::new();
    listener.filter_chain_matcher.iter().for_each(|matcher| walk(matcher, &mut chosen));
    chosen
}

fn walk(matcher: &xds::Matcher, chosen: &mut Vec<String>) {
    use xds::matcher::matcher_tree::TreeType;
    let on_match: Vec<xds::matcher::OnMatch> = match &matcher.matcher_type {
        Some(xds::matcher::MatcherType::MatcherList(list)) => {
            list.matchers.iter().filter_map(|field| field.on_match.clone()).collect()
        }
        Some(xds::matcher::MatcherType::MatcherTree(tree)) => match &tree.tree_type {
            Some(TreeType::CustomMatch(names)) => {
                let names = unpack::<ServerNameMatcher>(names.typed_config.as_ref().unwrap());
                names.domain_matchers.into_iter().filter_map(|names| names.on_match).collect()
            }
            _ => panic!("a matcher of another kind"),
        },
        None => Vec::new(),
    };
    for on_match in on_match.iter().chain(matcher.on_no_match.as_deref()) {
        match on_match.on_match.as_ref().unwrap() {
            xds::matcher::on_match::OnMatch::Matcher(inner) => walk(inner, chosen),
            xds::matcher::on_match::OnMatch::Action(action) => {
                chosen.push(unpack::<StringValue>(action.typed_config.as_ref().unwrap()).value);
            }
        }
    }
}

/// Every use of a DNS cache has the private-address guard, and all uses of one name are equal (Envoy refuses else).
fn no_name_leads_inside(configuration: &Configuration, all: &mut Vec<String>) {
    let mut caches = BTreeMap::new();
    for cache in configuration.dns_caches() {
        let guarded =
            cache.resolved_address_filter.as_ref().is_some_and(|f| !f.ranges.is_empty() && !f.invert_match);
        if !guarded || caches.entry(cache.name.clone()).or_insert_with(|| cache.clone()) != &cache {
            all.push(format!("DNS cache `{}` is unguarded or ambiguous", cache.name));
        }
    }
}

fn admin_is_not_on_tcp(configuration: &Configuration, all: &mut Vec<String>) {
    let pipe = configuration.bootstrap.pointer("/admin/address/pipe/path").is_some();
    if !pipe || configuration.bootstrap.to_string().contains("socket_address") {
        all.push("the bootstrap has an address on TCP, or no admin socket".to_owned());
    }
}
