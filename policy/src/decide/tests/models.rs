//! Rules that are for certain models.

use super::*;
use crate::wire::{ModelSource, Models};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Two routes for all of `/v1/messages`: one for Opus alone, one for any model where `any` says so.
fn routes(any: bool) -> RuleSet {
    let mut config = config();
    config.models = vec![Models { source: ModelSource::Body, globs: texts(&["claude-opus-*"]) }];
    config.rules[0].models = Some(0);
    if any {
        config.rules.push(rule("default/any", &[HOST]));
    }
    rules_of(config)
}

fn asking(body: &'static str) -> Request {
    Request { body: Some(body), ..messages() }
}

const ANY: &str = "injected default/any x-api-key=sk-ant-0123456789";

#[test]
fn a_rule_for_a_model_wins_over_one_for_any() {
    for (body, alone, beside) in [
        (r#"{"model":"claude-opus-4"}"#, INJECTED, INJECTED),
        (r#"{"model":"claude-haiku-4"}"#, "passed model_not_listed", ANY),
        (
            r#"{"model":"claude-opus-4","model":"claude-haiku-4"}"#,
            "denied model_unreadable",
            "denied model_unreadable",
        ),
        (r#"{"messages":[]}"#, "denied model_unreadable", "denied model_unreadable"),
        ("", "denied model_unreadable", "denied model_unreadable"),
    ] {
        check(&routes(false), &asking(body), alone);
        check(&routes(true), &asking(body), beside);
    }
}

#[test]
fn a_body_is_waited_for_only_where_a_model_can_decide() {
    let waits = "denied request_incomplete";
    check(&routes(false), &messages(), waits);
    check(&routes(true), &messages(), waits);
    check(&routes(false), &messages().with(&[("content-encoding", "gzip")]), "denied model_unreadable");
    check(&routes(false), &post(HOST, "/v1/files"), "passed endpoint_not_listed");
    // A rule that names the endpoint more narrowly wins whatever the model is.
    let mut narrower = config();
    narrower.endpoints = vec![texts(&["/v1/*"]), texts(&["/v1/messages"])];
    narrower.models = vec![Models { source: ModelSource::Body, globs: texts(&["claude-opus-*"]) }];
    narrower.rules[0].models = Some(0);
    narrower.rules.push(Rule { endpoints: Some(1), ..rule("default/any", &[HOST]) });
    check(&rules_of(narrower), &messages(), ANY);
}

#[test]
fn a_model_in_the_path_needs_no_body_and_a_canonical_path() {
    let mut config = config();
    config.endpoints = Vec::new();
    config.models = vec![Models { source: ModelSource::Google, globs: texts(&["gemini-*-flash"]) }];
    config.rules[0] = Rule { endpoints: None, models: Some(0), ..config.rules[0].clone() };
    let rules = rules_of(config);
    for (path, expected) in [
        ("/v1beta/models/gemini-2.5-flash:generateContent", INJECTED),
        ("/v1beta/models/gemini-2.5-pro:generateContent", "passed model_not_listed"),
        ("/v1beta/x/../models/gemini-2.5-flash:generateContent", "denied path_not_canonical"),
        ("/v1beta//models/gemini-2.5-flash:generateContent", "denied path_not_canonical"),
    ] {
        check(&rules, &post(HOST, path), expected);
    }
}
