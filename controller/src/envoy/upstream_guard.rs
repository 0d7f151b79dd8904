//! The private-address guard a second time, on the address that is about to be dialled.
//!
//! The first layer takes private addresses out of every DNS answer (`dns.rs`). This one asks after the host was
//! chosen and before its connection is made, so it does not depend on how the address was found. It covers every
//! cluster that resolves names; the addresses of the others are the operator's own.

use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::envoy::config::rbac::v3 as rbac;
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac as HttpRbac;
use envoy_types::pb::envoy::extensions::filters::http::upstream_codec::v3::UpstreamCodec;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::extensions::filters::network::rbac::v3::Rbac as NetworkRbac;
use envoy_types::pb::envoy::extensions::rbac::matchers::upstream_ip_port::v3::UpstreamIpPortMatcher;
use envoy_types::pb::google::protobuf::Any;

use super::any::{extension, number, pack};
use super::network;
use super::private_networks::forbidden;

/// The name of the only policy; Envoy shows it in the details of an answer.
pub(super) const POLICY: &str = "private-address";

/// The filters of a cluster for HTTP.
pub(super) fn http(allowed: &[(IpAddr, u8)]) -> [hcm::HttpFilter; 2] {
    let guard = HttpRbac { rules: deny(allowed), ..Default::default() };
    [filter("envoy.filters.http.upstream_rbac", pack(&guard)), codec()]
}

/// What every list of filters of a cluster ends with.
pub(super) fn codec() -> hcm::HttpFilter {
    filter("envoy.filters.http.upstream_codec", pack(&UpstreamCodec {}))
}

/// The filter of a chain that passes bytes, behind the one that resolves and saves the address.
pub(super) fn bytes(allowed: &[(IpAddr, u8)]) -> listener::Filter {
    let guard = NetworkRbac {
        rules: deny(allowed),
        stat_prefix: "private-address.".to_owned(),
        ..Default::default()
    };
    network::filter("envoy.filters.network.rbac", pack(&guard))
}

/// `None` where every network is allowed: Envoy takes no empty list.
fn deny(allowed: &[(IpAddr, u8)]) -> Option<rbac::Rbac> {
    let permissions: Vec<_> = forbidden(allowed).into_iter().map(leading_to).collect();
    let anyone = rbac::Principal { identifier: Some(rbac::principal::Identifier::Any(true)) };
    let policy = rbac::Policy { permissions, principals: vec![anyone], ..Default::default() };
    (!policy.permissions.is_empty()).then(|| rbac::Rbac {
        action: rbac::rbac::Action::Deny as i32,
        policies: [(POLICY.to_owned(), policy)].into(),
        ..Default::default()
    })
}

fn leading_to((address, length): (IpAddr, u8)) -> rbac::Permission {
    let network = core::CidrRange { address_prefix: address.to_string(), prefix_len: number(length.into()) };
    let matcher = UpstreamIpPortMatcher { upstream_ip: Some(network), ..Default::default() };
    let matcher = extension("envoy.rbac.matchers.upstream_ip_port", pack(&matcher));
    rbac::Permission { rule: Some(rbac::permission::Rule::Matcher(matcher)) }
}

pub(super) fn filter(name: &str, config: Any) -> hcm::HttpFilter {
    hcm::HttpFilter {
        name: name.to_owned(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}
