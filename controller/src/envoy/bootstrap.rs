//! The bootstrap: who this Envoy is, where its controller listens, and what never changes while it runs.

use std::path::Path;

use serde_json::{Value, json};

use super::names;
use crate::plan::ObjectKey;

/// Connections that one Envoy accepts at once, over all listeners.
const MAX_CONNECTIONS: u64 = 50_000;

/// What the admin interface answers: what is read, nothing that changes Envoy. Above all not `/logging`, since below
/// `info` Envoy prints injected headers.
const ADMIN_PATHS: [&str; 7] =
    ["/ready", "/stats", "/config_dump", "/listeners", "/clusters", "/server_info", "/memory"];

/// The bootstrap of a gateway's Envoy, as JSON.
///
/// The admin interface is a Unix socket of mode 0600, never TCP. Paths must be UTF-8 and, as socket paths, shorter
/// than 108 bytes.
#[must_use]
pub fn bootstrap(gateway: &ObjectKey, xds_socket: &Path, admin_socket: &Path) -> Value {
    json!({
        "node": {"id": gateway.to_string(), "cluster": "keyward"},
        "admin": {
            "address": {"pipe": {"path": admin_socket, "mode": 0o600}},
            "allow_paths": ADMIN_PATHS.map(|path| json!({"prefix": path})),
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
        "stats_config": {"stats_matcher": {"exclusion_list": {"patterns": [
            // Statistics of one leaf each: an agent chooses the names.
            {"safe_regex": {"regex": r"(?:.*\.)?(?:on_demand_secret|sds)\..*"}},
        ]}}},
        "overload_manager": {
            "resource_monitors": [{
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": typed(
                    "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    json!({"max_active_downstream_connections": MAX_CONNECTIONS.to_string()}),
                ),
            }],
        },
    })
}

/// Without a limit on the first fetch: an Envoy without configuration waits, and listens on nothing.
fn over_ads() -> Value {
    json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"})
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

fn typed(name: &str, mut config: Value) -> Value {
    if let Value::Object(fields) = &mut config {
        fields.insert("@type".to_owned(), json!(format!("type.googleapis.com/{name}")));
    }
    config
}
