//! The table that agents and the documentation rely on.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Every reason, its name, what the agent is told, the status, and whether the answer discourages a retry.
const TABLE: &[(Reason, &str, &str, u16, bool)] = &[
    (Reason::HostNotListed, "host_not_listed", "denied_by_policy", 403, true),
    (Reason::EndpointNotListed, "endpoint_not_listed", "denied_by_policy", 403, true),
    (Reason::PortNotListed, "port_not_listed", "denied_by_policy", 403, true),
    (Reason::ClusterNotAllowed, "cluster_not_allowed", "denied_by_policy", 403, true),
    (Reason::CredentialUnsealable, "credential_unsealable", "credential_unavailable", 503, true),
    (Reason::SecretNotFound, "secret_not_found", "credential_unavailable", 503, true),
    (Reason::KeyNotFound, "key_not_found", "credential_unavailable", 503, true),
    (Reason::InvalidSecret, "invalid_secret", "credential_unavailable", 503, true),
    (Reason::NoPolicy, "no_policy", "credential_unavailable", 503, true),
    (Reason::RouteRefused, "route_refused", "credential_unavailable", 503, true),
    (Reason::RouteDenied, "route_denied", "denied_by_policy", 403, true),
    (Reason::NoConfiguration, "no_configuration", "credential_unavailable", 503, true),
    (Reason::HostCallFailed, "host_call_failed", "credential_unavailable", 503, true),
    (Reason::SniMissing, "sni_missing", "misdirected", 421, true),
    (Reason::SniMismatch, "sni_mismatch", "misdirected", 421, true),
    (Reason::TargetMismatch, "target_mismatch", "misdirected", 421, true),
    (Reason::AuthorityMalformed, "authority_malformed", "misdirected", 400, true),
    (Reason::PathNotCanonical, "path_not_canonical", "bad_path", 400, true),
    (Reason::HeaderNameMalformed, "header_name_malformed", "bad_path", 400, true),
    (Reason::BodyTooLarge, "body_too_large", "too_large", 413, true),
    (Reason::Cleartext, "cleartext", "cleartext", 403, true),
    (Reason::MethodNotAllowed, "method_not_allowed", "method_not_allowed", 405, true),
    (Reason::UpstreamRefused, "upstream_refused", "upstream_refused", 503, false),
    (Reason::AnswerEncoded, "answer_encoded", "upstream_refused", 503, false),
    (Reason::Overloaded, "overloaded", "overloaded", 503, false),
];

#[test]
fn every_reason_has_its_answer() {
    for (reason, exact, coarse, status, useless) in TABLE {
        let denial = Denial::new(*reason);
        assert_eq!(reason.to_string(), *exact);
        assert_eq!(denial.status(), *status, "{exact}");
        let mut expected = vec![("content-type", "application/json"), ("x-keyward-reason", *coarse)];
        expected.extend(useless.then_some(("x-should-retry", "false")));
        expected
            .extend((*status == 405).then_some(("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")));
        assert_eq!(denial.headers(), expected, "{exact}");
    }
}

#[test]
fn bodies_are_json_that_names_the_coarse_reason_and_where_to_read_on() {
    for (reason, exact, coarse, ..) in TABLE {
        let body: serde_json::Value = serde_json::from_str(&Denial::new(*reason).body()).unwrap();
        assert_eq!(body["error"]["type"], *coarse, "{exact}");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.ends_with(&format!("See docs/reasons.md#{coarse}.")), "{message}");
        let taught =
            message.strip_prefix("Keyward: ").and_then(|rest| rest.split(" See docs").next()).unwrap();
        assert!(taught.len() > 20 && taught.ends_with('.'), "{message}");
        assert_eq!(body.as_object().unwrap().len(), 1);
    }
}

#[test]
fn an_agent_cannot_tell_a_missing_credential_from_one_that_does_not_open() {
    let answers: Vec<_> = TABLE
        .iter()
        .map(|(reason, ..)| Denial::new(*reason))
        .filter(|denial| denial.reason.coarse() == Coarse::CredentialUnavailable)
        .map(|denial| (denial.status(), denial.headers(), denial.body()))
        .collect();
    assert_eq!(answers.len(), 8);
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
}
