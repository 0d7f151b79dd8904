//! The bootstrap: who this Envoy is, where its controller listens, and what never changes while it runs.

use std::path::Path;

use policy::metric;
use serde_json::{Value, json};

use super::{limits, names, overload};
use crate::plan::ObjectKey;

/// What one Envoy may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Connections of agents at once, over all listeners.
    pub connections: u32,
    /// Heap, in MiB. Near it Envoy refuses requests, then connections. Memory of the filter's VMs comes on top.
    pub heap_mib: u32,
}

impl Default for Capacity {
    fn default() -> Self {
        Capacity { connections: 10_000, heap_mib: 1024 }
    }
}

/// What the admin interface answers: what is read, nothing that changes Envoy. Above all not `/logging`, since below
/// `info` Envoy prints injected headers.
const ADMIN_PATHS: [&str; 7] =
    ["/ready", "/stats", "/config_dump", "/listeners", "/clusters", "/server_info", "/memory"];

/// The bootstrap of a gateway's Envoy, as JSON.
///
/// The admin interface is a Unix socket of mode 0600, never TCP. Paths must be UTF-8 and, as socket paths, shorter
/// than 108 bytes.
#[must_use]
pub fn bootstrap(gateway: &ObjectKey, xds_socket: &Path, admin_socket: &Path, capacity: Capacity) -> Value {
    json!({
        "node": {"id": gateway.to_string(), "cluster": "keyward"},
        "admin": {
            "address": {"pipe": {"path": admin_socket, "mode": 0o600}},
            "allow_paths": ADMIN_PATHS.map(|path| json!({"prefix": path})),
            // To be asked also when agents have taken every connection.
            "ignore_global_conn_limit": true,
        },
        "bootstrap_extensions": [{
            "name": "envoy.bootstrap.internal_listener",
            "typed_config": typed("envoy.extensions.bootstrap.internal_listener.v3.InternalListener", json!({})),
        }],
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": names::XDS_CLUSTER}}],
            },
            "cds_config": over_ads(),
            "lds_config": over_ads(),
        },
        "static_resources": {"clusters": [controller(xds_socket)]},
        "stats_config": {"stats_tags": stats_tags(), "stats_matcher": {"exclusion_list": {"patterns": [
            // Statistics of one leaf each: an agent chooses the names.
            {"safe_regex": {"regex": r"(?:.*\.)?(?:on_demand_secret|sds)\..*"}},
        ]}}},
        "layered_runtime": {"layers": [{"name": "keyward", "static_layer": {
            // A connection inside Envoy that ends must not be a reset outside: the agent would lose its last answer.
            "envoy.reloadable_features.enable_send_rst_on_user_space_socket": false,
            // Of 100 by default, which a provider's three patterns exceed. The expressions are ours, and of names alone;
            // RE2 bounds the memory of each itself.
            "re2.max_program_size.error_level": 1_000_000,
            "re2.max_program_size.warn_level": 1_000_000,
            // Envoy holds an answer to the filter's own requests, which are a collector's, until it is whole. 32 MiB by default.
            "http.async_response_buffer_limit": limits::COLLECTOR_ANSWER_BYTES,
        }}]},
        "memory_allocator_manager": overload::allocator(capacity),
        "overload_manager": overload::manager(capacity),
    })
}

/// Without a limit on the first fetch: an Envoy without configuration waits, and listens on nothing.
fn over_ads() -> Value {
    json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"})
}

/// The labels that the filter writes into the names of its metrics, taken out of them.
fn stats_tags() -> Vec<Value> {
    let tag = |label| json!({"tag_name": label, "regex": metric::label_pattern(label)});
    metric::LABELS.map(tag).into()
}

fn controller(socket: &Path) -> Value {
    let name = names::XDS_CLUSTER;
    let options = json!({"explicit_http_config": {"http2_protocol_options": {
        "connection_keepalive": {"interval": "30s", "timeout": "10s"},
    }}});
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": socket}}}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions":
                typed("envoy.extensions.upstreams.http.v3.HttpProtocolOptions", options),
        },
    })
}

pub(super) fn typed(name: &str, mut config: Value) -> Value {
    if let Value::Object(fields) = &mut config {
        fields.insert("@type".to_owned(), json!(format!("type.googleapis.com/{name}")));
    }
    config
}
