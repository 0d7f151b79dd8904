//! Manifests in all their eras, and what is said of the ones that are refused.

use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{Cause, FieldPath, Kind, Manifest, ManifestError};
use crate::api::credential_injection_policy::Target;
use crate::api::egress_gateway::{DataPlane, DefaultPolicy, Interception, Quantity, TlsMode};

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
    assert_eq!(gateway.spec.max_signed_body_bytes, Some(Quantity("8Mi".to_owned())));
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
            json!({"apiVersion": "v1", "kind": "Backend", "metadata": {"name": "a", "namespace": "team"}}),
            "Backend team/a: apiVersion: the kind Backend is not served as apiVersion v1; \
             write apiVersion: clrk.apoxy.dev/v1alpha1",
        ),
        (
            route(json!({"extraordinary": 1})),
            "AIProviderRoute a: spec.extraordinary: unknown field extraordinary; remove it; known here: parentRefs, \
             rules",
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
fn where_nothing_is_known_a_field_is_to_be_removed() {
    let cause = Cause::UnknownField { field: "extraordinary".to_owned(), known: &[] };
    let error = ManifestError { identity: Box::default(), path: FieldPath::default(), cause };
    assert_eq!(error.remedy(), "remove it");
}

#[test]
fn a_value_of_another_type_is_named_by_its_type_beside_the_one_expected() {
    let at = |place: &str, value: Value| {
        let mut spec = json!({"listeners": [{"name": "l", "protocol": "TLS"}], "otlp": {"captureBody": {}}});
        let (parent, field) = place.rsplit_once('/').unwrap();
        spec.pointer_mut(parent).unwrap()[field] = value;
        let said = refuse(object(Kind::EgressGateway, spec));
        said.rsplit_once("found ")
            .map_or(said.clone(), |(_, found)| found.split(';').next().unwrap().to_owned())
    };
    let text = "text (in quotes where YAML would read a number)";
    let table = [
        ("/requestTimeout", json!(true), format!("true or false, expected {text}")),
        ("/requestTimeout", json!(-1), format!("a number, expected {text}")),
        ("/requestTimeout", json!(1.5), format!("a number, expected {text}")),
        ("/requestTimeout", json!([]), format!("a list, expected {text}")),
        ("/requestTimeout", json!({}), format!("an object, expected {text}")),
        ("/listeners/0/name", json!(null), format!("nothing, expected {text}")),
        ("/listeners", json!("x"), "text, expected a list".to_owned()),
        ("/otlp/headers", json!("x"), "text, expected an object".to_owned()),
        ("/otlp", json!("x"), "text, expected an object".to_owned()),
        ("/otlp", json!([]), "a list, expected an object".to_owned()),
        (
            "/listeners/0/port",
            json!(-1),
            "a number out of range, expected a whole number from 0 to 65535".to_owned(),
        ),
        ("/listeners/0/port", json!("443"), "text, expected a whole number from 0 to 65535".to_owned()),
        ("/otlp/captureBody/maxBytes", json!(1.5), "a number, expected a whole number".to_owned()),
        ("/otlp/captureBody/enabled", json!("yes"), "text, expected true or false".to_owned()),
        ("/maxSignedBodyBytes", json!(true), "true or false, expected a quantity such as 8Mi".to_owned()),
    ];
    for (place, value, said) in table {
        assert_eq!(at(place, value.clone()), said, "{place} {value}");
    }
}

#[test]
fn a_quantity_may_be_a_number_and_an_empty_value_is_an_empty_list_or_object() {
    let spec =
        json!({"listeners": null, "otlp": {"headers": null}, "dns": null, "maxSignedBodyBytes": 65536});
    let Manifest::EgressGateway(gateway) = accept(object(Kind::EgressGateway, spec)) else {
        panic!("another kind")
    };
    assert_eq!(gateway.spec.max_signed_body_bytes, Some(Quantity("65536".to_owned())));
    assert!(gateway.spec.listeners.is_empty() && gateway.spec.dns.is_none());
    assert!(gateway.spec.otlp.is_some_and(|otlp| otlp.headers.is_empty()));
    assert!(matches!(accept(object(Kind::EgressL4Route, json!(null))), Manifest::EgressL4Route(_)));
}

#[test]
fn names_are_dns_subdomains() {
    let named = |name: &str, namespace: &str| {
        let metadata = json!({"name": name, "namespace": namespace});
        Manifest::from_value(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})).is_ok()
    };
    let long = "a".repeat(254);
    for name in ["a", "a-b.c0", "0a", "xn--a", &long[1..]] {
        assert!(named(name, "team") && named("a", name), "{name}");
    }
    for name in ["", "-a", "a-", "A", "a_b", "a..b", ".a", "a.", "a.-b", "é", "a/b", &long] {
        assert!(!named(name, "team") && !named("a", name), "{name}");
    }
}

#[test]
fn every_kind_is_read_as_itself_and_keeps_its_name() {
    for kind in Kind::ALL {
        assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        assert_eq!(kind.to_string(), kind.as_str());
        let mut value = object(kind, json!({}));
        match kind {
            Kind::Secret => drop(value.as_object_mut().unwrap().remove("spec")),
            Kind::CredentialInjectionPolicy => {
                value["spec"] = json!({"secretRef": {"name": "s"}, "target": "Header"});
            }
            _ => {}
        }
        let manifest = accept(value);
        assert_eq!((manifest.kind(), manifest.metadata().name.as_str()), (kind, "a"));
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
