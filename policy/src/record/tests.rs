//! A committed snapshot proves what a record shows, and what it does not.

use super::*;
use crate::decide::Facts;
use crate::denial::Reason;
use crate::rules::fixture::{KEY, compile, config, sealed, vault, verdict};
use crate::rules::{RuleSet, Vault};
use crate::wire::Config;
use serde_json::Value;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// `KEYWARD_UPDATE=1 cargo test` writes it anew.
const SNAPSHOT: &str = include_str!("../../tests/vectors/record.json");

const FACTS: &[u8] = b"api.anthropic.com|api.anthropic.com:443";

fn map(headers: &[(&[u8], &[u8])]) -> HeaderMap {
    headers.iter().copied().collect()
}

fn request(path: &[u8], headers: &[(&[u8], &[u8])]) -> HeaderMap {
    let pseudo: [(&[u8], &[u8]); 4] = [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"api.anthropic.com"),
        (b":path", path),
    ];
    map(&[&pseudo[..], headers].concat())
}

fn record_of(rules: &RuleSet, vault: &mut Vault, request: HeaderMap, answer: &[(&[u8], &[u8])]) -> Record {
    let facts = Facts::parse(FACTS);
    let verdict = verdict(rules, &facts, &Head::of(&request));
    let (scrubber, forwarded) = match &verdict {
        Err(_) => (vault.scrubber(&rules.credentials_at(&facts, &Head::of(&request))), false),
        Ok(plan) => (vault.scrubber(&plan.scrub), true),
    };
    let mut record = Record::new(Some(rules), &facts, request, verdict, scrubber);
    if forwarded {
        record.answered(map(answer));
    }
    record
}

fn json_of(path: &[u8], headers: &[(&[u8], &[u8])], answer: &[(&[u8], &[u8])]) -> String {
    let mut vault = vault();
    let rules = compile(&sealed(config(), KEY), &mut vault);
    let json = record_of(&rules, &mut vault, request(path, headers), answer).line().to_json();
    String::from_utf8(json).unwrap()
}

#[test]
fn records_are_those_of_the_snapshot() {
    let sent: &[(&[u8], &[u8])] = &[
        (b"content-type", b"application/json"),
        (b"x-api-key", b"sk-agents-own-0123"),
        (b"authorization", b"Bearer sk-agents-own-0123"),
        (b"x-note", b"please echo sk-ant-0123456789"),
        (b"x-bytes", b"\xff\"\\\n"),
    ];
    let answer: &[(&[u8], &[u8])] = &[
        (b":status", b"200"),
        (b"set-cookie", b"session=0123456789"),
        (b"location", b"https://a.example/?k=sk-ant-%30123456789"),
        (b"x-api-key", b"anything"),
        (b"request-id", b"req_1"),
    ];
    let records = [
        json_of(b"/v1/messages?beta=true&key=sk-agents-own&token=t", sent, answer),
        json_of(b"/v1/files?key=sk-agents-own&Access_Token=t&x=1", sent, answer),
        json_of(b"/v1//messages?key=sk-agents-own", sent, answer),
    ];
    let text = records.join("\n") + "\n";
    #[cfg(not(target_arch = "wasm32"))]
    if std::env::var_os("KEYWARD_UPDATE").is_some() {
        return std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/record.json"), text)
            .unwrap();
    }
    assert_eq!(text, SNAPSHOT);
}

#[test]
fn the_snapshot_shows_no_credential() {
    assert_eq!(SNAPSHOT.lines().count(), 3);
    for shown in ["sk-ant", "0123", "agents-own", "session", "anything", "=t&"] {
        assert!(!SNAPSHOT.contains(shown), "{shown}");
    }
}

#[test]
fn a_header_whose_name_holds_the_credential_is_shown_without_its_name() {
    let name = format!("x-{KEY}-y").to_ascii_lowercase();
    let json = json_of(b"/v1/messages", &[], &[(name.as_bytes(), b"1")]);
    assert!(!json.contains(&KEY.to_ascii_lowercase()), "{json}");
    assert!(json.contains(r#"["[redacted]","1"]"#), "{json}");
}

/// What stands there may be a key of the agent's own.
#[test]
fn of_a_refused_request_nothing_is_shown_where_the_host_takes_credentials() {
    let mut config = config();
    config.carriers[0].headers.push("x-search-api-key".to_owned());
    config.carriers[0].query.push("subscription".to_owned());
    let (header, prefix) = ("sec-websocket-protocol".to_owned(), "key.".to_owned());
    config.carriers[0].members.push(crate::wire::Member { header, prefix });
    config.targets[0] = crate::rules::fixture::target("x-injected", "");
    let mut vault = vault();
    let rules = compile(&sealed(config, KEY), &mut vault);
    let own: &[(&[u8], &[u8])] = &[
        (b"x-search-api-key", b"own-1"),
        (b"X-Injected", b"own-2"),
        (b"sec-websocket-protocol", b"realtime, key.own-3"),
        (b"x-note", b"shown"),
    ];
    // A path that is refused, and a host that is not the connection's.
    for (authority, path) in [
        (&b"api.anthropic.com"[..], &b"/v1//messages?subscription=own-4&x=1"[..]),
        (b"other.example", b"/v1/messages?subscription=own-4&x=1"),
        (b"a@b", b"/v1/messages?subscription=own-4&x=1"),
    ] {
        let head: [(&[u8], &[u8]); 3] = [(b":method", b"POST"), (b":authority", authority), (b":path", path)];
        let refused = map(&[&head[..], own].concat());
        let json = record_of(&rules, &mut vault, refused, &[]).line().to_json();
        let json: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["decision"], "denied");
        assert_eq!(json["query"], "subscription=[redacted]&x=1");
        let shown = json["request_headers"].as_array().unwrap().iter().map(|header| &header[1]);
        let shown: Vec<_> = shown.filter_map(Value::as_str).collect();
        assert_eq!(shown, ["[redacted]", "[redacted]", "[redacted]", "shown"]);
    }
}

/// They are gone from what goes upstream; should one be left there, its value is not shown.
#[test]
fn a_parameter_that_carries_credentials_on_the_host_is_not_shown() {
    let mut config = config();
    config.carriers[0].query.push("subscription".to_owned());
    let mut vault = vault();
    let rules = compile(&sealed(config, KEY), &mut vault);
    let (facts, request) = (Facts::parse(FACTS), request(b"/v1/messages?Subscription=mine&x=1", &[]));
    let Ok(mut plan) = verdict(&rules, &facts, &Head::of(&request)) else { panic!("refused") };
    assert_eq!(plan.path(), Some(&b"/v1/messages?x=1"[..]));
    plan.edits.clear();
    let record = Record::new(Some(&rules), &facts, request, Ok(plan), Scrubber::default());
    let json: Value = serde_json::from_slice(&record.line().to_json()).unwrap();
    assert_eq!(json["query"], "Subscription=[redacted]&x=1");
}

#[test]
fn a_request_without_configuration_has_a_record_too() {
    let verdict = Err(Reason::NoConfiguration.into());
    let record = Record::new(None, &Facts::parse(b""), request(b"/", &[]), verdict, Scrubber::default());
    let json: Value = serde_json::from_slice(&record.line().to_json()).unwrap();
    assert_eq!((&json["reason"], &json["status"]), (&Value::from("no_configuration"), &Value::from(503)));
}

#[test]
fn exchanged_quotes_leave_nothing_to_escape_and_come_back() {
    let mut vault = vault();
    let config = Config { record: RecordText::Exchanged, ..sealed(config(), KEY) };
    let rules = compile(&config, &mut vault);
    let quotes: &[(&[u8], &[u8])] = &[(b"x-quotes", br#"it's "quoted" \ and `ticked`"#)];
    let record = record_of(&rules, &mut vault, request(b"/v1/messages", quotes), &[]);
    let mut bytes = record.line().to_text();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let header = text.split_once("'x-quotes',").map_or("", |(_, rest)| rest);
    assert!(header.starts_with("'it\"s `'quoted`' `` and \\ticked\\'"), "{text}");
    exchange_quotes(&mut bytes);
    assert_eq!(bytes, record.line().to_json());
    let plain = record_of(
        &compile(&sealed(self::config(), KEY), &mut vault),
        &mut vault,
        request(b"/v1/messages", &[]),
        &[],
    );
    assert_eq!(plain.line().to_text(), plain.line().to_json());
}

#[test]
fn a_record_never_exceeds_four_kibibytes_and_says_what_was_cut() {
    let long = "é".repeat(60_000).into_bytes();
    let many: Vec<(&[u8], &[u8])> = vec![(b"x-some-header", b"some value"); 1000];
    let big: Vec<(&[u8], &[u8])> = vec![(b"x-some-header", &long); 100];
    let escaped = vec![1_u8; 3000];
    let controls: Vec<(&[u8], &[u8])> = vec![(b"x", &escaped); 100];
    let path = [b"/v1/messages?a=", &long[..]].concat();
    for (path, headers) in
        [(&path[..], &many), (&path, &big), (&path, &controls), (b"/v1/messages", &many), (&path, &vec![])]
    {
        let json = json_of(path, headers, headers);
        assert!(json.len() <= MAX_BYTES, "{}", json.len());
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["truncated"], Value::from(true));
        assert_eq!(value["decision"], "injected");
    }
    let small: Value = serde_json::from_str(&json_of(b"/v1/messages", &[], &[])).unwrap();
    assert_eq!(small.get("truncated"), None);
}

/// The record of a request with this path and these headers, of `length` bytes: the path is filled up.
fn filled_up_to(length: usize) -> String {
    let without = json_of(b"/v1/messages?", &[], &[]).len();
    let path = [b"/v1/messages?", &vec![b'a'; length - without][..]].concat();
    json_of(&path, &[], &[])
}

#[test]
fn a_record_of_exactly_four_kibibytes_is_left_whole() {
    let whole = filled_up_to(MAX_BYTES);
    assert_eq!(whole.len(), MAX_BYTES);
    assert!(!whole.contains("truncated"));
    assert!(filled_up_to(MAX_BYTES + 1).contains(r#""truncated":true"#));
}

type Headers<'a> = &'a [(&'a [u8], &'a [u8])];

#[test]
fn whatever_alone_is_cut_the_record_says_so() {
    let long = vec![b'a'; 5000];
    let long_path = [b"/v1/messages/", &long[..]].concat();
    let long_query = [b"/v1/messages?", &long[..]].concat();
    let both = [&long_path[..], b"?", &long].concat();
    let many: Vec<(&[u8], &[u8])> = vec![(b"x-some-header", b"some value"); 200];
    let table: [(&[u8], Headers<'_>); 7] = [
        (&long_path, &[]),
        (&long_query, &[]),
        (&both, &[]),
        (b"/v1/messages", &many),
        (b"/v1/messages", &[(b"x", &long)]),
        (b"/v1/messages", &[(&long, b"x")]),
        (b"/v1/messages", &[(&long, &long)]),
    ];
    for (path, headers) in table {
        let json: Value = serde_json::from_str(&json_of(path, headers, &[])).unwrap();
        assert_eq!(json["truncated"], Value::from(true), "{} headers", headers.len());
    }
}

#[test]
fn headers_that_were_removed_and_set_are_named_without_their_values() {
    let mut vault = vault();
    let rules = compile(&sealed(config(), KEY), &mut vault);
    let mut check = |path: &[u8], headers: &[(&[u8], &[u8])], removed: &[&str], set: &[&str]| {
        let request = request(path, headers);
        let head = Head::of(&request);
        let plan = verdict(&rules, &Facts::parse(FACTS), &head).ok();
        let (gone, given) = super::headers::changed(&head, plan.as_ref(), &vault.scrubber(&[]));
        assert_eq!(
            (gone, given),
            (removed.iter().map(|it| (*it).into()).collect(), set.iter().map(|it| (*it).into()).collect())
        );
    };
    check(b"/v1/messages", &[(b"x-note", b"1")], &[], &["x-api-key"]);
    check(
        b"/v1/messages",
        &[(b"X-Api-Key", b"own"), (b"authorization", b"Bearer own")],
        &["X-Api-Key", "authorization"],
        &["x-api-key"],
    );
    check(b"/v1/messages?key=own&x=1", &[], &[], &[":path", "x-api-key"]);
    // What is refused goes nowhere.
    check(b"/v1//messages", &[(b"x-api-key", b"own")], &[], &[]);
}

#[test]
fn a_text_is_cut_at_a_character_and_only_where_it_is_too_long() {
    for (text, length, cut, rest) in [
        ("abc", 3, false, "abc"),
        ("abcd", 3, true, "abc"),
        ("aé", 2, true, "a"),
        ("é", 1, true, ""),
        ("", 0, false, ""),
    ] {
        let mut left = text.into();
        assert_eq!((super::headers::cut(&mut left, length), left.as_ref()), (cut, rest), "{text}");
    }
}

mod properties {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_make_a_valid_record_without_the_secret(
            name in "[a-z-]{1,12}", value in prop::collection::vec(any::<u8>(), 0..600), path in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let with_key = [&value[..], KEY.as_bytes(), &value[..]].concat();
            let target = [b"/v1/messages?", &path[..], KEY.as_bytes()].concat();
            let json = json_of(&target, &[(name.as_bytes(), &with_key)], &[(name.as_bytes(), &with_key)]);
            prop_assert!(json.len() <= MAX_BYTES);
            prop_assert!(!json.contains(KEY));
            prop_assert!(serde_json::from_str::<Value>(&json).is_ok());
        }
    }
}
