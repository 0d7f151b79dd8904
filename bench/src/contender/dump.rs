//! A gateway's configuration, read back from its Envoy (`/config_dump`), as one that needs no controller.

use std::collections::BTreeMap;
use std::path::Path;

use harness::admin;
use serde_json::{Value, json};

/// The HTTP filters of Keyward begin with one of these.
const OURS: [&str; 2] = ["light/", "full/"];
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
        Dump::of(&serde_json::from_str(&body).expect("JSON"))
    }

    fn of(dump: &Value) -> Dump {
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
            "layered_runtime": kept("layered_runtime"),
            "memory_allocator_manager": kept("memory_allocator_manager"),
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
        let rest = filters.iter().filter(|filter| !filter["name"].as_str().is_some_and(is_ours));
        let swapped = if manager == "mitm" { stand.filters } else { &[] };
        assert!(
            manager != "mitm" || filters.len() > rest.clone().count(),
            "the interception chain has no filter of ours"
        );
        swapped.iter().chain(rest).cloned().collect()
    }
}

fn is_ours(name: &str) -> bool {
    OURS.iter().any(|start| name.starts_with(start))
}

/// Routes that do not enable Keyward's filters.
fn without_ours(routes: &Value) -> Value {
    match routes {
        Value::Array(items) => items.iter().map(without_ours).collect(),
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| !is_ours(name));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: &str, name: &str, value: &Value) -> Value {
        json!({"@type": format!("type.googleapis.com/envoy.admin.v3.{kind}"), name: value})
    }

    /// A gateway with one listener, whose manager has this prefix.
    fn dump(stat_prefix: &str) -> Dump {
        let tls = json!({
            "custom_tls_certificate_selector": {"name": "on demand"},
            "validation_context_sds_secret_config": {"name": "trust"},
        });
        let manager = json!({
            "@type": MANAGER,
            "stat_prefix": stat_prefix,
            "rds": {"route_config_name": "r"},
            "http_filters": [{"name": "light/guard"}, {"name": "router"}],
        });
        let listener =
            json!({"@type": "L", "address": {"socket_address": {"port_value": 5}}, "a": [tls], "b": manager});
        let routes =
            json!({"@type": "R", "name": "r", "typed_per_filter_config": {"light/guard": {}, "dns": {}}});
        let configs = [
            part("BootstrapConfigDump", "bootstrap", &json!({"stats_config": 1})),
            part(
                "ListenersConfigDump",
                "dynamic_listeners",
                &json!([{"active_state": {"listener": listener}}]),
            ),
            part(
                "ClustersConfigDump",
                "dynamic_active_clusters",
                &json!([{"cluster": {"@type": "C", "name": "c"}}]),
            ),
            part("RoutesConfigDump", "dynamic_route_configs", &json!([{"route_config": routes}])),
        ];
        Dump::of(&json!({"configs": configs}))
    }

    fn listener(stat_prefix: &str) -> Value {
        let [leaf, key, trust] = ["leaf", "key", "trust"].map(Path::new);
        let stand = Stand { filters: &[json!({"name": "swapped"})], leaf: [leaf, key], trust };
        let bootstrap = dump(stat_prefix).bootstrap(Path::new("admin"), &stand);
        assert_eq!(bootstrap["static_resources"]["clusters"], json!([{"name": "c"}]));
        assert_eq!(bootstrap["stats_config"], 1);
        bootstrap["static_resources"]["listeners"][0].clone()
    }

    #[test]
    fn a_gateway_without_its_controller_keeps_all_but_the_filters() {
        let listener = listener("mitm");
        assert_eq!(listener["address"]["socket_address"]["port_value"], 0);
        assert_eq!(listener["b"]["http_filters"], json!([{"name": "swapped"}, {"name": "router"}]));
        assert_eq!(
            listener["b"]["route_config"],
            json!({"name": "r", "typed_per_filter_config": {"dns": {}}})
        );
        assert_eq!(listener["a"][0]["validation_context"]["trusted_ca"]["filename"], "trust");
        assert_eq!(listener["a"][0]["tls_certificates"][0]["private_key"]["filename"], "key");
    }

    #[test]
    fn only_the_interception_chain_gets_other_filters() {
        assert_eq!(listener("proxy")["b"]["http_filters"], json!([{"name": "router"}]));
    }

    #[test]
    fn a_chunked_body_is_put_together() {
        assert_eq!(unchunked("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), "abcde");
    }
}
