//! Manifests in all their eras, and what is said of the ones that are refused.

use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{Kind, Manifest};
use crate::api::credential_injection_policy::Target;
use crate::api::egress_gateway::{DataPlane, DefaultPolicy, Interception, TlsMode};

fn object(kind: Kind, spec: Value) -> Value {
    json!({"apiVersion": kind.api_version(), "kind": kind.as_str(), "metadata": {"name": "a"}, "spec": spec})
}

fn accept(value: Value) -> Manifest {
    match Manifest::from_value(value) {
        Ok(manifest) => manifest,
        Err(error) => panic!("{error}"),
    }
}

fn refuse(value: Value) -> String {
    match Manifest::from_value(value) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_empty_gateway_denies_all_and_intercepts_all() {
    let Manifest::EgressGateway(gateway) = accept(object(Kind::EgressGateway, json!({"listeners": []})))
    else {
        panic!("another kind")
    };
    assert_eq!(gateway.spec.default_policy, DefaultPolicy::DenyAll);
    assert_eq!(gateway.spec.interception, Interception::All);
    assert_eq!(gateway.spec.data_plane, DataPlane::Keyward);
}

#[test]
fn every_field_of_a_gateway_is_known() {
    let Manifest::EgressGateway(gateway) = accept(object(
        Kind::EgressGateway,
        json!({
            "defaultPolicy": "allow-all",
            "listeners": [{
                "name": "egress", "protocol": "TLS", "port": 443,
                "tls": {"mode": "Terminate", "caCertRef": {"name": "ca"}},
                "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"a": "b"}}},
                    "kinds": [{"group": "clrk.apoxy.dev", "kind": "AIProviderRoute"}]},
                "callers": {"clientCASecretRef": {"name": "c"}, "proxyUsersSecretRef": {"name": "u"}},
            }],
            "interception": "Routes",
            "otlp": {"endpoint": "http://host:4318", "headers": {"k": "v"}, "headersSecretRef": {"name": "h"},
                "captureBody": {"maxBytes": 65536, "includeContentTypes": ["application/json"]}},
            "upstreamTLS": {"additionalTrustBundleSecretRef": {"name": "t"},
                "hostAliases": [{"ip": "10.0.0.7", "hostnames": ["llm.internal"], "port": 8443}]},
            "upstreamProxy": {"address": "proxy.corp:3128"},
            "dns": {"lookupFamily": "V4Only", "resolvers": ["10.0.0.2:53"]},
            "requestTimeout": "5m",
            "allowedPrivateNetworks": ["10.0.0.0/8"],
            "maxSignedBodyBytes": "8Mi",
            "scrub": ["Bodies", "SetCookie"],
            "infrastructure": {"replicas": 2, "resources": {"limits": {"cpu": 1}}, "image": "i",
                "nodeSelector": {"a": "b"}, "tolerations": [{"key": "k"}]},
            "dataPlane": "None",
        }),
    )) else {
        panic!("another kind")
    };
    let listener = &gateway.spec.listeners[0];
    assert_eq!(listener.tls.as_ref().map(|tls| tls.mode), Some(TlsMode::Terminate));
    assert_eq!(gateway.spec.dns.map(|dns| dns.resolvers.len()), Some(1));
}

#[test]
fn the_three_eras_are_accepted() {
    let first = json!({
        "listeners": [{"name": "egress", "protocol": "TLS"}],
        "extProc": {"enabled": true, "captureBody": {"enabled": true, "maxBytes": 1}},
        "otlp": {"endpoint": "http://c:4318"},
    });
    accept(object(Kind::EgressGateway, first));
    for attachment in ["parentRefs", "targetRefs"] {
        let mut spec = json!({"secretRef": {"name": "s"}, "target": "Header", "headerName": "x-api-key"});
        spec[attachment] = json!([{"group": "clrk.apoxy.dev", "kind": "AIProviderRoute", "name": "a"}]);
        let Manifest::CredentialInjectionPolicy(policy) =
            accept(object(Kind::CredentialInjectionPolicy, spec))
        else {
            panic!("another kind")
        };
        assert_eq!(policy.spec.target, Target::Header);
        assert_eq!(policy.spec.secret_key, "token");
        assert_eq!(policy.spec.parent_refs.is_some(), attachment == "parentRefs");
    }
}

#[test]
fn kinds_that_are_not_built_take_any_spec() {
    for kind in [
        Kind::Backend,
        Kind::FallbackRoutingPolicy,
        Kind::RateLimitPolicy,
        Kind::LoggingPolicy,
        Kind::McpRoute,
    ] {
        assert_eq!(accept(object(kind, json!({"anything": [1, {"at": "all"}]}))).kind(), kind);
    }
}

#[test]
fn what_kubernetes_adds_to_an_object_does_no_harm() {
    let manifest = accept(json!({
        "apiVersion": "clrk.apoxy.dev/v1alpha1", "kind": "EgressL4Route",
        "metadata": {
            "name": "a", "namespace": "team", "uid": "0", "resourceVersion": "1", "generation": 3,
            "creationTimestamp": "2026-01-02T03:04:05Z", "labels": {"a": "b"}, "annotations": {},
            "managedFields": [{"manager": "kubectl"}], "ownerReferences": [], "finalizers": [],
        },
        "spec": {"rules": null},
        "status": {"parents": [{"parentRef": {"name": "g"}, "someday": 1, "conditions": []}]},
    }));
    assert_eq!(manifest.metadata().generation, Some(3));
    assert_eq!(manifest.metadata().creation_timestamp.as_deref(), Some("2026-01-02T03:04:05Z"));
}

#[test]
fn a_secret_keeps_its_bytes_and_string_data_wins() {
    let Manifest::Secret(secret) = accept(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": "Opaque", "immutable": true,
        "data": {"a": "b25l\n", "b": "dHdv", "c": "<base64-of-sk>"}, "stringData": {"b": "three"},
    })) else {
        panic!("another kind")
    };
    let values = secret.values();
    assert_eq!(values["a"].expose(), Some("one".as_bytes()));
    assert_eq!(values["b"].expose(), Some("three".as_bytes()));
    assert_eq!(values["c"].expose(), None);
}

#[test]
fn a_refusal_names_the_object_the_field_and_a_remedy() {
    let route = |spec| object(Kind::AiProviderRoute, spec);
    let policy = |spec| object(Kind::CredentialInjectionPolicy, spec);
    for (value, said) in [
        (
            json!([]),
            "object without a name: not an object; write a Kubernetes object: apiVersion, kind, metadata, spec",
        ),
        (
            json!({"kind": "EgressGateway"}),
            "EgressGateway without a name: the field apiVersion is missing; add apiVersion",
        ),
        (
            json!({"apiVersion": "clrk.apoxy.dev/v1alpha1", "kind": "AIProviderRout", "metadata": {"name": "a"}}),
            "AIProviderRout a: kind: unknown kind AIProviderRout; did you mean AIProviderRoute?",
        ),
        (
            json!({"apiVersion": "clrk.apoxy.dev/v1", "kind": "EgressGateway", "metadata": {"name": "a"}}),
            "EgressGateway a: apiVersion: the kind EgressGateway is not served as apiVersion clrk.apoxy.dev/v1; \
             write apiVersion: clrk.apoxy.dev/v1alpha1",
        ),
        (
            route(json!({"rules": [{"matches": [{"provider": "openai", "endpoint": []}]}]})),
            "AIProviderRoute a: spec.rules[0].matches[0].endpoint: unknown field endpoint; did you mean endpoints?",
        ),
        (
            route(json!({"rules": [{"matches": [{"provider": 7}]}]})),
            "AIProviderRoute a: spec.rules[0].matches[0].provider: found a number, expected text (in quotes where \
             YAML would read a number); write text (in quotes where YAML would read a number)",
        ),
        (
            object(Kind::EgressGateway, json!({"defaultPolicy": "allow"})),
            "EgressGateway a: spec.defaultPolicy: not one of the allowed values; write one of allow-all, deny-all",
        ),
        (
            object(
                Kind::EgressGateway,
                json!({"listeners": [{"name": "a", "protocol": "TLS", "port": 70000}]}),
            ),
            "EgressGateway a: spec.listeners[0].port: found a number out of range, expected a whole number from 0 \
             to 65535; write a whole number from 0 to 65535",
        ),
        (
            policy(json!({"target": "Header"})),
            "CredentialInjectionPolicy a: spec: the field secretRef is missing; add secretRef",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "A_b"}}),
            "Secret A_b: metadata.name: not a valid name; use at most 253 lower-case letters, digits, '-' and '.', \
             beginning and ending with a letter or digit",
        ),
    ] {
        assert_eq!(refuse(value), said);
    }
}

#[test]
fn no_refusal_repeats_a_value_of_a_secret() {
    const KEY: &str = "sk-ant-canary";
    let secret =
        |data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data});
    for value in [
        secret(json!(KEY)),
        secret(json!([KEY])),
        secret(json!({"token": [KEY]})),
        secret(json!({"token": {"nested": KEY}})),
        secret(json!({KEY: 1})),
        object(Kind::EgressGateway, json!({"otlp": {"headers": {"authorization": [KEY]}}})),
        object(Kind::EgressGateway, json!({"defaultPolicy": KEY})),
        object(Kind::CredentialInjectionPolicy, json!({"secretRef": KEY})),
    ] {
        let said = refuse(value);
        assert!(!said.contains("canary"), "{said}");
    }
}
