//! Configurations that are refused, whole, with the field named and no value shown.

use super::fixture::{bytes, compile, config, injection, rule, sealed, vault, verdict};
use super::*;
use crate::decide::{Facts, Head};
use crate::wire::{Outcome, Unlisted};
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn refusal(bytes: &[u8]) -> Option<ConfigError> {
    RuleSet::compile(bytes, &mut Vault::default()).err()
}

/// Changes the field at a JSON pointer and expects a refusal of the field at a path.
fn check(pointer: &str, value: Value, at: &str, fault: Fault) {
    let mut json = serde_json::to_value(sealed(config(), fixture::KEY)).unwrap();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match json.pointer_mut(parent).unwrap() {
        Value::Array(items) => items[field.parse::<usize>().unwrap()] = value,
        object => object[field] = value,
    }
    let error = refusal(json.to_string().as_bytes());
    assert_eq!(error, Some(ConfigError { at: at.to_owned(), fault }), "{pointer}");
}

#[test]
fn a_good_configuration_compiles() {
    assert_eq!(refusal(&bytes(&sealed(config(), fixture::KEY))), None);
    let guard = json!({"version": 1, "gateway": "default/echo-bot", "agent_side": {"kind": "Tls"}, "unlisted": "Deny"});
    assert_eq!(refusal(guard.to_string().as_bytes()), None);
}

#[test]
fn what_is_not_the_document_is_refused() {
    let good = bytes(&sealed(config(), fixture::KEY));
    for bytes in [&b""[..], b"{", b"[]", b"\xff", b"{}", b"null"] {
        assert_eq!(refusal(bytes).map(|error| error.fault), Some(Fault::Decode), "{bytes:?}");
    }
    assert_eq!(refusal(&[&good[..], b"x"].concat()), Some(ConfigError::new("the end", Fault::Decode)));
    (0..good.len()).for_each(|length| assert!(refusal(&good[..length]).is_some(), "{length}"));
}

#[test]
fn another_version_is_refused_as_such_even_with_fields_of_its_own() {
    check("/version", json!(2), "version", Fault::Version);
    let newer = br#"{"version": 2, "bodies": true}"#;
    assert_eq!(refusal(newer), Some(ConfigError::new("version", Fault::Version)));
}

#[test]
fn unknown_fields_and_other_types_are_refused() {
    check("/surprise", json!(1), "surprise", Fault::Decode);
    check("/rules/0/surprise", json!(1), "rules[0].surprise", Fault::Decode);
    check("/rules/0/ports", json!(["443"]), "rules[0].ports[0]", Fault::Decode);
    check("/rules/0/ports", json!([70000]), "rules[0].ports[0]", Fault::Decode);
    check("/rules/0/rank", json!(-1), "rules[0].rank", Fault::Decode);
    check("/rules/0/then", json!({"allow": []}), "rules[0].then", Fault::Decode);
    check("/rules/0/then", json!({"deny": "whatever"}), "rules[0].then.deny", Fault::Decode);
    check("/unlisted", json!("pass"), "unlisted", Fault::Decode);
    check("/agent_side", json!({"kind": "Tls", "clusters": ["a"]}), "agent_side", Fault::Decode);
    check("/agent_side", json!({"kind": "TrustedPlaintext"}), "agent_side", Fault::Decode);
}

#[test]
fn tables_must_be_sorted_and_well_formed() {
    check("/endpoints/0", json!(["/b", "/a"]), "endpoints[0]", Fault::Unsorted);
    check("/endpoints/0", json!(["/a", "/a"]), "endpoints[0]", Fault::Unsorted);
    check("/endpoints/0", json!(["/a", "/b["]), "endpoints[0][1]", Fault::Glob);
    check("/methods/0", json!(["PUT", "GET"]), "methods[0]", Fault::Unsorted);
    check("/methods/0", json!(["GET", "TRACE"]), "methods[0][1]", Fault::Method);
    check("/methods/0", json!(["CONNECT"]), "methods[0][0]", Fault::Method);
    check("/methods/0", json!(["get"]), "methods[0][0]", Fault::Method);
    check("/methods/0", json!([""]), "methods[0][0]", Fault::Method);
    check("/carriers/0/headers", json!(["b", "a"]), "carriers[0].headers", Fault::Unsorted);
    check("/carriers/0/headers", json!(["a", "A"]), "carriers[0].headers", Fault::Unsorted);
    check("/carriers/0/headers", json!(["B"]), "carriers[0].headers[0]", Fault::HeaderName);
    check("/carriers/0/headers", json!(["te"]), "carriers[0].headers[0]", Fault::ForbiddenHeader);
    check("/carriers/0/query", json!(["b", "a"]), "carriers[0].query", Fault::Unsorted);
    check("/carriers/0/query", json!([""]), "carriers[0].query[0]", Fault::Empty);
    let unsorted = json!({"kind": "TrustedPlaintext", "clusters": ["b", "a"]});
    check("/agent_side", unsorted, "agent_side.clusters", Fault::Unsorted);
}

#[test]
fn a_method_is_upper_case_letters_and_may_join_them() {
    let mut config = config();
    config.methods = vec![fixture::texts(&["GET", "M-SEARCH", "X_Y"])];
    assert_eq!(refusal(&bytes(&config)), None);
    check("/methods/0", json!(["M SEARCH"]), "methods[0][0]", Fault::Method);
    check("/methods/0", json!(["GET1"]), "methods[0][0]", Fault::Method);
}

#[test]
fn rules_must_be_well_formed() {
    check("/gateway", json!(""), "gateway", Fault::Empty);
    check("/rules/0/route", json!(""), "rules[0].route", Fault::Empty);
    check("/rules/0/hosts", json!([]), "rules[0].hosts", Fault::Empty);
    check("/rules/0/hosts", json!(["b.example", "a.example"]), "rules[0].hosts", Fault::Unsorted);
    check("/rules/0/hosts", json!(["*"]), "rules[0].hosts[0]", Fault::Host);
    check("/rules/0/hosts", json!(["API.example"]), "rules[0].hosts[0]", Fault::Host);
    check("/rules/0/ports", json!([]), "rules[0].ports", Fault::Empty);
    check("/rules/0/ports", json!([0]), "rules[0].ports", Fault::Port);
    check("/rules/0/ports", json!([8443, 443]), "rules[0].ports", Fault::Unsorted);
    check("/rules/0/endpoints", json!(1), "rules[0].endpoints", Fault::Index);
    check("/rules/0/methods", json!(1), "rules[0].methods", Fault::Index);
    check("/rules/0/carriers", json!(4_294_967_295_u32), "rules[0].carriers", Fault::Index);
    check("/rules/0/then", json!({"inject": []}), "rules[0].then.inject", Fault::Empty);
}

#[test]
fn only_headers_that_a_filter_may_set_can_be_places() {
    let (name, at) = ("/targets/0/header/name", "targets[0].header.name");
    for forbidden in [
        "host",
        "content-length",
        "transfer-encoding",
        "transfer_encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "keep-alive",
        "proxy-connection",
        "expect",
        "x-envoy-original-path",
        "x-keyward-reason",
        "forwarded",
    ] {
        check(name, json!(forbidden), at, Fault::ForbiddenHeader);
    }
    for malformed in ["", ":path", "X-Api-Key", "x api key", "x-api-key:", "é", "a\r\nb"] {
        check(name, json!(malformed), at, Fault::HeaderName);
    }
    check("/targets/0/header/prefix", json!("Bearer\r\n"), "targets[0].header.prefix", Fault::Prefix);
    check("/rules/0/then/inject/0/target", json!(1), "rules[0].then.inject[0].target", Fault::Index);
    check("/rules/0/then/inject/0/policy", json!(""), "rules[0].then.inject[0].policy", Fault::Empty);
}

#[test]
fn the_controller_can_ask_which_headers_may_be_set() {
    for (name, may) in [
        ("x-api-key", true),
        ("authorization", true),
        ("X-Api-Key", false),
        ("host", false),
        ("x-envoy-a", false),
        ("", false),
    ] {
        assert_eq!(is_settable_header(name), may, "{name}");
    }
}

#[test]
fn what_is_absent_means_its_default_and_defaults_are_not_written() {
    let minimal = json!({
        "version": 1, "gateway": "default/g", "agent_side": {"kind": "Tls"}, "unlisted": "Pass",
        "carriers": [{"headers": ["x-api-key"], "query": []}],
        "targets": [{"header": {"name": "x-api-key"}}],
        "rules": [{"route": "default/r", "hosts": ["a.example"],
                   "then": {"inject": [{"policy": "default/p", "sealed": ""}]}}],
    });
    let config: crate::wire::Config = serde_json::from_value(minimal.clone()).unwrap();
    assert_eq!((config.other_hosts, config.rules[0].rank), (Unlisted::Deny, 0));
    assert_eq!(config.rules[0].ports, [443]);
    assert_eq!(serde_json::to_value(&config).unwrap(), minimal);
    let mut explicit = config;
    (explicit.other_hosts, explicit.rules[0].rank, explicit.rules[0].ports) = (Unlisted::Pass, 1, vec![8443]);
    (explicit.rules[0].carriers, explicit.rules[0].then) =
        (2, crate::wire::Outcome::Inject(vec![injection("default/p", 3)]));
    let written = serde_json::to_value(&explicit).unwrap();
    assert_eq!((&written["other_hosts"], &written["rules"][0]["rank"]), (&json!("Pass"), &json!(1)));
    assert_eq!(written["rules"][0]["ports"], json!([8443]));
    assert_eq!(written["rules"][0]["carriers"], json!(2));
    assert_eq!(written["rules"][0]["then"]["inject"][0]["target"], json!(3));
}

#[test]
fn a_place_is_filled_once() {
    let mut twice = config();
    twice.targets.push(fixture::target("x_api_key", ""));
    let injections = vec![injection("default/a", 0), injection("default/b", 1)];
    twice.rules[0].then = crate::wire::Outcome::Inject(injections);
    let expected = ConfigError::new("rules[0].then.inject[1].target", Fault::Duplicate);
    assert_eq!(refusal(&bytes(&twice)), Some(expected));
}

#[test]
fn an_error_never_shows_a_value() {
    for pointer in
        ["/rules/0/then/inject/0/sealed", "/rules/0/then", "/rules/0/hosts", "/unlisted", "/version"]
    {
        for value in [json!("sk-ant-canary"), json!({"sk": "sk-ant-canary"}), json!(["sk-ant-canary"])] {
            let mut json = serde_json::to_value(sealed(config(), fixture::KEY)).unwrap();
            *json.pointer_mut(pointer).unwrap() = value;
            let shown =
                refusal(json.to_string().as_bytes()).map(|error| error.to_string()).unwrap_or_default();
            assert!(!shown.contains("canary"), "{shown}");
        }
    }
}

/// Why a request to the host is refused, if it is.
fn refused(rules: &RuleSet, host: &str) -> Option<Reason> {
    let (facts, authority) = (format!("{host}|-"), host.as_bytes());
    let head =
        Head { method: b"POST", scheme: b"https", authority, path: b"/v1/messages", ..Head::default() };
    verdict(rules, &Facts::parse(facts.as_bytes()), &head).err().map(|denial| denial.reason)
}

#[test]
fn a_credential_that_does_not_open_denies_its_own_rule_alone() {
    let mut two = config();
    two.targets.push(fixture::target("x-second", ""));
    two.rules.push(rule("default/other", &["api.example.com"]));
    let with_two = Outcome::Inject(vec![injection("default/other", 0), injection("default/other", 1)]);
    two.rules[1].then = with_two;
    let mut two = sealed(two, fixture::KEY);
    let opens = compile(&two, &mut vault());
    assert_eq!([fixture::HOST, "api.example.com"].map(|host| refused(&opens, host)), [None, None]);
    let Outcome::Inject(injections) = &mut two.rules[1].then else { panic!("no injection") };
    injections[1].sealed.push('A');
    let rules = compile(&two, &mut vault());
    assert_eq!(refused(&rules, fixture::HOST), None);
    assert_eq!(refused(&rules, "api.example.com"), Some(Reason::CredentialUnsealable));
}

#[test]
fn without_a_keyring_every_rule_denies() {
    let bytes = bytes(&sealed(config(), fixture::KEY));
    let rules = RuleSet::compile(&bytes, &mut Vault::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(refused(&rules, fixture::HOST), Some(Reason::CredentialUnsealable));
}

mod properties {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_configuration_with_changed_bytes_never_panics(at in 0..400_usize, byte in any::<u8>()) {
            let mut bytes = bytes(&sealed(config(), fixture::KEY));
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            let _ = refusal(&bytes);
        }
    }
}

/// A configuration with a route for each of these names, each with a host of its own; its key is the name twice.
fn of_routes(names: &[&str]) -> Config {
    let mut config = config();
    config.rules = names.iter().map(|name| rule(name, &[&format!("{name}.example.com")])).collect();
    config
}

/// The routes whose rules were taken over from `before`.
fn taken_over(before: &RuleSet, after: &RuleSet) -> Vec<String> {
    let old = |rule: &Rc<Rule>| before.read.iter().any(|(_, old)| Rc::ptr_eq(old, rule));
    let rules = after.read.iter().map(|(_, rule)| rule);
    rules.filter(|rule| old(rule)).map(|rule| rule.route.clone()).collect()
}

fn after(before: &RuleSet, config: &Config, vault: &mut Vault) -> RuleSet {
    RuleSet::compile_after(before, &bytes(config), vault).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_two_configurations_share_is_compiled_once() {
    let mut vault = vault();
    let before = compile(&of_routes(&["a", "b", "c", "d"]), &mut vault);
    for (then, expected) in [
        (&["a", "b", "c", "d"][..], &["a", "b", "c", "d"][..]),
        (&["a", "b", "new", "c", "d"], &["a", "b", "c", "d"]),
        (&["b", "c", "d"], &["b", "c", "d"]),
        (&["a", "c", "d"], &["a", "c", "d"]),
        (&["a", "new", "c", "d"], &["a", "c", "d"]),
        (&["a", "b", "c", "new"], &["a", "b", "c"]),
        (&["a"], &["a"]),
        (&[], &[]),
    ] {
        let set = after(&before, &of_routes(then), &mut vault);
        assert_eq!(taken_over(&before, &set), expected, "{then:?}");
        for name in ["a", "b", "c", "d", "new"] {
            let count = set.of_host(&format!("{name}.example.com")).count();
            assert_eq!(count, usize::from(then.contains(&name)), "{name} of {then:?}");
        }
    }
}

#[test]
fn a_rotated_credential_is_a_new_rule_beside_old_ones() {
    let mut vault = vault();
    let two = || {
        let mut config = config();
        config.rules.push(rule("default/other", &["other.example.com"]));
        config
    };
    let before = compile(&sealed(two(), fixture::KEY), &mut vault);
    let rotated = fixture::sealed_where(sealed(two(), fixture::KEY), "sk-ant-rotated-987", |policy| {
        policy == "default/anthropic"
    });
    let after = after(&before, &rotated, &mut vault);
    assert_eq!(taken_over(&before, &after), ["default/other"]);
    let values: Vec<_> = after
        .credentials()
        .map(|credential| match credential.material() {
            Some(Material::Value { whole, .. }) => Some(whole.expose().to_vec()),
            _ => None,
        })
        .collect();
    assert_eq!(values, [Some(b"sk-ant-rotated-987".to_vec()), Some(fixture::KEY.into())]);
}

#[test]
fn the_same_rule_under_other_tables_is_compiled_again() {
    let mut vault = vault();
    let before = compile(&sealed(config(), fixture::KEY), &mut vault);
    let mut other = sealed(config(), fixture::KEY);
    other.endpoints[0] = fixture::texts(&["/v2/*"]);
    other.unlisted = Unlisted::Deny;
    let after = after(&before, &other, &mut vault);
    assert_eq!(taken_over(&before, &after), [""; 0]);
    assert_eq!(refused(&before, fixture::HOST), None);
    assert_eq!(refused(&after, fixture::HOST), Some(Reason::EndpointNotListed), "/v1/messages");
}

#[test]
fn a_fault_after_rules_that_were_taken_over_is_found_in_its_place() {
    let mut vault = vault();
    let before = compile(&of_routes(&["a", "b"]), &mut vault);
    let mut broken = of_routes(&["a", "b", "c"]);
    broken.rules[2].ports.clear();
    let error = RuleSet::compile_after(&before, &bytes(&broken), &mut vault).err();
    assert_eq!(error, Some(ConfigError { at: "rules[2].ports".into(), fault: Fault::Empty }));

    let mut json = serde_json::to_value(of_routes(&["a", "b", "c"])).unwrap();
    json["rules"][2]["rank"] = json!("first");
    let error = RuleSet::compile_after(&before, json.to_string().as_bytes(), &mut vault).err();
    assert_eq!(error.map(|error| error.at), Some("rules[2].rank".into()));
}
