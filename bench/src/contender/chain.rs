//! The HTTP filters that take the place of Keyward's.

use std::path::Path;

use serde_json::{Value, json};

use super::{ACCESS_KEY_ID, HOST, KEY, Kind, REGION, SECRET_ACCESS_KEY, SERVICE};
use crate::load::PATH;

/// A module whose callbacks return at once: what it costs that there is one.
const IDLE: &str = r#"(module
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 1024))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $top))
    (global.set $top (i32.add (global.get $top) (local.get $size)))
    (local.get $at))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))
  (func (export "proxy_on_log") (param i32))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_delete") (param i32)))"#;

/// The name of the secret with the credential.
const SECRET: &str = "credential";

/// The filters of one kind. Files that they need are written into `folder`.
pub(super) fn filters(kind: Kind, folder: &Path) -> Vec<Value> {
    match kind {
        Kind::Bare => Vec::new(),
        Kind::Idle => vec![idle(folder)],
        Kind::Injector => vec![injector()],
        Kind::Native => vec![rbac(), mutation(), injector()],
        Kind::NativeSigning => vec![signing()],
        Kind::Keyward
        | Kind::Telling
        | Kind::TellingBodies
        | Kind::Unanswered
        | Kind::Query
        | Kind::Token
        | Kind::Signing => unreachable!("Keyward keeps its own filters"),
    }
}

/// The secrets that the filters name.
pub(super) fn secrets() -> Value {
    json!([{"name": SECRET, "generic_secret": {"secret": {"inline_string": KEY}}}])
}

fn idle(folder: &Path) -> Value {
    let path = folder.join("idle.wasm");
    std::fs::write(&path, wat::parse_str(IDLE).expect("a module")).expect("a file");
    let vm =
        json!({"vm_id": "idle", "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": path}}});
    filter("wasm.v3.Wasm", json!({"config": {"name": "idle", "root_id": "idle", "vm_config": vm}}))
}

fn injector() -> Value {
    let generic = json!({
        "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
        "credential": {"name": SECRET},
        "header": "x-api-key",
    });
    let credential = json!({"name": "envoy.http.injected_credentials.generic", "typed_config": generic});
    filter("credential_injector.v3.CredentialInjector", json!({"overwrite": true, "credential": credential}))
}

fn signing() -> Value {
    let keys = json!({"access_key_id": ACCESS_KEY_ID, "secret_access_key": SECRET_ACCESS_KEY});
    let config = json!({
        "service_name": SERVICE, "region": REGION, "credential_provider": {"inline_credential": keys},
        "match_excluded_headers": [{"prefix": "x-"}, {"prefix": "accept"}, {"exact": "user-agent"}, {"prefix": "anthropic"}],
    });
    filter("aws_request_signing.v3.AwsRequestSigning", config)
}

/// Lets a request through whose server name, authority and path are those of a rule.
fn rbac() -> Value {
    let rules = json!([
        {"requested_server_name": {"exact": HOST}},
        {"header": {"name": ":authority", "string_match": {"safe_regex": {"regex": format!("{HOST}(?::443)?")}}}},
        {"url_path": {"path": {"exact": PATH}}},
    ]);
    let target =
        json!({"filter_state": {"key": "keyward.target", "string_match": {"exact": format!("{HOST}:443")}}});
    let policy = json!({"permissions": [{"and_rules": {"rules": rules}}], "principals": [target]});
    filter("rbac.v3.RBAC", json!({"rules": {"action": "ALLOW", "policies": {"route": policy}}}))
}

/// Removes the other carriers of a credential and the control headers, and `alt-svc` of the answer.
fn mutation() -> Value {
    let carriers = ["authorization", "cookie", "proxy-authorization"];
    let control = [
        "forwarded",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
    ];
    let exact = carriers.into_iter().chain(control).map(|name| json!({"remove": name}));
    let prefixes = ["x-envoy-", "x-forwarded-", "x-keyward-"];
    let prefixes = prefixes.map(|prefix| json!({"remove_on_match": {"key_matcher": {"prefix": prefix}}}));
    let request: Vec<Value> = exact.chain(prefixes).collect();
    let mutations = json!({"request_mutations": request, "response_mutations": [{"remove": "alt-svc"}]});
    filter("header_mutation.v3.HeaderMutation", json!({"mutations": mutations}))
}

fn filter(kind: &str, mut config: Value) -> Value {
    config["@type"] = json!(format!("type.googleapis.com/envoy.extensions.filters.http.{kind}"));
    json!({"name": kind, "typed_config": config})
}
