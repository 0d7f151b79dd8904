//! Verdicts: which requests get the credential, and what every one of them loses on the way.

mod destination;
mod models;
mod properties;
mod selection;
mod targets;

use super::*;
use crate::rules::fixture::{HOST, KEY, compile, config, injection, rule, sealed, target, texts, vault};
use crate::wire::{Config, DenyCause, Outcome, Rule};
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
    body: Option<&'static str>,
}

fn post(host: &str, path: &str) -> Request {
    Request {
        connection: format!("{host}|{host}:443"),
        method: "POST",
        scheme: "https",
        authority: host.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: None,
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
        let head = Head::from_map(map.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        match rules.decide(
            facts,
            &head,
            self.body.map_or(Body::Unread, |body| Body::Whole(body.as_bytes())),
        )? {
            Step::Forward(plan) => Ok(plan),
            Step::ReadBody => Err(Reason::RequestIncomplete.into()),
        }
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
                Edit::SetPath(path) => format!(" path={}", String::from_utf8_lossy(path.expose())),
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
    compile(&sealed(config, KEY), &mut vault())
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
    denying.other_hosts = Unlisted::Deny;
    check(&rules_of(denying), &post("other.example", "/"), "denied host_not_listed");
}

#[test]
fn names_that_are_no_tokens_are_refused() {
    let rules = rules_of(config());
    for name in ["x api-key", "x-api-key:", "", "x-api-key\0", "é", ":unknown", ":path"] {
        check(&rules, &messages().with(&[(name, "v")]), "denied header_name_malformed");
    }
}

#[test]
fn several_places_are_filled_at_once_and_prefixes_are_put_once() {
    let mut places = config();
    places.targets = vec![target("authorization", "Bearer "), target("x-other-key", "")];
    places.rules[0].then = Outcome::Inject(vec![injection("default/a", 0), injection("default/b", 1)]);
    let rules = rules_of(places.clone());
    let sent = [("authorization", "Basic x"), ("x_other_key", "y"), ("X-Other-Key", "z")];
    check(
        &rules,
        &messages().with(&sent),
        "injected default/anthropic -x_other_key -X-Other-Key authorization=Bearer sk-ant-0123456789 x-other-key=sk-ant-0123456789 smuggle",
    );
    let prefixed = compile(&sealed(places, "Bearer sk-0123"), &mut vault());
    check(
        &prefixed,
        &messages(),
        "injected default/anthropic authorization=Bearer sk-0123 x-other-key=Bearer sk-0123",
    );
}
