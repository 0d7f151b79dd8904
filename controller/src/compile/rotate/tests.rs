//! A rotation is a compilation that is spared: its outcome is the same, or it says that it does not apply.

use zeroize::Zeroizing;

use super::*;
use crate::compile::compile;
use crate::source::{Asked, LastGood, Listing, Objects, Overrides, load};

const OBJECTS: &str = "\
apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressGateway
metadata: {name: g}
spec:
  listeners: [{name: egress, protocol: TLS, tls: {mode: Terminate}}]
  upstreamTLS: {additionalTrustBundleSecretRef: {name: ca}}
---
apiVersion: v1
kind: Secret
metadata: {name: ca}
---
apiVersion: v1
kind: Secret
metadata: {name: unused}
stringData: {token: whatever-it-is}
";

/// A route with a policy; several may name one Secret.
fn route(name: &str, secret: &str) -> String {
    format!(
        "---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: AIProviderRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{group: clrk.apoxy.dev, kind: EgressGateway, name: g}}]
  rules: [{{matches: [{{provider: custom, hosts: [{name}.example.com, \"*.{name}.example.com\"]}}]}}]
---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: CredentialInjectionPolicy
metadata: {{name: {name}}}
spec:
  targetRefs: [{{group: clrk.apoxy.dev, kind: AIProviderRoute, name: {name}}}]
  secretRef: {{name: {secret}}}
  target: Header
  headerName: x-api-key
"
    )
}

fn keyring() -> Keyring {
    Keyring::parse("k:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap()
}

fn inputs(one: &str, two: &str) -> Inputs {
    Inputs::from_objects(&objects(one, two))
}

fn objects(one: &str, two: &str) -> Objects {
    let secret = |name: &str, value: &str| {
        format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{{value}}}\n")
    };
    let text = [
        OBJECTS.to_owned(),
        secret("one", one),
        secret("two", two),
        route("a", "one"),
        route("b", "two"),
        route("c", "one"),
    ];
    let listing = Listing::from([("a.yaml".to_owned(), Ok(Zeroizing::new(text.concat().into_bytes())))]);
    load(&listing, &mut LastGood::default(), &Overrides::default()).objects
}

fn plans(inputs: &Inputs) -> BTreeMap<ObjectKey, GatewayPlan> {
    let keyring = keyring();
    compile(inputs, |_| &keyring, "").gateways
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "default".into(), name: name.into() }
}

fn policies(one: &str, secret: &str) -> Vec<ObjectKey> {
    let asked = Asked::of(&objects(one, "token: value-of-two"));
    asked.policies(&key(secret)).cloned().collect()
}

/// Rotates `one` from the one value to the other, and compares with compilations; what was touched.
fn check(before: &str, after: &str, secret: &str) -> Option<Touched> {
    let (mut inputs, wanted) = (inputs(before, "token: value-of-two"), inputs(after, "token: value-of-two"));
    let (untouched, mut plans, keyring) = (inputs.clone(), plans(&inputs), keyring());
    let values = wanted.secrets[&key(secret)].clone();
    let policies = policies(before, secret);
    let touched = rotate(&mut inputs, &mut plans, &key(secret), &policies, values, |_| &keyring);
    let expected = if touched.is_some() { &wanted } else { &untouched };
    assert!(inputs == *expected, "the inputs, from {before} to {after}");
    assert!(plans == self::plans(expected), "the plans, from {before} to {after}");
    touched
}

#[test]
fn a_rotated_secret_gives_what_a_compilation_gives() {
    let touched = check("token: first-value", "token: second-value", "one").expect("it applies");
    assert_eq!(touched.keys().collect::<Vec<_>>(), [&key("g")]);
    assert_eq!(touched[&key("g")].len(), 1, "hosts that share a Secret share a bucket");
}

#[test]
fn a_secret_that_no_policy_names_touches_nothing() {
    assert_eq!(check("token: first-value", "token: first-value", "unused"), Some(Touched::new()));
}

#[test]
fn what_changes_more_than_sealed_values_is_left_to_a_compilation() {
    for (before, after, secret) in [
        ("token: first-value", "token: short", "one"),
        ("token: first-value", "other: second-value", "one"),
        ("token: short", "token: second-value", "one"),
        ("token: first-value", "token: first-value", "ca"),
    ] {
        assert_eq!(check(before, after, secret), None, "from {before} to {after}");
    }
}

#[test]
fn a_secret_that_is_new_is_left_to_a_compilation() {
    let (mut inputs, keyring) = (inputs("token: first-value", "token: value-of-two"), keyring());
    let mut plans = plans(&inputs);
    let values = inputs.secrets[&key("one")].clone();
    assert_eq!(rotate(&mut inputs, &mut plans, &key("new"), &[], values, |_| &keyring), None);
}
