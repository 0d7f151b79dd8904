//! Network filters: what is done with a connection, as opposed to a request.

use std::time::Duration;

use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::envoy::config::rbac::v3 as rbac;
use envoy_types::pb::envoy::extensions::filters::common::set_filter_state::v3 as facts;
use envoy_types::pb::envoy::extensions::filters::network::direct_response::v3 as direct_response;
use envoy_types::pb::envoy::extensions::filters::network::local_ratelimit::v3 as local_ratelimit;
use envoy_types::pb::envoy::extensions::filters::network::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::network::set_filter_state::v3 as set_filter_state;
use envoy_types::pb::envoy::extensions::filters::network::sni_dynamic_forward_proxy::v3 as sni_forward;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3 as tcp_proxy;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
use envoy_types::pb::envoy::r#type::v3::TokenBucket;
use envoy_types::pb::google::api::expr::v1alpha1 as cel;
use envoy_types::pb::google::protobuf::Any;

use super::any::{duration, format, inline, merged, number, pack, regex};
use super::dns::{self, Cache};
use super::{limits, names, upstream_guard};
use crate::plan::GatewayPlan;

/// How often the bucket of [`limit_rate`] fills.
const FILL_MILLISECONDS: u32 = 100;

/// A fact that the filters after this one read.
pub(super) fn fact(key: &str, operators: &str) -> facts::FilterStateValue {
    use facts::filter_state_value::{Key, Value};
    facts::FilterStateValue {
        key: Some(Key::ObjectKey(key.to_owned())),
        // Envoy's own keys have a type of their own; ours are strings.
        factory_key: if key.starts_with("envoy.") { String::new() } else { "envoy.string".to_owned() },
        value: Some(Value::FormatString(format(operators))),
        ..Default::default()
    }
}

/// A fact that crosses into the next internal listener, and no further.
///
/// It must be a *hashable* string: connections to an internal listener come from a pool, and only hashable facts are
/// part of the pool's key. With plain strings one agent's tunnel is now and then given a connection that carries the
/// facts of another. If it went further, the pools of upstream connections would be split by it too.
pub(super) fn crossing(key: &str, operators: &str) -> facts::FilterStateValue {
    facts::FilterStateValue {
        factory_key: "envoy.hashable_string".to_owned(),
        shared_with_upstream: facts::filter_state_value::SharedWithUpstream::Once as i32,
        ..fact(key, operators)
    }
}

/// Lets the caller's facts cross one more internal listener.
pub(super) fn hand_on() -> listener::Filter {
    note(vec![
        crossing(names::TARGET, "%FILTER_STATE(keyward.target:PLAIN)%"),
        crossing(names::PEER, "%FILTER_STATE(keyward.peer:PLAIN)%"),
    ])
}

/// Writes facts when the connection arrives.
pub(super) fn note(facts: Vec<facts::FilterStateValue>) -> listener::Filter {
    let config = set_filter_state::Config { on_new_connection: facts, ..Default::default() };
    filter("envoy.filters.network.set_filter_state", pack(&config))
}

/// Writes one fact when the connection arrives, another when its TLS handshake has succeeded.
pub(super) fn note_tls(
    arrived: facts::FilterStateValue,
    established: facts::FilterStateValue,
) -> listener::Filter {
    let config = set_filter_state::Config {
        on_new_connection: vec![arrived],
        on_downstream_tls_handshake: vec![established],
        ..Default::default()
    };
    filter("envoy.filters.network.set_filter_state", pack(&config))
}

/// Closes the connection.
pub(super) fn refuse() -> listener::Filter {
    let config = direct_response::Config { response: Some(inline("")) };
    filter("envoy.filters.network.direct_response", pack(&config))
}

/// Closes connections that come faster than handshakes for names of the agent's own choice may: until its leaf was
/// made or refused, Envoy keeps some 50 KiB for each name. One bucket for all listeners of a worker's process.
pub(super) fn limit_rate(per_second: u32) -> listener::Filter {
    let fills = 1_000 / FILL_MILLISECONDS;
    let config = local_ratelimit::LocalRateLimit {
        stat_prefix: "open-names".to_owned(),
        token_bucket: Some(TokenBucket {
            max_tokens: per_second,
            tokens_per_fill: number(per_second / fills),
            fill_interval: duration(Duration::from_millis(FILL_MILLISECONDS.into())),
        }),
        share_key: "open-names".to_owned(),
        ..Default::default()
    };
    filter("envoy.filters.network.local_ratelimit", pack(&config))
}

/// Passes bytes on to a cluster.
pub(super) fn to_cluster(cluster: &str) -> listener::Filter {
    filter("envoy.filters.network.tcp_proxy", pack(&passing_on(cluster)))
}

/// Passes bytes on to the interception listener. Of a connection that ended there while its agent's bytes had no room,
/// this side learns by silence alone.
pub(super) fn to_interception(plan: &GatewayPlan) -> listener::Filter {
    let config = tcp_proxy::TcpProxy {
        idle_timeout: duration(limits::intercepted(plan.request_timeout)),
        ..passing_on(names::MITM)
    };
    filter("envoy.filters.network.tcp_proxy", pack(&config))
}

fn passing_on(cluster: &str) -> tcp_proxy::TcpProxy {
    tcp_proxy::TcpProxy {
        stat_prefix: cluster.to_owned(),
        cluster_specifier: Some(tcp_proxy::tcp_proxy::ClusterSpecifier::Cluster(cluster.to_owned())),
        ..Default::default()
    }
}

/// Resolves the SNI, or the host in `envoy.upstream.dynamic_host`, for the cluster after it, and closes connections
/// that would lead to a private address.
pub(super) fn resolve_name(plan: &GatewayPlan) -> [listener::Filter; 2] {
    let config = sni_forward::FilterConfig {
        dns_cache_config: Some(dns::cache(plan, Cache::Open)),
        save_upstream_address: true,
        port_specifier: Some(sni_forward::filter_config::PortSpecifier::PortValue(443)),
    };
    [
        filter("envoy.filters.network.sni_dynamic_forward_proxy", pack(&config)),
        upstream_guard::bytes(&plan.allowed_private_networks),
    ]
}

/// Lets a connection through when its SNI equals the host of its CONNECT target, when it has none, or when the
/// target is an address. Envoy connects to the upstream meanwhile, and sends no byte before this decides.
pub(super) fn expected_name() -> [listener::Filter; 2] {
    let address = rbac::principal::Identifier::FilterState(matcher::FilterStateMatcher {
        key: names::TARGET_HOST.to_owned(),
        matcher: Some(matcher::filter_state_matcher::Matcher::StringMatch(regex("[0-9.]+|.*:.*"))),
    });
    let named = rbac::permission::Rule::RequestedServerName(regex(".+"));
    let unnamed = rbac::permission::Rule::NotRule(Box::new(rbac::Permission { rule: Some(named) }));
    let anyone = || rbac::principal::Identifier::Any(true);
    let anything = || rbac::permission::Rule::Any(true);
    let policies = [
        ("address", policy(anything(), address, None)),
        ("no-name", policy(unnamed, anyone(), None)),
        (
            "same-name",
            policy(anything(), anyone(), Some(equal(&state(names::SNI), &state(names::TARGET_HOST)))),
        ),
    ];
    let base = Rbac { stat_prefix: "expected-name.".to_owned(), ..with_policy(None) };
    let policies = policies.map(|policy| with_policy(Some(policy)));
    [
        note(vec![fact(names::SNI, "%REQUESTED_SERVER_NAME%")]),
        filter("envoy.filters.network.rbac", merged(&base, policies)),
    ]
}

pub(super) fn filter(name: &str, config: Any) -> listener::Filter {
    listener::Filter {
        name: name.to_owned(),
        config_type: Some(listener::filter::ConfigType::TypedConfig(config)),
    }
}

fn with_policy(policy: Option<(&str, rbac::Policy)>) -> Rbac {
    let policies = policy.into_iter().map(|(name, policy)| (name.to_owned(), policy)).collect();
    let rules = rbac::Rbac { action: rbac::rbac::Action::Allow as i32, policies, ..Default::default() };
    Rbac { rules: Some(rules), ..Default::default() }
}

fn policy(
    what: rbac::permission::Rule,
    who: rbac::principal::Identifier,
    condition: Option<cel::Expr>,
) -> rbac::Policy {
    rbac::Policy {
        permissions: vec![rbac::Permission { rule: Some(what) }],
        principals: vec![rbac::Principal { identifier: Some(who) }],
        condition,
        ..Default::default()
    }
}

/// `filter_state[key]`
fn state(key: &str) -> cel::Expr {
    use cel::constant::ConstantKind;
    use cel::expr::{ExprKind, Ident};
    let map = expression(ExprKind::IdentExpr(Ident { name: "filter_state".to_owned() }));
    let key = cel::Constant { constant_kind: Some(ConstantKind::StringValue(key.to_owned())) };
    call("_[_]", vec![map, expression(ExprKind::ConstExpr(key))])
}

/// `a == b`
fn equal(a: &cel::Expr, b: &cel::Expr) -> cel::Expr {
    call("_==_", vec![a.clone(), b.clone()])
}

fn call(function: &str, args: Vec<cel::Expr>) -> cel::Expr {
    let call = cel::expr::Call { target: None, function: function.to_owned(), args };
    expression(cel::expr::ExprKind::CallExpr(Box::new(call)))
}

fn expression(kind: cel::expr::ExprKind) -> cel::Expr {
    cel::Expr { id: 0, expr_kind: Some(kind) }
}
