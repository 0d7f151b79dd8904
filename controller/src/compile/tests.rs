//! What the golden files cannot show: large inputs, isolation of buckets, statuses as the API has them.

use std::collections::BTreeSet;

use policy::api::Kind;
use policy::seal::Keyring;
use policy::wire::Unlisted;
use zeroize::Zeroizing;

use super::{Compiled, compile};
use crate::conditions::{ObjectRef, ObjectStatus};
use crate::inputs::Inputs;
use crate::plan::{BUCKETS, GatewayPlan, ObjectKey};
use crate::source::{LastGood, Listing, Overrides, load};

const GATEWAY: &str = "\
apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressGateway
metadata: {name: g, generation: 7}
spec: {listeners: [{name: egress, protocol: TLS, port: 443, tls: {mode: Terminate}}]}
";

fn triple(name: &str, value: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{token: {value}}}\n\
         ---\napiVersion: clrk.apoxy.dev/v1alpha1\nkind: AIProviderRoute\nmetadata: {{name: {name}, generation: 3}}\n\
         spec:\n  parentRefs: [{{group: clrk.apoxy.dev, kind: EgressGateway, name: g}}]\n  \
         rules: [{{matches: [{{provider: custom, hosts: [{name}.example.com]}}]}}]\n\
         ---\napiVersion: clrk.apoxy.dev/v1alpha1\nkind: CredentialInjectionPolicy\nmetadata: {{name: {name}}}\n\
         spec:\n  targetRefs: [{{group: clrk.apoxy.dev, kind: AIProviderRoute, name: {name}}}]\n  \
         secretRef: {{name: {name}}}\n  target: Header\n  headerName: x-api-key\n"
    )
}

fn compiled(text: &str) -> Compiled {
    let listing = Listing::from([("a.yaml".to_owned(), Ok(Zeroizing::new(text.as_bytes().to_vec())))]);
    let loaded = load(&listing, &mut LastGood::default(), &Overrides::default());
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let keyring = Keyring::parse("k:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    compile(&Inputs::from_objects(&loaded.objects), |_| &keyring, "")
}

fn only_gateway(compiled: &Compiled) -> &GatewayPlan {
    assert_eq!(compiled.gateways.len(), 1);
    compiled.gateways.values().next().unwrap()
}

fn status(compiled: &Compiled, kind: Kind, name: &str) -> ObjectStatus {
    let key = ObjectKey { namespace: "default".into(), name: name.into() };
    compiled.statuses.0[&ObjectRef::new(kind, key)].clone()
}

/// The buckets that differ between two plans.
fn differing(one: &GatewayPlan, other: &GatewayPlan) -> BTreeSet<usize> {
    (0..BUCKETS).filter(|index| one.buckets[*index] != other.buckets[*index]).collect()
}

#[test]
fn a_rotated_secret_changes_one_bucket_and_nothing_else() {
    let text = |value: &str| {
        let many: String = (0..100).map(|number| triple(&format!("h{number}"), "value-unchanged")).collect();
        format!("{GATEWAY}{many}{}", triple("rotated", value))
    };
    let (before, after) = (compiled(&text("value-before")), compiled(&text("value-after")));
    assert_eq!(before.statuses, after.statuses);
    let (before, after) = (only_gateway(&before), only_gateway(&after));
    assert_eq!(before.hosts, after.hosts);
    assert_eq!(differing(before, after).len(), 1);
}

#[test]
fn an_added_route_changes_its_own_bucket_only() {
    let many: String = (0..100).map(|number| triple(&format!("h{number}"), "value-unchanged")).collect();
    let before = compiled(&format!("{GATEWAY}{many}"));
    // Its name sorts before every other, so it takes the first rank.
    let after = compiled(&format!("{GATEWAY}{many}{}", triple("added", "value-added")));
    let (before, after) = (only_gateway(&before), only_gateway(&after));
    assert_eq!(differing(before, after).len(), 1);
    assert_eq!(after.hosts.len(), before.hosts.len() + 1);
}

#[test]
fn a_secret_that_goes_missing_denies_in_the_same_bucket() {
    let with = compiled(&format!("{GATEWAY}{}", triple("a", "value-there")));
    let text = triple("a", "value-there").replace("token:", "other:");
    let without = compiled(&format!("{GATEWAY}{text}"));
    assert_eq!(only_gateway(&with).hosts, only_gateway(&without).hosts);
}

#[test]
fn every_bucket_exists_and_one_without_rules_denies() {
    let plan = compiled(&GATEWAY.replace("spec: {", "spec: {defaultPolicy: allow-all, "));
    let plan = only_gateway(&plan);
    assert_eq!(plan.buckets.len(), BUCKETS);
    assert!(
        plan.buckets.iter().all(|bucket| bucket.rules.is_empty() && bucket.other_hosts == Unlisted::Deny)
    );
    assert_eq!(plan.guard.other_hosts, Unlisted::Pass);
}

#[test]
fn statuses_take_the_form_of_the_api() {
    let compiled = compiled(&format!("{GATEWAY}{}", triple("a", "value-there")));
    let gateway = status(&compiled, Kind::EgressGateway, "g").to_gateway().unwrap();
    assert_eq!(gateway.listener_count, 1);
    let listener = &gateway.listeners[0];
    assert_eq!((listener.name.as_str(), listener.port, listener.attached_routes), ("egress", Some(443), 1));
    assert!(gateway.conditions.iter().all(|condition| condition.observed_generation == Some(7)));
    let route = status(&compiled, Kind::AiProviderRoute, "a").to_route().unwrap();
    assert_eq!(route.parents[0].parent_ref.name, "g");
    let said: Vec<(&str, &str, Option<i64>)> = route.parents[0]
        .conditions
        .iter()
        .map(|condition| (condition.kind.as_str(), condition.status.as_str(), condition.observed_generation))
        .collect();
    assert_eq!(said, [("Accepted", "True", Some(3)), ("ResolvedRefs", "True", Some(3))]);
    let policy = status(&compiled, Kind::CredentialInjectionPolicy, "a").to_policy().unwrap();
    assert_eq!(policy.ancestors[0].ancestor_ref.kind, "AIProviderRoute");
    assert_eq!(policy.ancestors[0].controller_name, "clrk.apoxy.dev/keyward");
}

#[test]
fn the_table_of_support_names_every_field_once() {
    let rows = super::support::rows();
    let names: BTreeSet<String> =
        rows.iter().map(|row| format!("{} {}", row.kind, row.field.clone().unwrap_or_default())).collect();
    assert_eq!(names.len(), rows.len());
}

#[test]
fn a_bucket_that_the_filter_would_refuse_denies_and_its_neighbours_stay() {
    let compiled =
        compiled(&format!("{GATEWAY}{}{}", triple("a", "value-there"), triple("b", "value-there")));
    let mut plan = only_gateway(&compiled).clone();
    let used: Vec<usize> = (0..BUCKETS).filter(|index| !plan.buckets[*index].rules.is_empty()).collect();
    let (broken, sound) = (used[0], used[1]);
    plan.buckets[broken].rules[0].hosts.clear();
    let refused = super::prove::deny_what_the_filter_refuses(&mut plan);
    assert_eq!(refused, [broken.to_string()]);
    assert!(plan.buckets[broken].rules.is_empty());
    assert_eq!(plan.buckets[broken].unlisted, Unlisted::Deny);
    assert_eq!(plan.buckets[sound], only_gateway(&compiled).buckets[sound]);
}
