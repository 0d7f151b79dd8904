//! Verdicts: which requests get the credential, and what every one of them loses on the way.

use super::*;
use crate::rules::Vault;
use crate::rules::fixture::{HOST, KEY, compile, config, injection, rule, sealed, texts};
use crate::wire::{Config, DenyCause, Outcome};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A request as the agent sends it; `x` in a table changes one thing about it.
#[derive(Clone)]
struct Request {
    connection: String,
    method: &'static str,
    scheme: &'static str,
    authority: String,
    path: String,
    headers: Vec<(&'static str, &'static str)>,
}

fn post(host: &str, path: &str) -> Request {
    Request {
        connection: format!("{host}|{host}:443"),
        method: "POST",
        scheme: "https",
        authority: host.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
    }
}

fn messages() -> Request {
    post(HOST, "/v1/messages")
}

impl Request {
    fn with(mut self, headers: &[(&'static str, &'static str)]) -> Self {
        self.headers.extend(headers);
        self
    }

    fn decide(&self, rules: &RuleSet) -> Result<Plan, Denial> {
        self.decide_with(rules, &Facts::parse(self.connection.as_bytes()))
    }

    fn decide_with(&self, rules: &RuleSet, facts: &Facts<'_>) -> Result<Plan, Denial> {
        let pseudo = [
            (":method", self.method),
            (":scheme", self.scheme),
            (":authority", self.authority.as_str()),
            (":path", self.path.as_str()),
        ];
        let map = pseudo.iter().chain(self.headers.iter().map(|pair| pair as &(&str, &str)));
        rules.decide(facts, &Head::from_map(map.map(|(name, value)| (name.as_bytes(), value.as_bytes()))))
    }
}

/// The verdict in one line, as tables write it: decision, route or reason, and edits.
fn verdict(result: &Result<Plan, Denial>) -> String {
    match result {
        Err(denial) => format!("denied {}", denial.reason),
        Ok(plan) => {
            let mut line = plan.decision.as_str().to_owned();
            let why = plan.route.as_deref().or(plan.reason.map(Reason::as_str));
            line.extend(why.map(|why| format!(" {why}")));
            line.extend(plan.edits.iter().map(|edit| match edit {
                Edit::RemoveHeader(name) => format!(" -{name}"),
                Edit::SetPath(path) => format!(" path={}", String::from_utf8_lossy(path)),
                Edit::SetHeader { name, value } => {
                    format!(" {name}={}", String::from_utf8_lossy(value.expose()))
                }
            }));
            if plan.smuggle == Smuggle::Attempted {
                line.push_str(" smuggle");
            }
            line
        }
    }
}

fn rules_of(config: Config) -> RuleSet {
    compile(&sealed(config, KEY), &mut Vault::default())
}

fn check(rules: &RuleSet, request: &Request, expected: &str) {
    let got = verdict(&request.decide(rules));
    assert_eq!(got, expected, "{} {} {:?}", request.method, request.path, request.headers);
}

const INJECTED: &str = "injected default/anthropic x-api-key=sk-ant-0123456789";

#[test]
fn a_matching_request_gets_one_value_whatever_the_agent_sent() {
    let rules = rules_of(config());
    let table: &[(&[(&str, &str)], &str)] = &[
        (&[], INJECTED),
        (&[("x-api-key", "")], INJECTED),
        (&[("x-api-key", "clrk-injected-by-proxy")], INJECTED),
        (&[("content-type", "application/json"), ("x-api-version", "1")], INJECTED),
    ];
    for (headers, expected) in table {
        check(&rules, &messages().with(headers), expected);
    }
    let smuggled: &[(&[(&str, &str)], &str)] = &[
        (&[("x-api-key", "sk-mine")], ""),
        (&[("x-api-key", "sk-1"), ("x-api-key", "sk-2"), ("x-api-key", "clrk-injected-by-proxy")], ""),
        (&[("X-Api-Key", "sk-1")], " -X-Api-Key"),
        (&[("x_api_key", "sk-1"), ("x-api_key", "sk-2")], " -x_api_key -x-api_key"),
        (&[("authorization", "Bearer sk-mine")], " -authorization"),
        (&[("authorization", "a"), ("authorization", "b")], " -authorization"),
        (&[("cookie", "session=1")], " -cookie"),
        (&[("proxy-authorization", "Basic x")], " -proxy-authorization"),
    ];
    for (headers, removed) in smuggled {
        let expected = format!("injected default/anthropic{removed} x-api-key=sk-ant-0123456789 smuggle");
        check(&rules, &messages().with(headers), &expected);
    }
}

#[test]
fn placeholders_are_removed_without_being_called_smuggling() {
    let rules = rules_of(config());
    for value in ["", " ", "clrk-injected-by-proxy", "Bearer clrk-injected-by-proxy"] {
        let expected = "injected default/anthropic -authorization x-api-key=sk-ant-0123456789";
        check(&rules, &messages().with(&[("authorization", value)]), expected);
    }
    for value in
        ["clrk-injected-by-proxy sk-mine", "Bearer sk-mine clrk-injected-by-proxy", "xclrk-injected-by-proxy"]
    {
        let expected = "injected default/anthropic -authorization x-api-key=sk-ant-0123456789 smuggle";
        check(&rules, &messages().with(&[("authorization", value)]), expected);
    }
}

#[test]
fn credential_parameters_leave_the_query() {
    let rules = rules_of(config());
    let table = [
        ("/v1/messages?beta=true", INJECTED),
        (
            "/v1/messages?a=1&k%65y=sk",
            "injected default/anthropic path=/v1/messages?a=1 x-api-key=sk-ant-0123456789 smuggle",
        ),
        (
            "/v1/messages?key=clrk-injected-by-proxy",
            "injected default/anthropic path=/v1/messages x-api-key=sk-ant-0123456789",
        ),
        ("/v1/files?api_key=sk", "passed endpoint_not_listed path=/v1/files smuggle"),
    ];
    for (path, expected) in table {
        check(&rules, &post(HOST, path), expected);
    }
}

#[test]
fn control_headers_leave_every_request_that_is_forwarded() {
    let rules = rules_of(config());
    let names = [
        "x-envoy-original-path",
        "X-Envoy-Retry-On",
        "x_envoy_internal",
        "x-forwarded-for",
        "X-Forwarded-Proto",
        "x_forwarded_proto",
        "X_Forwarded_Host",
        "x-keyward-trace",
        "x-original-url",
        "x-rewrite-url",
        "forwarded",
        "x-http-method-override",
        "x-method-override",
        "x-http-method",
    ];
    for name in names {
        let expected = format!("injected default/anthropic -{name} x-api-key=sk-ant-0123456789");
        check(&rules, &messages().with(&[(name, "v")]), &expected);
        check(
            &rules,
            &post(HOST, "/v1/files").with(&[(name, "v")]),
            &format!("passed endpoint_not_listed -{name}"),
        );
        check(
            &rules,
            &post("other.example", "/").with(&[(name, "v")]),
            &format!("passed host_not_listed -{name}"),
        );
    }
    for name in
        ["x-forwarded-proto", "x-envo-y", "x-forwarded", "x-request-id", "traceparent", "te", "user-agent"]
    {
        check(&rules, &messages().with(&[(name, "v")]), INJECTED);
    }
}

#[test]
fn an_unlisted_endpoint_of_a_known_host_carries_no_credential_at_all() {
    let rules = rules_of(config());
    let agents_own =
        [("authorization", "Bearer sk"), ("x-api-key", "sk"), ("cookie", "a"), ("accept", "*/*")];
    check(
        &rules,
        &post(HOST, "/v1/files?key=sk").with(&agents_own),
        "passed endpoint_not_listed -authorization -x-api-key -cookie path=/v1/files smuggle",
    );
    let mut denying = config();
    denying.unlisted = Unlisted::Deny;
    check(&rules_of(denying), &post(HOST, "/v1/files").with(&agents_own), "denied endpoint_not_listed");
}

#[test]
fn another_host_keeps_what_the_agent_sent_or_is_refused() {
    let rules = rules_of(config());
    let own =
        [("authorization", "Bearer sk"), ("x-api-key", "sk"), ("cookie", "a"), ("proxy-authorization", "b")];
    check(
        &rules,
        &post("other.example", "/a//b?key=sk").with(&own),
        "passed host_not_listed -proxy-authorization smuggle",
    );
    let mut denying = config();
    denying.unlisted = Unlisted::Deny;
    check(&rules_of(denying), &post("other.example", "/"), "denied host_not_listed");
}

#[test]
fn sni_authority_and_target_must_agree() {
    let rules = rules_of(config());
    let table = [
        ("api.anthropic.com|api.anthropic.com:443", HOST, INJECTED),
        ("API.Anthropic.com|Api.Anthropic.Com", "API.ANTHROPIC.COM:443", INJECTED),
        ("api.anthropic.com|", HOST, INJECTED),
        ("api.anthropic.com|-", HOST, INJECTED),
        ("api.anthropic.com", HOST, INJECTED),
        ("-|api.anthropic.com:443", HOST, "denied sni_missing"),
        ("|", HOST, "denied sni_missing"),
        ("", HOST, "denied sni_missing"),
        ("1.2.3.4|", HOST, "denied sni_missing"),
        ("api.anthropic.com.|", HOST, "denied sni_missing"),
        ("other.example|api.anthropic.com:443", HOST, "denied sni_mismatch"),
        ("other.example|other.example:443", HOST, "denied sni_mismatch"),
        ("api.anthropic.com|api.anthropic.com:443", "other.example", "denied sni_mismatch"),
        ("api.anthropic.com|other.example:443", HOST, "denied target_mismatch"),
        ("api.anthropic.com|api.anthropic.com:8443", HOST, "denied target_mismatch"),
        ("api.anthropic.com|1.2.3.4:443", HOST, "denied target_mismatch"),
        ("api.anthropic.com|x|api.anthropic.com:443", HOST, "denied target_mismatch"),
        ("api.anthropic.com|", "api.anthropic.com:8443", "denied target_mismatch"),
        ("api.anthropic.com|api.anthropic.com:8443", "api.anthropic.com:8443", "denied port_not_listed"),
        ("api.anthropic.com|", "", "denied authority_malformed"),
        ("api.anthropic.com|", "user@api.anthropic.com", "denied authority_malformed"),
        ("api.anthropic.com|", "api.anthropic.com.", "denied authority_malformed"),
        ("api.anthropic.com|", "api.anthropic.com:0443", "denied authority_malformed"),
    ];
    for (connection, authority, expected) in table {
        let mut request = messages();
        request.connection = connection.to_owned();
        request.authority = authority.to_owned();
        assert_eq!(verdict(&request.decide(&rules)), expected, "{connection} {authority}");
    }
}

#[test]
fn a_listed_port_is_served() {
    let mut aliased = config();
    aliased.rules[0].ports = vec![443, 8443];
    let mut request = post("api.anthropic.com:8443", "/v1/messages");
    request.connection = "api.anthropic.com|api.anthropic.com:8443".to_owned();
    check(&rules_of(aliased), &request, INJECTED);
}

#[test]
fn cleartext_never_gets_a_credential() {
    let rules = rules_of(config());
    let mut inside_tls = messages();
    inside_tls.scheme = "http";
    check(&rules, &inside_tls, "denied cleartext");
    let plain = |authority: &str, scheme| {
        let mut request = post(authority, "/v1/messages");
        request.scheme = scheme;
        verdict(&request.decide_with(&rules, &Facts::Cleartext))
    };
    assert_eq!(plain(HOST, "http"), "denied cleartext");
    assert_eq!(plain("api.anthropic.com:443", "http"), "denied cleartext");
    assert_eq!(plain("other.example", "http"), "passed host_not_listed");
    assert_eq!(plain(HOST, "https"), "denied sni_missing");
    assert_eq!(plain("other.example", ""), "denied sni_missing");
}

#[test]
fn behind_another_proxy_only_the_clusters_named_get_a_credential() {
    let mut behind = config();
    behind.agent_side = AgentSide::TrustedPlaintext { clusters: texts(&["outbound|443||api.anthropic.com"]) };
    let rules = rules_of(behind);
    let table = [
        (Facts::Cluster(b"outbound|443||api.anthropic.com"), INJECTED),
        (Facts::Cluster(b"outbound|80||api.anthropic.com"), "denied cluster_not_allowed"),
        (Facts::Cluster(b""), "denied cluster_not_allowed"),
        (Facts::parse(b"api.anthropic.com|"), "denied sni_missing"),
        (Facts::Cleartext, "denied sni_missing"),
    ];
    for (facts, expected) in table {
        assert_eq!(verdict(&messages().decide_with(&rules, &facts)), expected, "{facts:?}");
    }
    let tls = rules_of(config());
    assert_eq!(verdict(&messages().decide_with(&tls, &Facts::Cluster(b"x"))), "denied sni_missing");
}

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
fn names_that_are_no_tokens_are_refused() {
    let rules = rules_of(config());
    for name in ["x api-key", "x-api-key:", "", "x-api-key\0", "é", ":unknown", ":path"] {
        check(&rules, &messages().with(&[(name, "v")]), "denied header_name_malformed");
    }
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
fn several_places_are_filled_at_once_and_prefixes_are_put_once() {
    let mut places = config();
    places.rules[0].then = Outcome::Inject(vec![
        injection("default/a", "authorization", "Bearer "),
        injection("default/b", "x-other-key", ""),
    ]);
    let rules = rules_of(places.clone());
    let sent = [("authorization", "Basic x"), ("x_other_key", "y"), ("X-Other-Key", "z")];
    check(
        &rules,
        &messages().with(&sent),
        "injected default/anthropic -x_other_key -X-Other-Key authorization=Bearer sk-ant-0123456789 x-other-key=sk-ant-0123456789 smuggle",
    );
    let prefixed = compile(&sealed(places, "Bearer sk-0123"), &mut Vault::default());
    check(
        &prefixed,
        &messages(),
        "injected default/anthropic authorization=Bearer sk-0123 x-other-key=Bearer sk-0123",
    );
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

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use super::*;
    use proptest::prelude::*;

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            "[xX][-_][aA]pi[-_]key",
            "[aA]uthorization",
            "cookie",
            "accept",
            "x-envoy-[a-z]{0,3}",
            "[a-zA-Z_-]{1,12}",
        ]
    }

    proptest! {
        #[test]
        fn a_forwarded_request_carries_no_credential_but_ours(
            headers in prop::collection::vec((name(), "[ -~]{0,12}"), 0..8), listed in any::<bool>(),
        ) {
            let rules = rules_of(config());
            let path: &[u8] = if listed { b"/v1/messages" } else { b"/v1/files" };
            let pseudo: [(&[u8], &[u8]); 4] =
                [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", HOST.as_bytes()), (b":path", path)];
            let sent = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            let head = Head::from_map(pseudo.into_iter().chain(sent));
            let Ok(plan) = rules.decide(&Facts::parse(b"api.anthropic.com|"), &head) else {
                return Err(TestCaseError::fail("denied"));
            };
            let mut left: Vec<_> = headers.clone();
            let mut ours = 0;
            for edit in plan.edits {
                match edit {
                    Edit::RemoveHeader(name) => left.retain(|(other, _)| *other != name),
                    Edit::SetHeader { name, .. } => {
                        left.retain(|(other, _)| *other != name);
                        ours += 1;
                    }
                    Edit::SetPath(_) => {}
                }
            }
            prop_assert_eq!(ours, usize::from(listed));
            for (name, _) in left {
                let folded = name.to_ascii_lowercase().replace('_', "-");
                prop_assert!(!["x-api-key", "authorization", "cookie"].contains(&folded.as_str()), "{}", name);
                prop_assert!(!folded.starts_with("x-envoy-"), "{}", name);
            }
        }

        #[test]
        fn no_bytes_panic(
            connection in prop::collection::vec(any::<u8>(), 0..40), authority in prop::collection::vec(any::<u8>(), 0..40),
            path in prop::collection::vec(any::<u8>(), 0..40), name in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let map: [(&[u8], &[u8]); 5] =
                [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", &authority), (b":path", &path), (&name, &path)];
            let _ = rules_of(config()).decide(&Facts::parse(&connection), &Head::from_map(map));
        }
    }
}
