//! What files mean, as tables of file text, objects and problems.

use policy::api::{Kind, Manifest};
use zeroize::Zeroizing;

use super::{LastGood, Listing, load};
use crate::plan::ObjectKey;
use crate::source::{Loaded, Overrides};

const POLICY: &str = "\
apiVersion: clrk.apoxy.dev/v1alpha1
kind: CredentialInjectionPolicy
metadata: {name: p}
spec: {secretRef: {name: s}, secretKey: api-key, target: Header, headerName: x-api-key}
";

const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {api-key: <base64-of-sk-ant-...>, other: b25l}\n";

const ROUTE: &str =
    "apiVersion: clrk.apoxy.dev/v1alpha1\nkind: AIProviderRoute\nmetadata: {name: r}\nspec: {rules: []}\n";

fn listing(files: &[(&str, &str)]) -> Listing {
    files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Ok(Zeroizing::new(text.as_bytes().to_vec()))))
        .collect()
}

fn load_fresh(files: &[(&str, &str)], overrides: &Overrides) -> Loaded {
    load(&listing(files), &mut LastGood::default(), overrides)
}

fn names(loaded: &Loaded) -> Vec<String> {
    loaded.objects.keys().map(ToString::to_string).collect()
}

fn problems(loaded: &Loaded) -> Vec<String> {
    loaded.problems.iter().map(ToString::to_string).collect()
}

fn value(loaded: &Loaded, secret: &str, key: &str) -> Option<Vec<u8>> {
    let found =
        loaded.objects.iter().find(|(object, _)| object.kind == Kind::Secret && object.key.name == secret)?;
    let Manifest::Secret(secret) = found.1.clone() else { panic!("not a Secret") };
    secret.values().get(key)?.expose().map(<[u8]>::to_vec)
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "default".into(), name: name.into() }
}

#[test]
fn invalid_yaml_in_one_file_leaves_the_other_files_serving() {
    let loaded = load_fresh(&[("a.yaml", "kind: [\n"), ("b.yaml", ROUTE)], &Overrides::default());
    assert_eq!(names(&loaded), ["AIProviderRoute default/r"]);
    assert_eq!(loaded.problems.len(), 1);
    assert_eq!(loaded.problems[0].file.as_deref(), Some("a.yaml"));
    assert_eq!(loaded.problems[0].message, "not valid YAML (nothing of it is served)");
    assert!(loaded.problems[0].line.is_some());
}

#[test]
fn a_file_that_stops_parsing_keeps_its_last_good_objects() {
    let mut last_good = LastGood::default();
    let overrides = Overrides::default();
    load(&listing(&[("a.yaml", ROUTE), ("b.yaml", POLICY)]), &mut last_good, &overrides);
    for broken in ["kind: [\n", "a: b\n  c: d\n"] {
        let loaded = load(&listing(&[("a.yaml", broken), ("b.yaml", POLICY)]), &mut last_good, &overrides);
        assert_eq!(names(&loaded), ["AIProviderRoute default/r", "CredentialInjectionPolicy default/p"]);
        assert!(problems(&loaded)[0].contains("its last good objects serve on"), "{:?}", problems(&loaded));
    }
    let unreadable = Listing::from([("a.yaml".to_owned(), Err("permission denied".to_owned()))]);
    let loaded = load(&unreadable, &mut last_good, &overrides);
    assert_eq!(names(&loaded), ["AIProviderRoute default/r"]);
    assert_eq!(
        problems(&loaded),
        ["a.yaml: cannot be read: permission denied (its last good objects serve on); \
          make it a readable, regular file"]
    );
    // A file that is gone takes its objects along.
    assert!(load(&Listing::new(), &mut last_good, &overrides).objects.is_empty());
}

#[test]
fn an_object_that_stops_decoding_keeps_its_last_good_version_and_the_rest_of_its_file_serves() {
    let mut last_good = LastGood::default();
    let overrides = Overrides::default();
    let good = format!("{ROUTE}---\n{POLICY}");
    load(&listing(&[("a.yaml", &good)]), &mut last_good, &overrides);
    let bad = good.replace("rules: []", "rules: [], parentRef: []");
    let loaded = load(&listing(&[("a.yaml", &bad)]), &mut last_good, &overrides);
    assert_eq!(names(&loaded), ["AIProviderRoute default/r", "CredentialInjectionPolicy default/p"]);
    assert_eq!(
        problems(&loaded),
        ["a.yaml:4: AIProviderRoute default/r: spec.parentRef: unknown field parentRef \
          (its last good version serves on); did you mean parentRefs?"]
    );
    let fresh = load_fresh(&[("a.yaml", &bad)], &overrides);
    assert_eq!(names(&fresh), ["CredentialInjectionPolicy default/p"]);
    assert!(problems(&fresh)[0].contains("(it is not served)"));
}

/// A file that is written half, or whose name is no name, is not the end of what it held.
#[test]
fn a_file_with_an_object_that_cannot_be_told_keeps_what_it_held() {
    let overrides = Overrides::default();
    let held = format!("{ROUTE}---\n{POLICY}");
    for nameless in ["kind: AIProviderRoute\nmetadata: {name: [r]}\n", "apiVersion: v1\n", "- a\n"] {
        let mut last_good = LastGood::default();
        load(&listing(&[("a.yaml", &held)]), &mut last_good, &overrides);
        for file in [nameless.to_owned(), format!("{POLICY}---\n{nameless}")] {
            let loaded = load(&listing(&[("a.yaml", &file)]), &mut last_good, &overrides);
            assert_eq!(names(&loaded), ["AIProviderRoute default/r", "CredentialInjectionPolicy default/p"]);
            let said = &problems(&loaded)[0];
            assert!(said.contains("(what the file last held serves on)"), "{said}");
        }
        // Whole again, it is what it says.
        let loaded = load(&listing(&[("a.yaml", POLICY)]), &mut last_good, &overrides);
        assert_eq!(names(&loaded), ["CredentialInjectionPolicy default/p"]);
    }
    // An object of somebody else's stands for none of ours.
    let mut last_good = LastGood::default();
    load(&listing(&[("a.yaml", &held)]), &mut last_good, &overrides);
    let foreign = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [r]}\n";
    let loaded = load(&listing(&[("a.yaml", foreign)]), &mut last_good, &overrides);
    assert!(loaded.objects.is_empty() && problems(&loaded)[0].contains("(it is not served)"));
}

#[test]
fn the_first_file_by_name_wins_a_duplicate_object() {
    let twice = format!("{ROUTE}---\n{ROUTE}");
    let loaded = load_fresh(&[("b.yaml", ROUTE), ("a.yaml", &twice)], &Overrides::default());
    assert_eq!(names(&loaded), ["AIProviderRoute default/r"]);
    assert_eq!(
        problems(&loaded),
        [
            "a.yaml:6: AIProviderRoute default/r: this object stands in a.yaml already, and that one serves; \
             remove or rename one of the two",
            "b.yaml: AIProviderRoute default/r: this object stands in a.yaml already, and that one serves; \
             remove or rename one of the two",
        ]
    );
}

#[test]
fn a_flag_replaces_a_secret_whose_text_no_decoder_would_take() {
    let files = [("a.yaml", SECRET), ("b.yaml", POLICY)];
    let without = load_fresh(&files, &Overrides::default());
    assert_eq!(value(&without, "s", "api-key"), None);
    assert_eq!(
        problems(&without),
        [
            "a.yaml:4: Secret default/s: data.api-key: the value of api-key is not base64; whatever uses it is \
          refused; encode it, write it under stringData as it is, or pass it with --secret"
        ]
    );
    let mut overrides = Overrides::default();
    overrides.flag(key("s"), None, b"from the environment".to_vec());
    let with = load_fresh(&files, &overrides);
    assert_eq!(problems(&with), [""; 0]);
    assert_eq!(value(&with, "s", "api-key").as_deref(), Some(b"from the environment".as_slice()));
    assert_eq!(value(&with, "s", "other"), None, "a flag replaces the whole Secret");
    let broken = SECRET.replace("{api-key: <base64-of-sk-ant-...>, other: b25l}", "[nonsense]");
    assert_eq!(problems(&load_fresh(&[("a.yaml", &broken), ("b.yaml", POLICY)], &overrides)), [""; 0]);
}

#[test]
fn a_flag_alone_makes_a_secret() {
    let mut overrides = Overrides::default();
    overrides.flag(key("s"), None, b"one".to_vec());
    overrides.flag(key("t"), None, b"two".to_vec());
    overrides.flag(key("t"), Some("user".into()), b"three".to_vec());
    let loaded = load_fresh(&[("b.yaml", POLICY)], &overrides);
    for (secret, key, bytes) in [
        ("s", "api-key", Some("one")),
        ("s", "token", None),
        ("t", "token", Some("two")),
        ("t", "user", Some("three")),
    ] {
        assert_eq!(value(&loaded, secret, key).as_deref(), bytes.map(str::as_bytes), "{secret} {key}");
    }
}

#[test]
fn secret_set_wins_over_flags_and_flags_over_manifests() {
    let mut overrides = Overrides::default();
    overrides.set(key("s"), "other".into(), b"set".to_vec());
    let files = [("a.yaml", SECRET), ("b.yaml", POLICY)];
    let merged = load_fresh(&files, &overrides);
    assert_eq!(value(&merged, "s", "other").as_deref(), Some(b"set".as_slice()));
    overrides.flag(key("s"), Some("api-key".into()), b"flag".to_vec());
    overrides.flag(key("s"), Some("other".into()), b"flag".to_vec());
    let both = load_fresh(&files, &overrides);
    assert_eq!(value(&both, "s", "other").as_deref(), Some(b"set".as_slice()));
    assert_eq!(value(&both, "s", "api-key").as_deref(), Some(b"flag".as_slice()));
}

#[test]
fn no_problem_shows_what_a_secret_holds() {
    for text in [
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {k: sk-canary}\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: sk-canary\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: [sk-canary]}\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {sk-canary}\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: \"sk-canary}\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: sk-canary: x}\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: *sk-canary}\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: !sk-canary x y: z\n",
    ] {
        let loaded = load_fresh(&[("a.yaml", text)], &Overrides::default());
        assert!(!problems(&loaded).is_empty(), "{text}");
        assert!(!problems(&loaded).concat().contains("canary"), "{text}: {:?}", problems(&loaded));
    }
}

#[test]
fn a_time_that_is_none_is_told() {
    let text = ROUTE.replace("{name: r}", "{name: r, creationTimestamp: yesterday}");
    assert_eq!(
        problems(&load_fresh(&[("a.yaml", &text)], &Overrides::default())),
        [
            "a.yaml:3: AIProviderRoute default/r: metadata.creationTimestamp: not an RFC 3339 time; the object counts \
          as having no age; remove it, or write it like 2026-01-31T12:00:00Z"
        ]
    );
}

#[test]
fn an_unchanged_file_says_the_same_again_and_follows_new_overrides() {
    let files = listing(&[("a.yaml", SECRET), ("b.yaml", "kind: [\n"), ("c.yaml", POLICY)]);
    let mut last_good = LastGood::default();
    let first = load(&files, &mut last_good, &Overrides::default());
    let second = load(&files, &mut last_good, &Overrides::default());
    assert_eq!(problems(&first), problems(&second));
    assert!(first.objects == second.objects);
    let mut overrides = Overrides::default();
    overrides.set(key("s"), "api-key".into(), b"set".to_vec());
    let third = load(&files, &mut last_good, &overrides);
    assert_eq!(
        problems(&third).len(),
        problems(&first).len() - 1,
        "the value that is no base64 is covered now"
    );
    overrides.set(key("s"), "api-key".into(), b"set again".to_vec());
    let fourth = load(&files, &mut last_good, &overrides);
    assert_eq!(value(&fourth, "s", "api-key").as_deref(), Some(b"set again".as_slice()));
}
