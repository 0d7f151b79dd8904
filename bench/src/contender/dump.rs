//! A gateway's configuration, read back from its Envoy (`/config_dump`), as one that needs no controller.

use std::collections::BTreeMap;
use std::path::Path;

use harness::admin;
use serde_json::{Value, json};

/// The HTTP filters of Keyward begin with this.
const OURS: &str = "light/";
const MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// What an Envoy runs.
pub(super) struct Dump {
    bootstrap: Value,
    listeners: Vec<Value>,
    clusters: Vec<Value>,
    routes: BTreeMap<String, Value>,
}

/// What takes the place of what only a controller can give.
pub(super) struct Stand<'a> {
    /// HTTP filters in place of Keyward's in the interception chain.
    pub(super) filters: &'a [Value],
    /// Files of the leaf and its key.
    pub(super) leaf: [&'a Path; 2],
    /// File with the CA of upstreams.
    pub(super) trust: &'a Path,
}

impl Dump {
    /// Reads it. Panics when the Envoy does not answer, or answers something else.
    pub(super) fn read(socket: &Path) -> Dump {
        let answer = admin::ask(socket, "/config_dump").expect("an Envoy that answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            unchunked(body)
        } else {
            body.to_owned()
        };
        let dump: Value = serde_json::from_str(&body).expect("JSON");
        let part = |kind: &str| {
            let kind = format!("type.googleapis.com/envoy.admin.v3.{kind}");
            let parts = dump["configs"].as_array().expect("parts");
            parts.iter().find(|part| part["@type"] == kind).unwrap_or_else(|| panic!("no {kind}"))
        };
        let list = |kind: &str, name: &str| part(kind)[name].as_array().cloned().unwrap_or_default();
        let listeners = list("ListenersConfigDump", "dynamic_listeners")
            .into_iter()
            .map(|l| at_free_port(untyped(&l["active_state"]["listener"])));
        let clusters =
            list("ClustersConfigDump", "dynamic_active_clusters").into_iter().map(|c| untyped(&c["cluster"]));
        let routes = list("RoutesConfigDump", "dynamic_route_configs")
            .into_iter()
            .map(|r| untyped(&r["route_config"]));
        let named = routes.map(|routes| (routes["name"].as_str().expect("a name").to_owned(), routes));
        Dump {
            bootstrap: part("BootstrapConfigDump")["bootstrap"].clone(),
            listeners: listeners.collect(),
            clusters: clusters.collect(),
            routes: named.collect(),
        }
    }

    /// A bootstrap with everything in it.
    pub(super) fn bootstrap(&self, admin: &Path, stand: &Stand<'_>) -> Value {
        let listeners: Vec<Value> =
            self.listeners.iter().map(|listener| self.stood(listener, stand)).collect();
        let clusters: Vec<Value> = self.clusters.iter().map(|cluster| self.stood(cluster, stand)).collect();
        let kept = |name: &str| self.bootstrap[name].clone();
        json!({
            "node": {"id": "bench", "cluster": "bench"},
            "admin": {"address": {"pipe": {"path": admin, "mode": 0o600}}},
            "bootstrap_extensions": kept("bootstrap_extensions"),
            "overload_manager": kept("overload_manager"),
            "stats_config": kept("stats_config"),
            "static_resources": {"listeners": listeners, "clusters": clusters},
        })
    }

    /// The value with everything replaced that only a controller can give, at every depth.
    fn stood(&self, value: &Value, stand: &Stand<'_>) -> Value {
        match value {
            Value::Array(items) => items.iter().map(|item| self.stood(item, stand)).collect(),
            Value::Object(fields) => {
                let manager = fields.get("@type").is_some_and(|kind| kind == MANAGER);
                let fields = fields.iter().map(|(name, field)| match name.as_str() {
                    "http_filters" if manager => {
                        (name.clone(), self.http_filters(&value["stat_prefix"], field, stand))
                    }
                    _ => self.field(name, field, stand),
                });
                Value::Object(fields.collect())
            }
            other => other.clone(),
        }
    }

    fn field(&self, name: &str, field: &Value, stand: &Stand<'_>) -> (String, Value) {
        let (name, field) = match name {
            "rds" => ("route_config", without_ours(self.route(field))),
            "custom_tls_certificate_selector" => {
                let [chain, key] = stand.leaf;
                (
                    "tls_certificates",
                    json!([{"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}]),
                )
            }
            "validation_context_sds_secret_config" => {
                ("validation_context", json!({"trusted_ca": {"filename": stand.trust}}))
            }
            _ => (name, self.stood(field, stand)),
        };
        (name.to_owned(), field)
    }

    fn route(&self, rds: &Value) -> &Value {
        let name = rds["route_config_name"].as_str().expect("a name");
        self.routes.get(name).unwrap_or_else(|| panic!("no routes {name}"))
    }

    /// The filters without Keyward's, and in the interception chain others in their place.
    fn http_filters(&self, manager: &Value, filters: &Value, stand: &Stand<'_>) -> Value {
        let filters = filters.as_array().expect("filters");
        let rest = filters
            .iter()
            .filter(|filter| !filter["name"].as_str().is_some_and(|name| name.starts_with(OURS)));
        let swapped = if manager == "mitm" { stand.filters } else { &[] };
        assert!(
            manager != "mitm" || filters.len() > rest.clone().count(),
            "the interception chain has no filter of ours"
        );
        swapped.iter().chain(rest).cloned().collect()
    }
}

/// Routes that do not enable Keyward's filters.
fn without_ours(routes: &Value) -> Value {
    match routes {
        Value::Array(items) => items.iter().map(without_ours).collect(),
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| !name.starts_with(OURS));
            Value::Object(kept.map(|(name, field)| (name.clone(), without_ours(field))).collect())
        }
        other => other.clone(),
    }
}

fn at_free_port(mut listener: Value) -> Value {
    if let Some(port) = listener.pointer_mut("/address/socket_address/port_value") {
        *port = json!(0);
    }
    listener
}

fn untyped(value: &Value) -> Value {
    let mut value = value.clone();
    value.as_object_mut().expect("an object").remove("@type");
    value
}

/// A chunked body as one text (RFC 9112, section 7.1).
fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
        whole.push_str(&rest[..size]);
        if size == 0 {
            break;
        }
        body = &rest[size + 2..];
    }
    whole
}
