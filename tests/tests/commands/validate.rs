//! `keyward validate`: examples are sound, and of bad manifests every problem is told, at its place.

use harness::artefacts::root;
use harness::examples::Example;
use harness::google::{Account, Key};
use serde_json::Value;

use super::{check_golden, json, manifests, path, run, stderr, stdout};

/// What a Secret of an example is given: a service account where one is needed.
pub(super) fn value(variable: &str) -> String {
    match variable {
        "KEY_FILE" => Account::robot(Key::One, "https://oauth2.googleapis.com/token").key_file(),
        other => Example::value(other),
    }
}

#[test]
fn every_example_is_without_a_problem_given_the_secrets_of_its_readme_and_without_them_is_not() {
    for name in Example::names() {
        let example = Example::named(&name);
        let folder = root().join("examples").join(&name);
        let mut arguments = vec!["validate".to_owned(), path(&folder).to_owned(), "--json".to_owned()];
        let without = arguments.clone();
        for flag in example.secret_flags() {
            arguments.extend(["--secret".to_owned(), flag]);
        }
        let variables: Vec<_> =
            example.variables().into_iter().map(|name| (name.clone(), value(&name))).collect();
        let words =
            |arguments: &[String]| run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &variables);
        let output = words(&arguments);
        let document = json(&output);
        assert_eq!(output.status.code(), Some(0), "{name}: {document:#}");
        assert_eq!((&document["valid"], &document["errors"]), (&true.into(), &0.into()), "{name}");
        let output = words(&without);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", stdout(&output));
        for finding in json(&output)["problems"].as_array().unwrap() {
            let remedy = finding["remedy"].as_str().unwrap();
            assert!(
                finding["severity"] == "warning" || remedy.contains("Secret") || remedy.contains("--secret"),
                "{name}: {finding:#}"
            );
        }
        for (_, value) in &variables {
            assert!(
                !stdout(&output).contains(value.as_str()) && !document.to_string().contains(value.as_str())
            );
        }
    }
}

fn cases() -> Vec<(String, String)> {
    let folder = root().join("controller/tests/golden");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |case: &std::path::PathBuf| {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        // Their keys are put in by the test that owns them.
        (!name.starts_with("google-")).then(|| (name, std::fs::read_to_string(case.join("in.yaml")).unwrap()))
    };
    let mut cases: Vec<_> = entries.filter_map(|case| read(&case)).collect();
    cases.sort();
    assert!(cases.len() > 10, "only {} cases", cases.len());
    cases
}

/// The objects of a compiled case that are refused, by its golden output.
fn refused(case: &str) -> Vec<String> {
    let text =
        std::fs::read_to_string(root().join("controller/tests/golden").join(case).join("out.json")).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let mut refused = Vec::new();
    for (object, parts) in value["conditions"].as_object().unwrap() {
        let parts = parts.as_object().unwrap().values();
        let said = |kind: &'static str| parts.clone().filter_map(move |part| part[kind].as_str());
        if said("Accepted").chain(said("ResolvedRefs")).any(|said| said.starts_with("False")) {
            refused.push(object.clone());
        }
    }
    refused
}

#[test]
fn every_refused_object_of_the_compilers_cases_is_told_with_file_line_and_remedy() {
    for (case, text) in cases() {
        let folder = manifests(&[("in.yaml", &text)]);
        let output = run(&["validate", path(folder.path()), "--json"], &[]);
        let document = json(&output);
        let findings = document["problems"].as_array().unwrap();
        for finding in findings.iter().filter(|finding| finding["condition"].is_string()) {
            assert_eq!(finding["file"], "in.yaml", "{case}: {finding:#}");
            let line = usize::try_from(finding["line"].as_u64().expect("a line")).unwrap();
            assert!(line >= 1 && line <= text.lines().count(), "{case}: {finding:#}");
            let remedy = finding["remedy"].as_str().unwrap();
            assert!(remedy.len() > 10 && !remedy.starts_with("see docs"), "{case}: {finding:#}");
        }
        let told =
            |object: &String| findings.iter().any(|it| it["object"] == **object && it["severity"] == "error");
        let refused = refused(&case);
        let untold: Vec<_> = refused.iter().filter(|object| !told(object)).collect();
        assert!(untold.is_empty(), "{case}: {untold:?} of {findings:#?}");
        let errors = findings.iter().filter(|it| it["severity"] == "error").count();
        assert_eq!(output.status.code(), Some(i32::from(errors > 0)), "{case}");
        assert!(errors > 0 || refused.is_empty(), "{case}");
    }
}

#[test]
fn what_people_read_of_bad_manifests_is_as_it_was() {
    for case in ["policies-refused", "secrets-that-cannot-be-used", "worked-example", "where-routes-attach"] {
        let (_, text) = cases().into_iter().find(|(name, _)| name == case).unwrap();
        let folder = manifests(&[("in.yaml", &text)]);
        let output = run(&["validate", path(folder.path())], &[]);
        check_golden(&format!("validate/{case}.txt"), &stdout(&output).replace(path(folder.path()), "DIR"));
    }
}

#[test]
fn every_problem_of_every_file_is_told_at_once_and_the_line_is_that_of_the_field() {
    let gateway = "apiVersion: clrk.apoxy.dev/v1alpha1\nkind: EgressGateway\nmetadata: {name: g}\nspec:\n  \
                   defaultPolicy: allow-all\n  requestTimeout: never\n  listeners:\n  - {name: l, protocol: TLS, tls: {mode: Terminate}}\n";
    let folder = manifests(&[
        ("a.yaml", "a: b\n  c: d\n"),
        ("b.yaml", gateway),
        (
            "c.yaml",
            "apiVersion: clrk.apoxy.dev/v1alpha1\nkind: AIProviderRoute\nmetadata: {name: r}\nspec:\n  parentRef: []\n",
        ),
    ]);
    let output = run(&["validate", path(folder.path()), "--json"], &[]);
    let document = json(&output);
    let told: Vec<_> = document["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            (
                it["file"].as_str().unwrap_or("-").to_owned(),
                it["line"].as_u64(),
                it["field"].as_str().unwrap_or("-").to_owned(),
            )
        })
        .collect();
    let expected =
        [("a.yaml", Some(2), "-"), ("b.yaml", Some(6), "spec.requestTimeout"), ("c.yaml", Some(5), "spec")];
    assert_eq!(told.len(), 3, "{document:#}");
    for ((file, line, field), expected) in told.iter().zip(expected) {
        assert_eq!((file.as_str(), *line), (expected.0, expected.1), "{document:#}");
        assert!(field.starts_with(expected.2), "{document:#}");
    }
}

#[test]
fn a_warning_is_no_problem_and_nothing_to_serve_is_one() {
    let gateway = "apiVersion: clrk.apoxy.dev/v1alpha1\nkind: EgressGateway\nmetadata: {name: g}\nspec:\n  \
                   listeners: [{name: l, protocol: TLS, tls: {mode: Terminate}}]\n  otlp: {captureBody: {maxBytes: 1}}\n";
    let folder = manifests(&[("g.yaml", gateway)]);
    let output = run(&["validate", path(folder.path())], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(
        stdout(&output).contains("g.yaml:6: warning: ") && stdout(&output).contains("no problem, 1 warning"),
        "{}",
        stdout(&output)
    );
    let folder = manifests(&[("s.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n")]);
    let output = run(&["validate", path(folder.path())], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("no EgressGateway"), "{}", stdout(&output));
}

#[test]
fn what_is_no_directory_of_manifests_and_a_variable_that_is_not_set_are_told_apart() {
    let folder = manifests(&[]);
    for (arguments, code, words) in [
        (vec![path(folder.path())], 1, "holds no *.yaml"),
        (vec!["/nowhere-at-all"], 1, "no such directory"),
        (
            vec![path(folder.path()), "--secret", "a=KEYWARD_TEST_NOT_SET"],
            2,
            "KEYWARD_TEST_NOT_SET is not set",
        ),
        (vec![], 2, "Usage"),
    ] {
        let output = run(&[&["validate"], &arguments[..]].concat(), &[]);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
    }
}
