//! A proof that cannot fail is no proof: each change here makes the configuration unsafe, and must be found.

use envoy_types::pb::envoy::config::core::v3::HeaderValueOption;
use envoy_types::pb::envoy::config::listener::v3::{Filter, filter};
use envoy_types::pb::envoy::config::route::v3::{FilterConfig, VirtualHost};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy};
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};

use super::cases::{configuration, fullest};
use super::reading::{network_config, unpack};
use super::{Configuration, violations};
use crate::envoy::{any, names};

/// Changes the fullest configuration and expects a violation that says `expected`.
fn check(change: impl Fn(&mut Configuration), expected: &str) {
    let plan = fullest();
    let mut changed = configuration(&plan);
    assert!(violations(&changed, &plan).is_empty());
    change(&mut changed);
    let found = violations(&changed, &plan);
    assert!(
        found.iter().any(|violation| violation.contains(expected)),
        "expected `{expected}`, found {found:#?}"
    );
}

fn virtual_host<'a>(configuration: &'a mut Configuration, routes: &str, name: &str) -> &'a mut VirtualHost {
    let routes = configuration.routes.get_mut(routes).unwrap();
    routes.virtual_hosts.iter_mut().find(|host| host.name == name).unwrap()
}

fn network_filter<'a>(
    configuration: &'a mut Configuration,
    listener: &str,
    chain: &str,
    suffix: &str,
) -> &'a mut Filter {
    let listener = configuration.listeners.get_mut(listener).unwrap();
    let chain = listener.filter_chains.iter_mut().find(|c| c.name == chain).unwrap();
    chain.filters.iter_mut().find(|filter| filter.name.ends_with(suffix)).unwrap()
}

fn rewrite<M: Message + Name + Default>(filter: &mut Filter, change: impl Fn(&mut M)) {
    let mut config: M = unpack(network_config(filter));
    change(&mut config);
    filter.config_type = Some(filter::ConfigType::TypedConfig(any::pack(&config)));
}

fn manager(configuration: &mut Configuration, change: impl Fn(&mut hcm::HttpConnectionManager)) {
    rewrite(network_filter(configuration, names::MITM, "intercepting", "http_connection_manager"), change);
}

#[test]
fn a_filter_taken_off_a_virtual_host_is_found() {
    check(
        |c| {
            drop(
                virtual_host(c, names::MITM_ROUTES, "light/bucket-03")
                    .typed_per_filter_config
                    .remove("light/bucket-03"),
            )
        },
        "meets []",
    );
}

#[test]
fn a_filter_taken_off_any_single_route_is_found() {
    for routes in [names::MITM_ROUTES, names::PROXY_ROUTES] {
        let all = configuration(&fullest()).routes[routes].virtual_hosts.last().unwrap().routes.clone();
        for (index, route) in all.iter().enumerate() {
            if super::reading::route_cluster(route).is_some() && !route.typed_per_filter_config.is_empty() {
                let off = |c: &mut Configuration| {
                    virtual_host(c, routes, "*").routes[index].typed_per_filter_config.clear()
                };
                check(off, "meets []");
            }
        }
    }
}

#[test]
fn a_filter_that_a_route_turns_off_again_is_found() {
    let off = any::pack(&FilterConfig { config: Some(Any::default()), disabled: true, ..Default::default() });
    let change = |c: &mut Configuration| {
        let host = virtual_host(c, names::MITM_ROUTES, "light/bucket-03");
        host.routes[1].typed_per_filter_config.insert("light/bucket-03".to_owned(), off.clone());
    };
    check(change, "meets []");
}

#[test]
fn a_second_bucket_and_a_wrong_one_are_found() {
    let add = |name: &'static str| {
        move |c: &mut Configuration| {
            let host = virtual_host(c, names::MITM_ROUTES, "light/bucket-03");
            let on = host.typed_per_filter_config["light/bucket-03"].clone();
            host.typed_per_filter_config.insert(name.to_owned(), on);
        }
    };
    check(add("light/bucket-04"), "does not meet light/bucket-03 alone");
    check(add(names::GUARD), "does not meet light/bucket-03 alone");
    check(add("light/bucket-99"), "`light/bucket-99` in mitm does not exist");
}

#[test]
fn a_manager_without_a_filter_that_its_routes_enable_is_found() {
    let without =
        |c: &mut Configuration| manager(c, |m| m.http_filters.retain(|f| f.name != "light/bucket-03"));
    check(without, "`light/bucket-03` in mitm does not exist");
    check(|c| manager(c, |m| m.http_filters.rotate_right(1)), "the router is not last");
    check(|c| drop(c.filters.remove("light/guard")), "filter `light/guard` does not exist");
}

#[test]
fn untouched_bytes_to_a_credentialed_cluster_are_found() {
    let to = |cluster: &'static str| {
        move |c: &mut Configuration| {
            let filter = network_filter(c, names::TUNNEL, "passthrough", "tcp_proxy");
            rewrite(filter, |proxy: &mut TcpProxy| {
                proxy.cluster_specifier = Some(tcp_proxy::ClusterSpecifier::Cluster(cluster.to_owned()));
            });
        }
    };
    check(to(names::CREDENTIALED), "bytes pass untouched to `credentialed`");
    check(to("alias/llm.internal"), "bytes pass untouched to `alias/llm.internal`");
    check(to("nowhere"), "cluster `nowhere` does not exist");
}

#[test]
fn a_request_that_loops_into_a_tunnel_is_found() {
    use envoy_types::pb::envoy::config::route::v3::{route, route_action};
    let change = |c: &mut Configuration| {
        let route = &mut virtual_host(c, names::MITM_ROUTES, "light/bucket-03").routes[1];
        let Some(route::Action::Route(action)) = &mut route.action else { panic!("a route that forwards") };
        action.cluster_specifier = Some(route_action::ClusterSpecifier::Cluster(names::TUNNEL.to_owned()));
    };
    check(change, "a request goes to `tunnel`");
}

#[test]
fn an_added_header_is_found() {
    let header = || vec![HeaderValueOption::default()];
    check(
        |c| virtual_host(c, names::MITM_ROUTES, "*").request_headers_to_add = header(),
        "headers are added",
    );
    check(
        |c| {
            virtual_host(c, names::MITM_ROUTES, "light/bucket-03").routes[0].response_headers_to_add =
                header()
        },
        "headers are added",
    );
    check(|c| manager(c, |m| m.skip_xff_append = false), "Envoy adds headers");
    check(|c| manager(c, |m| m.generate_request_id = None), "Envoy adds headers");
}

#[test]
fn a_connection_that_an_agent_could_describe_is_found() {
    let untold = |m: &mut hcm::HttpConnectionManager| m.early_header_mutation_extensions.clear();
    check(|c| manager(c, untold), "mitm: an agent can write x-keyward-connection");
    let proxy = |c: &mut Configuration| {
        rewrite(network_filter(c, names::PROXY_LISTENER, "proxy", "http_connection_manager"), untold);
    };
    check(proxy, "proxy: an agent can write x-keyward-connection");
    let kept = |c: &mut Configuration| {
        c.routes.get_mut(names::MITM_ROUTES).unwrap().request_headers_to_remove.pop();
    };
    check(kept, "x-keyward-connection goes upstream");
}

#[test]
fn a_missing_name_is_found() {
    check(|c| drop(c.clusters.remove(names::OPEN)), "does not exist");
    check(|c| drop(c.secrets.remove(names::TRUST_BUNDLE)), "secret `upstream/trust-bundle` does not exist");
    check(|c| drop(c.listeners.remove(names::TUNNEL)), "listener Some(\"tunnel\") does not exist");
    check(|c| drop(c.routes.remove(names::PROXY_ROUTES)), "the routes of proxy does not exist");
    let unnamed = |c: &mut Configuration| {
        c.listeners
            .get_mut(names::TRANSPARENT_LISTENER)
            .unwrap()
            .filter_chains
            .retain(|chain| chain.name != "refused");
    };
    check(unnamed, "chain `refused` of transparent does not exist");
}

#[test]
fn a_dns_cache_without_its_guard_is_found() {
    let open = |c: &mut Configuration| {
        let filter = network_filter(c, names::TUNNEL, "passthrough", "sni_dynamic_forward_proxy");
        rewrite(
            filter,
            |config: &mut envoy_types::pb::envoy::extensions::filters::network::sni_dynamic_forward_proxy::v3::FilterConfig| {
                config.dns_cache_config.as_mut().unwrap().resolved_address_filter = None;
            },
        );
    };
    check(open, "is unguarded or ambiguous");
}

#[test]
fn an_admin_port_is_found() {
    let tcp = serde_json::json!({"admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}}}});
    check(|c| c.bootstrap = tcp.clone(), "admin socket");
}

#[test]
fn a_filter_that_fails_open_is_found() {
    use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
    use envoy_types::pb::envoy::extensions::wasm::v3::FailurePolicy;
    let change = |c: &mut Configuration| {
        let filter = c.filters.get_mut(names::GUARD).unwrap();
        let mut wasm: Wasm = unpack(filter);
        wasm.config.as_mut().unwrap().failure_policy = FailurePolicy::FailOpen as i32;
        *filter = any::pack(&wasm);
    };
    check(change, "light/guard: open when it fails");
}

#[test]
fn a_cluster_that_dials_private_addresses_is_found() {
    for name in [names::CREDENTIALED, names::OPEN_H1, names::OPEN_CLEARTEXT] {
        let open = |c: &mut Configuration| {
            use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
            let cluster = c.clusters.get_mut(name).unwrap();
            for options in cluster.typed_extension_protocol_options.values_mut() {
                let unpacked: HttpProtocolOptions = unpack(options);
                *options = any::pack(&HttpProtocolOptions { http_filters: Vec::new(), ..unpacked });
            }
        };
        check(open, &format!("`{name}` dials what a name leads to"));
    }
    let unguarded = |c: &mut Configuration| {
        let listener = c.listeners.get_mut(names::TUNNEL).unwrap();
        for chain in &mut listener.filter_chains {
            chain.filters.retain(|filter| !filter.name.ends_with("network.rbac"));
        }
    };
    check(unguarded, "`passthrough` dials what a name leads to");
    let strict = |c: &mut Configuration| {
        use envoy_types::pb::envoy::config::cluster::v3::cluster::ClusterDiscoveryType;
        c.clusters.get_mut(names::OPEN).unwrap().cluster_discovery_type = Some(ClusterDiscoveryType::Type(1));
    };
    check(strict, "`open` finds addresses in another way");
}

#[test]
fn a_limit_that_is_missing_is_found() {
    check(|c| manager(c, |m| m.request_timeout = None), "a limit is missing");
    check(|c| manager(c, |m| m.common_http_protocol_options = None), "a limit is missing");
    check(|c| manager(c, |m| m.proxy_100_continue = true), "something passes that no filter sees");
    let unbounded = |c: &mut Configuration| {
        c.clusters.get_mut(names::OPEN).unwrap().per_connection_buffer_limit_bytes = None;
    };
    check(unbounded, "`open` buffers without a limit");
    let routes = |c: &mut Configuration| {
        c.routes.get_mut(names::PROXY_ROUTES).unwrap().response_headers_to_remove.clear();
    };
    check(routes, "lets alt-svc through");
}
