//! Objects that tests write beside the worked example, as YAML documents of one file. What an object says beyond its
//! references is YAML of the test's own; one that has to be wrong is written by hand.

use std::collections::BTreeMap;

use serde_json::json;

/// What a policy says to put the key of the worked example where the worked example does.
pub const EXAMPLE_KEY: &str = "secretKey: api-key, target: Header, headerName: x-api-key";

/// What a policy says to put the only value of its Secret behind `Bearer`.
pub const BEARER: &str = "target: Header, headerName: authorization, valuePrefix: 'Bearer '";

/// What a policy says to sign for a service of AWS.
#[must_use]
pub fn signing(region: &str, service: &str) -> String {
    format!("target: ProviderAuth, providerAuth: {{type: AWSv4, region: {region}, service: {service}}}")
}

/// A Secret.
#[must_use]
pub fn secret(name: &str, data: &[(&str, &str)]) -> String {
    let data: BTreeMap<_, _> = data.iter().copied().collect();
    // JSON is YAML.
    let object =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    format!("---\n{object}\n")
}

/// A Secret with the keys of an AWS account.
#[must_use]
pub fn aws_keys(name: &str, id: &str, key: &str, token: Option<&str>) -> String {
    let token = token.map(|token| ("session_token", token));
    let data: Vec<_> = [("access_key_id", id), ("secret_access_key", key)].into_iter().chain(token).collect();
    secret(name, &data)
}

/// A gateway that ends TLS. A file of manifests points its first one at providers.
#[must_use]
pub fn gateway(name: &str, default_policy: &str) -> String {
    format!(
        "---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressGateway
metadata: {{name: {name}}}
spec:
  defaultPolicy: {default_policy}
  listeners: [{{name: egress, protocol: TLS, tls: {{mode: Terminate}}}}]
"
    )
}

/// A route at gateways, with one rule of these matches, as `{provider: openai}`.
#[must_use]
pub fn route(name: &str, gateways: &[&str], matches: &str) -> String {
    let parents = gateways
        .iter()
        .map(|gateway| format!("{{group: clrk.apoxy.dev, kind: EgressGateway, name: {gateway}}}"));
    format!(
        "---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: AIProviderRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{}]
  rules: [{{matches: [{matches}]}}]
",
        parents.collect::<Vec<_>>().join(", ")
    )
}

/// A policy on the route of the same name, with a Secret.
#[must_use]
pub fn policy(route: &str, secret: &str, spec: &str) -> String {
    policy_on(route, route, secret, spec)
}

/// A policy on a route.
#[must_use]
pub fn policy_on(route: &str, name: &str, secret: &str, spec: &str) -> String {
    format!(
        "---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: CredentialInjectionPolicy
metadata: {{name: {name}}}
spec: {{targetRefs: [{{group: clrk.apoxy.dev, kind: AIProviderRoute, name: {route}}}], secretRef: {{name: {secret}}}, {spec}}}
"
    )
}
