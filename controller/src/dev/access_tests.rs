use super::*;

fn check(entry: &str, expected: Option<&str>) {
    let entry = Entry::parse(entry).expect("an entry");
    assert_eq!(entry.line("/ca.crt").map(|line| line.text).as_deref(), expected);
}

#[test]
fn a_request_is_one_line_with_its_decision() {
    let record =
        r#"{\"decision\":\"injected\",\"reason\":\"matched\",\"credentials\":[\"default/anthropic\"]}"#;
    check(
        &format!(
            r#"{{"log":"request","start":"2026-11-24T10:33:01.123Z","method":"POST","authority":"api.anthropic.com",
            "path":"/v1/messages","status":200,"duration_ms":132,"record":"{record}"}}"#
        ),
        Some("10:33:01 200 POST api.anthropic.com/v1/messages injected default/anthropic 132 ms"),
    );
}

#[test]
fn a_line_has_the_tone_of_what_became_of_it() {
    let tone = |entry: Value| Entry(entry).line("/ca.crt").map(|line| line.tone);
    let request = |decision: &str, status: u16, reason: &str| {
        tone(serde_json::json!({"log": "request", "status": status, "reason": reason,
            "record": {"decision": decision, "reason": "r", "credentials": ["n/c"]}}))
    };
    for (decision, status, reason, expected) in [
        ("injected", 200, "-", Tone::Injected),
        ("signed", 302, "-", Tone::Injected),
        ("passed", 200, "-", Tone::Passed),
        ("injected", 401, "-", Tone::Failed),
        ("passed", 500, "-", Tone::Failed),
        ("injected", 0, "-", Tone::Failed),
        ("injected", 503, "upstream_refused", Tone::Refused),
        ("denied", 403, "denied_by_policy", Tone::Refused),
    ] {
        assert_eq!(request(decision, status, reason), Some(expected), "{decision} {status} {reason}");
    }
    let tunnel = |chain: &str| tone(serde_json::json!({"log": "tunnel", "chain": chain}));
    assert_eq!(tunnel("passthrough"), Some(Tone::Passed));
    assert_eq!(tunnel("denied"), Some(Tone::Refused));
}

#[test]
fn what_a_request_cost_stands_in_its_line() {
    let line = |cost: &str| {
        let record = format!("{{'decision':'injected','credentials':['default/anthropic']{cost}}}");
        let entry = format!(
            r#"{{"log":"request","start":"2026-11-24T10:33:01.123Z","method":"POST","authority":"a.test","path":"/v1",
            "status":200,"duration_ms":7,"record":"{record}"}}"#
        );
        Entry::parse(&entry).and_then(|entry| entry.line("/ca.crt"))
    };
    for (cost, shown) in [
        ("", ""),
        (",'model':'claude-test'", ""),
        (",'model':'claude-test','input_tokens':12,'output_tokens':6", " claude-test 12+6 tokens"),
        (",'output_tokens':6", " - 0+6 tokens"),
    ] {
        let expected = format!("10:33:01 200 POST a.test/v1 injected default/anthropic{shown} 7 ms");
        assert_eq!(line(cost).map(|line| line.text), Some(expected));
    }
}

#[test]
fn a_request_that_envoy_refused_itself_says_so() {
    check(
        r#"{"log":"request","start":"2026-11-24T10:33:01.123Z","method":"GET","authority":"a.test","path":"/",
        "status":503,"duration_ms":2,"record":null,"reason":"upstream_refused"}"#,
        Some("10:33:01 503 GET a.test/ refused upstream_refused 2 ms"),
    );
}

#[test]
fn a_refused_connect_is_shown_and_an_accepted_one_is_not() {
    check(
        r#"{"log":"proxy","start":"2026-11-24T10:33:01.123Z","method":"CONNECT","authority":"a.test:443",
        "status":403,"reason":"denied_by_policy"}"#,
        Some("10:33:01 403 CONNECT a.test:443 refused denied_by_policy"),
    );
    check(r#"{"log":"proxy","method":"CONNECT","authority":"a.test:443","status":200}"#, None);
}

#[test]
fn a_request_that_the_provider_could_not_be_given_says_so() {
    let record = "{'decision':'injected','credentials':['default/anthropic']}";
    check(
        &format!(
            r#"{{"log":"request","start":"2026-11-24T10:33:01.123Z","method":"POST","authority":"a.test","path":"/v1",
            "status":503,"duration_ms":1,"reason":"upstream_refused","record":"{record}"}}"#
        ),
        Some("10:33:01 503 POST a.test/v1 injected default/anthropic refused upstream_refused 1 ms"),
    );
}

#[test]
fn a_connection_that_is_not_intercepted_says_what_became_of_it() {
    let line = |chain: &str, termination: &str| {
        format!(
            r#"{{"log":"tunnel","start":"2026-11-24T10:33:01.123Z","target":"a.test:443","sni":"b.test",
            "chain":{chain},"termination":{termination},"duration_ms":5}}"#
        )
    };
    check(&line(r#""passthrough""#, "null"), Some("10:33:01 a.test:443 passed untouched, 5 ms"));
    check(
        &line(r#""alias-passthrough/a.test""#, r#""rbac_access_denied""#),
        Some("10:33:01 a.test:443 closed: the server name is not that of the target, 5 ms"),
    );
    let refused = "10:33:01 a.test:443 closed: this gateway takes no connection with this server name, 5 ms";
    check(&line(r#""refused""#, "null"), Some(refused));
    check(&line("null", "null"), Some(refused));
    check(&line(r#""intercept""#, "null"), None);
    check(
        &line(r#""passthrough/a.test/12345678""#, r#""rbac_access_denied_matched_policy[private-address]""#),
        Some("10:33:01 a.test:443 closed: its address is private (allowedPrivateNetworks), 5 ms"),
    );
    check(
        &line(r#""denied""#, "null"),
        Some("10:33:01 a.test:443 closed: an EgressDenyPolicy denies it, 5 ms"),
    );
    let with =
        |text: &str, more: &str| text.replace(r#""duration_ms":5"#, &format!(r#""duration_ms":5,{more}"#));
    for chain in [r#""passthrough/a.test/12345678""#, r#""intercept-allowed/a.test/12345678""#] {
        check(
            &with(&line(chain, "null"), r#""closed":"filter_chain_is_being_removed""#),
            Some("10:33:01 a.test:443 closed: it is no longer allowed, 5 ms"),
        );
    }
    check(
        &with(&line(r#""passthrough""#, "null"), r#""flags":"UH""#),
        Some(
            "10:33:01 a.test:443 closed: the host could not be reached, or its address is private \
             (allowedPrivateNetworks), 5 ms",
        ),
    );
    let carries = "10:33:01 a.test:443 closed: what it carries is not what a route allows there (not TLS, or no HTTP \
                   inside), 5 ms";
    for sni in [r#""a.test""#, "null"] {
        check(&line(r#""refused""#, "null").replace(r#""b.test""#, sni), Some(carries));
    }
}

#[test]
fn a_client_that_does_not_trust_the_ca_is_told_what_to_do() {
    let entry = r#"{"log":"handshake","start":"2026-11-24T10:33:01.123Z","sni":"api.anthropic.com",
        "tls_failure":"TLS_error:|268436504:SSL routines:OPENSSL_internal:TLSV1_ALERT_UNKNOWN_CA:TLS_error_end"}"#;
    let entry = Entry::parse(entry).expect("an entry");
    let line = entry.line("/state/ca.crt").expect("a line").text;
    assert!(
        line.contains("does not trust") && line.contains("SSL_CERT_FILE") && line.contains("/state/ca.crt")
    );
    assert!(entry.into_json("/state/ca.crt", None)["hint"].is_string());
}

#[test]
fn other_output_is_not_an_entry() {
    assert!(Entry::parse("[info] starting").is_none());
    assert!(Entry::parse("{\"x\":1}").is_none());
}
