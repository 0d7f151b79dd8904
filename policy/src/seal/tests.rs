//! Committed vectors, and everything that must not open.

use super::*;
use crate::rules::fixture::{config, keyring, rule, target, texts};
use crate::wire::{AgentSide, Config, Member, ModelSource, Models, Outcome, Target};
use serde::{Deserialize, Serialize};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// `KEYWARD_UPDATE=1 cargo test` writes them anew: needed only with a new format.
const VECTORS: &str = include_str!("../../tests/vectors/seal.json");

#[derive(Serialize, Deserialize)]
struct Vector {
    name: String,
    keyring: String,
    /// Its first rule's first injection is the binding; the sealed text in it is empty.
    config: Config,
    /// Hexadecimal, without format and key id.
    binding: String,
    plaintext: String,
    sealed: String,
}

type Change = fn(&mut Config);

fn binding(config: &Config) -> Binding {
    let Outcome::Inject(injections) = &config.rules[0].then else { panic!("no injection") };
    config.binding(&config.rules[0], &injections[0]).unwrap()
}

fn secret() -> Secret {
    Secret::new(b"sk-ant-0123456789".to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn sealed_values_are_those_of_the_vectors() {
    #[cfg(not(target_arch = "wasm32"))]
    if std::env::var_os("KEYWARD_UPDATE").is_some() {
        return write_vectors();
    }
    let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors.len(), 7);
    for vector in vectors {
        let keyring = Keyring::parse(&vector.keyring).unwrap();
        let binding = binding(&vector.config);
        assert_eq!(hex(binding.as_bytes()), vector.binding, "{}", vector.name);
        let secret = Secret::new(vector.plaintext.clone().into_bytes());
        assert_eq!(keyring.seal(&binding, &secret).unwrap(), vector.sealed, "{}", vector.name);
        let opened = keyring.open(&binding, &vector.sealed).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(opened.expose(), vector.plaintext.as_bytes(), "{}", vector.name);
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn write_vectors() {
    let newest = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let two = "2026-11.b://///////////////////////////////////////w8=,k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let mut open = config();
    open.rules[0].endpoints = None;
    open.rules[0].methods = Some(0);
    open.rules[0].ports = vec![443, 8443];
    let mut plaintext = config();
    plaintext.agent_side =
        AgentSide::TrustedPlaintext { clusters: texts(&["outbound|443||api.anthropic.com"]) };
    let mut bearer = config();
    bearer.targets = vec![target("authorization", "Bearer ")];
    let mut query = config();
    query.targets = vec![Target::Query { name: "key".to_owned() }];
    query.carriers[0].members =
        vec![Member { header: "sec-websocket-protocol".to_owned(), prefix: "openai-".to_owned() }];
    let mut aws = config();
    aws.targets = vec![Target::AwsV4 { region: Some("us-east-1".to_owned()), service: "bedrock".to_owned() }];
    aws.models = vec![Models { source: ModelSource::Bedrock, globs: texts(&["anthropic.*"]) }];
    aws.rules[0].models = Some(0);
    let mut google = config();
    google.targets = vec![Target::GoogleToken {}];
    let inputs = [
        ("one route", newest, config()),
        ("any endpoint, two ports", two, open),
        ("plaintext agent side", newest, plaintext),
        ("prefix", newest, bearer),
        ("query and a member", newest, query),
        ("signature and models", newest, aws),
        ("token", newest, google),
    ];
    let vectors: Vec<_> = inputs
        .into_iter()
        .map(|(name, keyring, config)| Vector {
            name: name.to_owned(),
            keyring: keyring.to_owned(),
            binding: hex(binding(&config).as_bytes()),
            plaintext: "sk-ant-0123456789".to_owned(),
            sealed: Keyring::parse(keyring).unwrap().seal(&binding(&config), &secret()).unwrap(),
            config,
        })
        .collect();
    let text = serde_json::to_string_pretty(&vectors).unwrap() + "\n";
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/seal.json"), text).unwrap();
}

#[test]
fn a_value_does_not_open_for_another_rule_nor_for_a_changed_one() {
    let changes: &[(&str, Change)] = &[
        ("gateway", |c| c.gateway = "default/other".to_owned()),
        ("route", |c| c.rules[0] = rule("default/other", &["api.anthropic.com"])),
        ("host added", |c| c.rules[0].hosts = texts(&["api.anthropic.com", "evil.example"])),
        ("host replaced", |c| c.rules[0].hosts = texts(&["evil.example"])),
        ("port added", |c| c.rules[0].ports = vec![443, 8443]),
        ("endpoint added", |c| c.endpoints[0].push("/v1/models".to_owned())),
        ("endpoint removed", |c| c.endpoints[0].truncate(1)),
        ("endpoints dropped", |c| c.rules[0].endpoints = None),
        ("endpoints emptied", |c| c.endpoints[0].clear()),
        ("method listed", |c| c.rules[0].methods = Some(0)),
        ("prefix", |c| c.targets = vec![target("x-api-key", "Bearer ")]),
        ("header", |c| c.targets = vec![target("x-other", "")]),
        ("header and prefix", |c| c.targets = vec![target("x-api-ke", "y")]),
        ("query in place of a header", |c| c.targets = vec![Target::Query { name: "x-api-key".to_owned() }]),
        ("signature", |c| {
            c.targets = vec![Target::AwsV4 { region: None, service: "bedrock".to_owned() }];
        }),
        ("region", |c| {
            let region = Some("us-east-1".to_owned());
            c.targets = vec![Target::AwsV4 { region, service: "bedrock".to_owned() }];
        }),
        ("service", |c| c.targets = vec![Target::AwsV4 { region: None, service: "s3".to_owned() }]),
        ("token", |c| c.targets = vec![Target::GoogleToken {}]),
        ("models", |c| {
            c.models = vec![Models { source: ModelSource::Body, globs: texts(&["claude-*"]) }];
            c.rules[0].models = Some(0);
        }),
        ("source of models", |c| {
            c.models = vec![Models { source: ModelSource::Google, globs: texts(&["claude-*"]) }];
            c.rules[0].models = Some(0);
        }),
        ("member", |c| {
            c.carriers[0].members = vec![Member { header: "x-api-key".to_owned(), prefix: "x".to_owned() }];
        }),
        ("header carrier", |c| c.carriers[0].headers.truncate(2)),
        ("query carrier", |c| c.carriers[0].query.clear()),
        ("agent side", |c| c.agent_side = AgentSide::TrustedPlaintext { clusters: Vec::new() }),
    ];
    let sealed = keyring().seal(&binding(&config()), &secret()).unwrap();
    assert!(keyring().open(&binding(&config()), &sealed).is_ok());
    let mut bindings = vec![binding(&config())];
    for (name, change) in changes {
        let mut changed = config();
        change(&mut changed);
        let binding = binding(&changed);
        assert_eq!(keyring().open(&binding, &sealed).err(), Some(OpenError::NotAuthentic), "{name}");
        bindings.push(binding);
    }
    bindings.sort();
    bindings.dedup();
    assert_eq!(bindings.len(), changes.len() + 1, "no two rules share a binding");
}

#[test]
fn a_value_kept_outside_a_configuration_opens_for_its_own_secret_and_key_alone() {
    let sealed = keyring().seal(&Binding::kept("default", "one", "token"), &secret()).unwrap();
    assert!(keyring().open(&Binding::kept("default", "one", "token"), &sealed).is_ok());
    let others = [
        Binding::kept("other", "one", "token"),
        Binding::kept("default", "two", "token"),
        Binding::kept("default", "one", "tokens"),
        Binding::kept("default", "onetoken", ""),
        binding(&config()),
    ];
    for other in others {
        assert_eq!(keyring().open(&other, &sealed).err(), Some(OpenError::NotAuthentic));
    }
}

#[test]
fn tables_in_another_place_leave_a_seal_alone() {
    let mut moved = config();
    moved.endpoints.insert(0, texts(&["/other"]));
    moved.rules[0].endpoints = Some(1);
    moved.targets.insert(0, target("x-other", ""));
    let Outcome::Inject(injections) = &mut moved.rules[0].then else { panic!("no injection") };
    injections[0].target = 1;
    assert_eq!(binding(&moved), binding(&config()));
}

#[test]
fn a_rule_without_its_tables_has_no_binding() {
    let cuts: &[Change] = &[
        |c| c.endpoints.clear(),
        |c| c.carriers.clear(),
        |c| c.targets.clear(),
        |c| c.rules[0].methods = Some(1),
    ];
    for cut in cuts {
        let mut config = config();
        cut(&mut config);
        let Outcome::Inject(injections) = &config.rules[0].then else { panic!("no injection") };
        assert!(config.binding(&config.rules[0], &injections[0]).is_err());
    }
}

#[test]
fn truncated_and_bit_flipped_values_do_not_open() {
    let binding = binding(&config());
    let sealed = keyring().seal(&binding, &secret()).unwrap();
    for length in 0..sealed.len() {
        assert!(keyring().open(&binding, &sealed[..length]).is_err(), "{length}");
    }
    let prefix = sealed.rfind('.').unwrap() + 1;
    let raw = BASE64_URL_SAFE_NO_PAD.decode(&sealed[prefix..]).unwrap();
    for bit in 0..raw.len() * 8 {
        let mut flipped = raw.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let text = format!("{}{}", &sealed[..prefix], BASE64_URL_SAFE_NO_PAD.encode(&flipped));
        assert_eq!(keyring().open(&binding, &text).err(), Some(OpenError::NotAuthentic), "bit {bit}");
    }
    for index in 0..sealed.len() {
        let mut flipped = sealed.clone().into_bytes();
        flipped[index] ^= 1;
        let text = String::from_utf8(flipped).unwrap();
        assert!(keyring().open(&binding, &text).is_err(), "character {index}");
    }
}

#[test]
fn what_is_no_sealed_value_is_told_apart() {
    let binding = binding(&config());
    let table = [
        ("", OpenError::Format),
        ("kw1", OpenError::Format),
        ("kw1.", OpenError::Format),
        ("kw1.AAAA", OpenError::Format),
        ("kw2.k1.AAAA", OpenError::Format),
        ("kw1.k1.AA=A", OpenError::Format),
        ("kw1.k1.A+AA", OpenError::Format),
        ("kw1.k2.AAAA", OpenError::UnknownKey),
        ("kw1.k1.x.AAAA", OpenError::UnknownKey),
        ("kw1..AAAA", OpenError::UnknownKey),
        ("kw1.k1.", OpenError::NotAuthentic),
        ("kw1.k1.AAAA", OpenError::NotAuthentic),
    ];
    for (sealed, expected) in table {
        assert_eq!(keyring().open(&binding, sealed).err(), Some(expected), "{sealed}");
    }
}

#[test]
fn the_newest_key_seals_and_every_key_opens() {
    let (old, new) = (
        "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "k.2://///////////////////////////////////////w8=",
    );
    let binding = binding(&config());
    let ring = |text: &str| Keyring::parse(text).unwrap();
    let by_old = ring(old).seal(&binding, &secret()).unwrap();
    let both = ring(&format!("{new},{old}\n"));
    assert!(both.seal(&binding, &secret()).unwrap().starts_with("kw1.k.2."));
    assert_eq!(both.open(&binding, &by_old).map(|s| s.expose().to_vec()), Ok(secret().expose().to_vec()));
    assert_eq!(ring(new).open(&binding, &by_old).err(), Some(OpenError::UnknownKey));
}

#[test]
fn a_malformed_keyring_says_which_entry_and_never_shows_a_key() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let long_id = "x".repeat(33);
    let table = [
        (String::new(), KeyringError::Syntax { entry: 1 }),
        (format!("k1:{key},"), KeyringError::Syntax { entry: 2 }),
        (key.to_owned(), KeyringError::Syntax { entry: 1 }),
        (format!(":{key}"), KeyringError::Id { entry: 1 }),
        (format!("a b:{key}"), KeyringError::Id { entry: 1 }),
        (format!("{long_id}:{key}"), KeyringError::Id { entry: 1 }),
        (format!("k1:{}", &key[1..]), KeyringError::Base64 { entry: 1 }),
        ("k1:AAAA".to_owned(), KeyringError::Length { entry: 1 }),
        (format!("k1:{key},k2:{key},k1:{key}"), KeyringError::Duplicate { entry: 3 }),
    ];
    for (text, expected) in table {
        let error = Keyring::parse(&text).err();
        assert_eq!(error, Some(expected), "{text}");
        assert!(!error.unwrap().to_string().contains("AAEC"));
    }
}
