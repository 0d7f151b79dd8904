//! Which rule a request meets, and requests that meet none.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn methods_outside_the_usual_ones_pass_only_where_listed() {
    let mut listing = config();
    listing.rules[0].methods = Some(0);
    let (any, listed) = (rules_of(config()), rules_of(listing));
    let table = [
        ("POST", INJECTED, INJECTED),
        ("GET", INJECTED, "passed endpoint_not_listed"),
        ("PROPFIND", "denied method_not_allowed", INJECTED),
        ("MKCOL", "denied method_not_allowed", "denied method_not_allowed"),
        ("TRACE", "denied method_not_allowed", "denied method_not_allowed"),
        ("CONNECT", "denied method_not_allowed", "denied method_not_allowed"),
        ("connect", "denied method_not_allowed", "denied method_not_allowed"),
        ("post", "denied method_not_allowed", "denied method_not_allowed"),
        ("", "denied method_not_allowed", "denied method_not_allowed"),
    ];
    for (method, by_any, by_listed) in table {
        let mut request = messages();
        request.method = method;
        check(&any, &request, by_any);
        check(&listed, &request, by_listed);
    }
    let mut elsewhere = post("other.example", "/");
    elsewhere.method = "TRACE";
    check(&any, &elsewhere, "denied method_not_allowed");
    check(&any, &messages().with(&[(":protocol", "websocket")]), "denied method_not_allowed");
}

#[test]
fn paths_must_be_canonical_where_some_rule_of_the_host_has_endpoints() {
    let rules = rules_of(config());
    for path in [
        "/v1/%6dessages",
        "/v1//messages",
        "/v1/./messages",
        "/x/../v1/messages",
        "/v1%2fmessages",
        "/v1/messages;x",
        "*",
        "",
    ] {
        check(&rules, &post(HOST, path), "denied path_not_canonical");
        let mut anywhere = config();
        anywhere.rules[0].endpoints = None;
        check(&rules_of(anywhere), &post(HOST, path), INJECTED);
    }
    check(&rules, &post(HOST, "/v1/Messages"), "passed endpoint_not_listed");
    check(&rules, &post(HOST, "/v1/messages/"), "passed endpoint_not_listed");
}

#[test]
fn the_most_specific_rule_wins_wherever_it_stands() {
    let mut many = config();
    many.endpoints = vec![texts(&["/v1/*"]), texts(&["/v1/messages"]), texts(&["/v1/mess*"])];
    let place = |route: &str, host: &str, endpoints, methods, rank| {
        let mut rule = rule(route, &[host]);
        (rule.endpoints, rule.methods, rule.rank) = (endpoints, methods, rank);
        rule
    };
    many.rules = vec![
        place("r/pattern-exact-path", "*.example.com", Some(1), None, 0),
        place("r/wide-pattern", "*.com", None, None, 0),
        place("r/host", "a.example.com", None, None, 0),
        place("r/host-glob", "a.example.com", Some(0), None, 0),
        place("r/host-longer-glob", "a.example.com", Some(2), None, 0),
        place("r/host-method", "a.example.com", None, Some(0), 9),
        place("r/b", "b.example.com", None, None, 1),
        place("r/c", "b.example.com", None, None, 0),
        place("r/a", "b.example.com", None, None, 1),
        place("r/e", "c.example.com", None, None, 0),
        place("r/d", "c.example.com", None, None, 0),
    ];
    let table = [
        ("POST", "a.example.com", "/v1/messages", "r/host-longer-glob"),
        ("POST", "a.example.com", "/v1/other", "r/host-glob"),
        ("POST", "a.example.com", "/other", "r/host-method"),
        ("GET", "a.example.com", "/other", "r/host"),
        ("GET", "x.example.com", "/v1/messages", "r/pattern-exact-path"),
        ("GET", "x.com", "/", "r/wide-pattern"),
        ("GET", "b.example.com", "/", "r/c"),
        ("GET", "c.example.com", "/", "r/d"),
    ];
    for turned in [false, true] {
        let mut config = many.clone();
        if turned {
            config.rules.reverse();
        }
        let rules = rules_of(config);
        for (method, host, path, route) in table {
            let mut request = post(host, path);
            request.method = method;
            let plan = request.decide(&rules).unwrap_or_else(|denial| panic!("{denial:?}"));
            assert_eq!(plan.route.as_deref(), Some(route), "{method} {host}{path}");
        }
    }
}

#[test]
fn a_rule_that_cannot_be_carried_out_denies_with_its_cause() {
    let causes = [
        (DenyCause::SecretNotFound, Reason::SecretNotFound),
        (DenyCause::KeyNotFound, Reason::KeyNotFound),
        (DenyCause::InvalidSecret, Reason::InvalidSecret),
        (DenyCause::NoPolicy, Reason::NoPolicy),
        (DenyCause::RouteRefused, Reason::RouteRefused),
    ];
    for (cause, reason) in causes {
        let mut denying = config();
        denying.rules[0].then = Outcome::Deny(cause);
        let rules = rules_of(denying);
        let denial = messages().decide(&rules).err().unwrap();
        assert_eq!(denial, Denial { reason, route: Some("default/anthropic".to_owned()) });
        check(&rules, &post(HOST, "/v1/files"), "passed endpoint_not_listed");
    }
}

#[test]
fn of_two_rules_that_differ_in_nothing_else_the_denying_one_wins() {
    let mut both = config();
    both.rules.push(both.rules[0].clone());
    both.rules[1].then = Outcome::Deny(DenyCause::NoPolicy);
    check(&rules_of(both.clone()), &messages(), "denied no_policy");
    both.rules.reverse();
    check(&rules_of(both), &messages(), "denied no_policy");
}

#[test]
fn thousands_of_hosts_are_found_by_name() {
    let mut many = config();
    many.rules = (0..5000).map(|i| rule("default/anthropic", &[&format!("h{i}.example.com")])).collect();
    many.rules.iter_mut().for_each(|rule| rule.then = Outcome::Deny(DenyCause::NoPolicy));
    let rules = rules_of(many);
    check(&rules, &post("h4999.example.com", "/v1/messages"), "denied no_policy");
    check(&rules, &post("h5000.example.com", "/v1/messages"), "passed host_not_listed");
}

#[test]
fn a_rule_that_forbids_goes_before_every_other_however_narrow() {
    let forbidding = |change: fn(&mut Config, &mut Rule)| {
        let mut both = config();
        let mut rule = rule("zz/last", &[HOST]);
        rule.rank = 9;
        rule.then = Outcome::Deny(DenyCause::RouteDenied);
        change(&mut both, &mut rule);
        both.rules.push(rule);
        rules_of(both)
    };
    // The whole host, and a pattern that covers it, against one endpoint of an exact name.
    let whole = forbidding(|_, rule| rule.endpoints = None);
    let pattern = forbidding(|_, rule| {
        rule.endpoints = None;
        rule.hosts = texts(&["*.anthropic.com"]);
    });
    for rules in [&whole, &pattern] {
        check(rules, &messages(), "denied route_denied");
        check(rules, &post(HOST, "/v1/files"), "denied route_denied");
    }
    // Some methods alone: the others go on.
    let methods = forbidding(|both, rule| {
        both.methods = vec![texts(&["DELETE"])];
        (rule.endpoints, rule.methods) = (None, Some(0));
    });
    let mut delete = messages();
    delete.method = "DELETE";
    check(&methods, &delete, "denied route_denied");
    check(&methods, &messages(), INJECTED);
    // One model alone, although the other rule is for any.
    let models = forbidding(|both, rule| {
        both.models = vec![crate::wire::Models {
            source: crate::wire::ModelSource::Body,
            globs: texts(&["claude-secret-*"]),
        }];
        (rule.endpoints, rule.models) = (None, Some(0));
    });
    let mut secret = messages();
    secret.body = Some(r#"{"model":"claude-secret-1"}"#);
    check(&models, &secret, "denied route_denied");
    secret.body = Some(r#"{"model":"claude-open-1"}"#);
    check(&models, &secret, INJECTED);
}
