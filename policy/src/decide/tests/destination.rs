//! Where a request may go: what the connection says, ports, cleartext, clusters.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

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
