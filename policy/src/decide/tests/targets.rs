//! What each target makes of a request.

use std::time::Duration;

use super::*;
use crate::aws::{BodyHash, Keys};
use crate::google::{Account, Claims, Signer};
use crate::rules::Token;
use crate::rules::fixture::keyring;
use crate::secret::Secret;
use crate::wire::{Carriers, Member, Target};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// 2015-08-30T12:36:00Z.
const NOW: Duration = Duration::from_secs(1_440_938_160);

/// The configuration with each secret sealed into the injection of its place.
fn rules_with(targets: Vec<Target>, secrets: &[Secret]) -> RuleSet {
    let mut config = Config { targets, ..config() };
    config.endpoints = vec![texts(&["/*", "/v1/*"])];
    let names = (0..secrets.len()).map(|index| injection(&format!("default/{index}"), index as u32));
    config.rules[0].then = Outcome::Inject(names.collect());
    let before = config.clone();
    let Outcome::Inject(injections) = &mut config.rules[0].then else { panic!("no injection") };
    for (injection, secret) in injections.iter_mut().zip(secrets) {
        let binding = before.binding(&before.rules[0], injection).unwrap();
        injection.sealed = keyring().seal(&binding, secret).unwrap();
    }
    compile(&config, &mut vault())
}

fn secret(text: &str) -> Secret {
    Secret::new(text.into())
}

fn query(name: &str) -> Target {
    Target::Query { name: name.to_owned() }
}

fn aws(region: Option<&str>, service: &str) -> Target {
    Target::AwsV4 { region: region.map(str::to_owned), service: service.to_owned() }
}

fn aws_keys(token: Option<&str>) -> Secret {
    let token = token.map(str::as_bytes);
    Keys::join(b"AKIDEXAMPLE", b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token).unwrap()
}

fn names_set(plan: &Plan) -> Vec<&str> {
    let set = plan.edits.iter().filter_map(|edit| match edit {
        Edit::SetHeader { name, .. } => Some(name.as_str()),
        Edit::RemoveHeader(_) | Edit::SetPath(_) => None,
    });
    set.collect()
}

fn value_of(plan: &Plan, header: &str) -> String {
    let value = plan.edits.iter().find_map(|edit| match edit {
        Edit::SetHeader { name, value } if name == header => Some(value),
        _ => None,
    });
    value.map(|value| String::from_utf8_lossy(value.expose()).into_owned()).unwrap_or_default()
}

#[test]
fn a_query_parameter_replaces_every_spelling_of_itself() {
    let rules = rules_with(vec![query("key")], &[secret("AIza+/key=1")]);
    for (sent, expected) in [
        ("/v1/x", "/v1/x?key=AIza%2B%2Fkey%3D1"),
        ("/v1/x?key=mine", "/v1/x?key=AIza%2B%2Fkey%3D1 smuggle"),
        ("/v1/x?a=1&k%65y=mine&b", "/v1/x?a=1&b&key=AIza%2B%2Fkey%3D1 smuggle"),
        ("/v1/x?KEY=clrk-injected-by-proxy", "/v1/x?key=AIza%2B%2Fkey%3D1"),
        ("/v1/x?a;key=mine;b", "/v1/x?a;b&key=AIza%2B%2Fkey%3D1 smuggle"),
    ] {
        check(&rules, &post(HOST, sent), &format!("injected default/anthropic path={expected}"));
    }
}

#[test]
fn several_places_of_one_request_are_filled_together() {
    let targets = vec![target("x-api-key", ""), target("x-team", ""), query("sig")];
    let rules = rules_with(targets, &[secret(KEY), secret("team-secret"), secret("signature-1")]);
    let expected = "injected default/anthropic path=/v1/x?a&sig=signature-1 x-api-key=sk-ant-0123456789 x-team=team-secret";
    check(&rules, &post(HOST, "/v1/x?a"), expected);
}

/// An account can sign nothing here.
struct NoSigner;

impl Signer for NoSigner {
    fn sign(&self, _: &Account, _: &Claims<'_>) -> Option<Secret> {
        None
    }
}

/// The token says what it is for.
struct Telling;

impl Signer for Telling {
    fn sign(&self, _: &Account, claims: &Claims<'_>) -> Option<Secret> {
        Some(secret(&format!("token-for-{}", claims.aud.or(claims.scope).unwrap_or_default())))
    }
}

#[test]
fn an_account_signs_a_token_for_the_host_an_audience_or_scopes() {
    let jwt = |scopes: &[&str], audience: Option<&str>| Target::GoogleJwt {
        scopes: texts(scopes),
        audience: audience.map(str::to_owned),
    };
    for (target, expected) in [
        (jwt(&[], None), "Bearer token-for-https://api.anthropic.com/"),
        (jwt(&[], Some("https://a.example/")), "Bearer token-for-https://a.example/"),
        (jwt(&["a", "b"], None), "Bearer token-for-a b"),
    ] {
        let rules = rules_with(vec![target], &[Account::join("robot@example", "key-1", b"der")]);
        let mut plan = post(HOST, "/v1/x").decide(&rules).ok().unwrap();
        assert_eq!(plan.needs(), Needs::Time);
        assert!(plan.finish(&Head::default(), NOW, BodyHash::default(), &Telling).is_ok());
        assert_eq!(value_of(&plan, "authorization"), expected);
        let mut plan = post(HOST, "/v1/x").decide(&rules).ok().unwrap();
        // The token that is there is used again.
        assert!(plan.finish(&Head::default(), NOW, BodyHash::default(), &NoSigner).is_ok());
        let later = NOW + Duration::from_secs(3600);
        let mut plan = post(HOST, "/v1/x").decide(&rules).ok().unwrap();
        let denial = plan.finish(&Head::default(), later, BodyHash::default(), &NoSigner).err();
        assert_eq!(denial.map(|denial| denial.reason), Some(Reason::TokenUnavailable));
    }
}

#[test]
fn a_token_goes_out_until_it_ends() {
    let until = NOW + Duration::from_secs(60);
    let rules = rules_with(vec![Target::GoogleToken {}], &[Token::join(b"ya29.token-1", until).unwrap()]);
    let request = post(HOST, "/v1/x").with(&[("authorization", "Bearer clrk-injected-by-proxy")]);
    check(&rules, &request, "injected default/anthropic authorization=Bearer ya29.token-1");
    for (now, expected) in
        [(NOW, None), (until - Duration::from_millis(1), None), (until, Some(Reason::TokenExpired))]
    {
        let mut plan = request.decide(&rules).ok().unwrap();
        assert_eq!(plan.needs(), Needs::Time);
        let finished = plan.finish(&Head::default(), now, BodyHash::default(), &NoSigner);
        assert_eq!(finished.err().map(|denial| denial.reason), expected, "{now:?}");
    }
    for sealed in ["ya29.token-1", "soon\nya29.token-1", "1\nshort", "1\n"] {
        let rules = rules_with(vec![Target::GoogleToken {}], &[secret(sealed)]);
        check(&rules, &request, "denied credential_unsealable");
    }
}

#[test]
fn a_signature_is_made_last_and_over_what_goes_upstream() {
    let sent = [
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=clrk-injected-by-proxy/20150830/x/y/aws4_request, Signature=0",
        ),
        ("x-amz-date", "20000101T000000Z"),
        ("x_amz_date", "20000101T000000Z"),
        ("x-amz-region-set", "*"),
        ("x-amz-target", "Service.Operation"),
        ("x-forwarded-for", "10.0.0.1"),
    ];
    let rules = rules_with(
        vec![aws(Some("us-east-1"), "bedrock"), target("x-team", "")],
        &[aws_keys(Some("session-token-1")), secret("team-secret")],
    );
    let request = post(HOST, "/v1/x?X-Amz-Signature=0&a=b").with(&sent);
    let mut plan = request.decide(&rules).ok().unwrap();
    assert_eq!((plan.needs(), plan.decision), (Needs::Body, Decision::Signed));
    let head = Head {
        method: b"POST",
        authority: HOST.as_bytes(),
        path: request.path.as_bytes(),
        headers: sent.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect(),
        ..Head::default()
    };
    assert!(plan.finish(&head, NOW, BodyHash::default(), &NoSigner).is_ok());
    assert_eq!(plan.path(), Some(&b"/v1/x?a=b"[..]));
    assert_eq!(names_set(&plan), ["x-team", "x-amz-date", "authorization", "x-amz-security-token"]);
    let authorization = value_of(&plan, "authorization");
    let scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, ";
    let signed = "SignedHeaders=host;x-amz-date;x-amz-security-token;x-amz-target, Signature=";
    let signature = authorization.strip_prefix(&format!("{scope}{signed}")).unwrap();
    assert_eq!(plan.one_time.as_ref().map(Secret::expose), Some(signature.as_bytes()));
}

#[test]
fn a_signature_needs_a_region_and_a_body_that_can_be_proved() {
    let rules = rules_with(vec![aws(None, "bedrock")], &[aws_keys(None)]);
    check(&rules, &post(HOST, "/v1/x"), "denied region_unknown");
    let rules = rules_with(vec![aws(Some("us-east-1"), "s3")], &[aws_keys(None)]);
    let chunked = [("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")];
    check(&rules, &post(HOST, "/v1/x").with(&chunked), "denied chunk_signed");
    check(&rules, &post(HOST, "/v1/x").with(&[("content-type", "application/grpc")]), "denied unsignable");
    let unsigned = post(HOST, "/v1/x").with(&[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]);
    assert_eq!(unsigned.decide(&rules).ok().map(|plan| plan.needs()), Some(Needs::Time));
}

#[test]
fn members_of_a_list_that_carry_a_credential_go_and_the_others_stay() {
    let mut listing = config();
    listing.carriers = vec![Carriers {
        members: vec![Member { header: "sec-websocket-protocol".to_owned(), prefix: "key.".to_owned() }],
        ..listing.carriers[0].clone()
    }];
    let rules = rules_of(listing);
    let name = "sec-websocket-protocol";
    for (sent, expected) in [
        (&[(name, "realtime")][..], ""),
        (&[(name, "realtime, KEY.sk-mine,beta")], " sec-websocket-protocol=realtime, beta smuggle"),
        (&[(name, "realtime,key.clrk-injected-by-proxy")], " sec-websocket-protocol=realtime"),
        (&[(name, "key.sk-mine")], " -sec-websocket-protocol smuggle"),
        (&[(name, "realtime"), (name, "key.sk-mine")], " sec-websocket-protocol=realtime smuggle"),
        (&[("sec_websocket_protocol", "key.sk-mine")], " -sec_websocket_protocol smuggle"),
    ] {
        let line = verdict(&messages().with(sent).decide(&rules));
        let rest = line.replace(" x-api-key=sk-ant-0123456789", "");
        assert_eq!(rest, format!("injected default/anthropic{expected}"), "{sent:?}");
    }
}
