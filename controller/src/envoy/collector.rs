//! What goes to the operator's collector is compressed by Envoy: in the filter it would take ten times as long, and hold
//! up a worker's requests meanwhile (`docs/decisions/0016-what-telemetry-costs.md`).

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::compression::gzip::compressor::v3 as gzip;
use envoy_types::pb::envoy::extensions::filters::http::compressor::v3::{Compressor, compressor};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;

use super::any::{boolean, extension, pack, regex};
use super::upstream_guard::{codec, filter};

/// What the filter posts.
const CONTENT_TYPE: &str = "application/x-protobuf";

/// The filters of the collector's cluster.
pub(super) fn http() -> [hcm::HttpFilter; 2] {
    let library = gzip::Gzip {
        compression_level: gzip::gzip::CompressionLevel::BestSpeed as i32,
        ..Default::default()
    };
    let request = compressor::CommonDirectionConfig {
        content_type_matcher: vec![regex(CONTENT_TYPE)],
        ..Default::default()
    };
    // On, unless it is said to be off.
    let response = compressor::CommonDirectionConfig {
        enabled: Some(core::RuntimeFeatureFlag {
            default_value: boolean(false),
            runtime_key: "keyward.unset".to_owned(),
        }),
        ..Default::default()
    };
    let compressor = Compressor {
        compressor_library: Some(extension("gzip", pack(&library))),
        request_direction_config: Some(compressor::RequestDirectionConfig { common_config: Some(request) }),
        response_direction_config: Some(compressor::ResponseDirectionConfig {
            common_config: Some(response),
            ..Default::default()
        }),
        ..Default::default()
    };
    [filter("envoy.filters.http.compressor", pack(&compressor)), codec()]
}
