//! What is taken out of a request: `docs/headers.md` says of every header and parameter what the policy does.

use std::collections::BTreeSet;

use harness::scenario::KEY;
use harness::sealed::{KEYRING, sealed, worked_example};
use policy::decide::{Edit, Facts, Head, Plan, Step};
use policy::denial::Denial;
use policy::model::Body;
use policy::provider::Provider;
use policy::rules::{RuleSet, Vault};
use policy::seal::Keyring;
use policy::wire::Carriers;

use super::{document, quoted, reasons, rows};

/// The rules of a provider's route, with everything that may carry a credential for it.
fn rules_of(provider: Provider) -> RuleSet {
    let mut config = worked_example(KEY);
    config.carriers[0] = Carriers::of(provider);
    let keyring = Keyring::parse(KEYRING).unwrap();
    let bytes = serde_json::to_vec(&sealed(config, KEY)).unwrap();
    RuleSet::compile(&bytes, &mut Vault::new(Some(keyring))).unwrap()
}

const MATCHED: (&str, &str) = ("api.anthropic.com", "/v1/messages");
const ANOTHER_ENDPOINT: (&str, &str) = ("api.anthropic.com", "/v1/files");
const ANOTHER_HOST: (&str, &str) = ("other.example", "/v1/messages");

/// What becomes of a request to this host and path with this header.
fn plan(rules: &RuleSet, (host, path): (&str, &str), header: &str) -> Plan {
    let connection = format!("{host}|{host}:443");
    let lines =
        [(":method", "POST"), (":scheme", "https"), (":authority", host), (":path", path), (header, "value")];
    let map = lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let step = rules.decide(&Facts::parse(connection.as_bytes()), &Head::from_map(map), Body::Unread);
    step.and_then(Step::plan).unwrap_or_else(|denial| panic!("{header} is refused: {}", denial.reason))
}

/// Whether the header is removed, or set to another value.
fn is_stripped(rules: &RuleSet, target: (&str, &str), header: &str) -> bool {
    plan(rules, target, header).edits.iter().any(|edit| match edit {
        Edit::RemoveHeader(name) => name == header,
        Edit::SetHeader { name, .. } => name == header,
        Edit::SetPath(_) => false,
    })
}

/// The names of control headers in the table of requests, `*` at the end of a prefix.
fn control_headers(text: &str) -> Vec<String> {
    let row = rows(text).into_iter().find(|row| row.last().unwrap().starts_with("control headers"));
    quoted(row.expect("a row of control headers")[0]).into_iter().map(str::to_owned).collect()
}

/// Headers that clients, proxies and frameworks send.
const COMMON: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
    "anthropic-version",
    "baggage",
    "cache-control",
    "cf-connecting-ip",
    "client-ip",
    "content-encoding",
    "content-md5",
    "content-type",
    "dnt",
    "expect",
    "forwarded",
    "front-end-https",
    "grpc-timeout",
    "host-override",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "openai-beta",
    "openai-organization",
    "openai-project",
    "origin",
    "pragma",
    "prefer",
    "priority",
    "proxy-authorization",
    "range",
    "referer",
    "sec-fetch-mode",
    "traceparent",
    "tracestate",
    "true-client-ip",
    "user-agent",
    "via",
    "x-app",
    "x-b3-traceid",
    "x-client-request-id",
    "x-cluster-client-ip",
    "x-correlation-id",
    "x-csrf-token",
    "x-envoy-original-path",
    "x-envoy-retry-on",
    "x-envoy-upstream-rq-timeout-ms",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-keyward-reason",
    "x-method-override",
    "x-original-url",
    "x-ot-span-context",
    "x-powered-by",
    "x-real-ip",
    "x-request-id",
    "x-requested-with",
    "x-rewrite-url",
    "x-stainless-lang",
    "x-stainless-retry-count",
];

#[test]
fn the_control_headers_of_the_table_are_stripped_everywhere_and_no_common_header_beside_them() {
    let text = document("docs/headers.md");
    let listed = control_headers(&text);
    assert!(listed.len() > 8, "{listed:?}");
    let rules = rules_of(Provider::Anthropic);
    let examples = listed.iter().map(|name| name.replace('*', "anything"));
    let common = COMMON.iter().map(ToString::to_string);
    for header in examples.chain(common).collect::<BTreeSet<_>>() {
        let covers = |name: &String| match name.strip_suffix('*') {
            Some(start) => header.starts_with(start),
            None => *name == header,
        };
        let expected = listed.iter().any(covers) || header == "proxy-authorization";
        for target in [MATCHED, ANOTHER_ENDPOINT, ANOTHER_HOST] {
            assert_eq!(is_stripped(&rules, target, &header), expected, "{header} at {target:?}");
        }
    }
    assert!(rows(&text).iter().any(|row| row[0] == "`proxy-authorization`" && row[1] == "always"));
}

#[test]
fn every_carrier_of_a_provider_is_stripped_at_its_host_and_at_no_other() {
    let text = document("docs/headers.md");
    let row = rows(&text).into_iter().find(|row| row[0].contains("policy/src/provider.rs"));
    assert_eq!(row.expect("a row of carriers")[1], "host of a route");
    for provider in Provider::ALL {
        let rules = rules_of(provider);
        for header in provider.header_carriers() {
            assert!(is_stripped(&rules, MATCHED, header), "{provider:?}: {header}");
            assert!(is_stripped(&rules, ANOTHER_ENDPOINT, header), "{provider:?}: {header}");
            let everywhere = *header == "proxy-authorization";
            assert_eq!(is_stripped(&rules, ANOTHER_HOST, header), everywhere, "{provider:?}: {header}");
        }
        for name in provider.query_carriers() {
            for (host, path) in [MATCHED, ANOTHER_ENDPOINT, ANOTHER_HOST] {
                let edits = plan(&rules, (host, &format!("{path}?a=1&{name}=v&b=2")), "accept").edits;
                let stripped = edits.iter().any(|edit| {
                    matches!(edit, Edit::SetPath(left) if left.expose() == format!("{path}?a=1&b=2").as_bytes())
                });
                assert_eq!(stripped, (host, path) != ANOTHER_HOST, "{provider:?}: ?{name}= at {host}{path}");
            }
        }
    }
}

#[test]
fn every_header_of_a_refusal_stands_in_the_document() {
    let text = document("docs/headers.md");
    for reason in reasons::all() {
        for (name, _) in Denial::new(reason).headers() {
            assert!(text.contains(&format!("`{name}")), "{name} of {reason}");
        }
    }
}
