//! Manifests to plans and conditions, as files: `golden/<case>/in.yaml` and `golden/<case>/out.json`; Google tokens that
//! there are, in `tokens.json`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p keyward --test golden` writes `out.json` anew; read the difference before committing.
//! Keys are fixed and sealing is deterministic, so the outputs are equal on every machine.

mod golden_output;
#[path = "golden_google/mod.rs"]
mod google;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use controller::compile::{Compiled, compile};
use controller::inputs::Inputs;
use controller::plan::{GatewayPlan, ObjectKey};
use controller::source::{LastGood, Listing, Overrides, SecretFlag, load};
use policy::seal::Keyring;
use policy::wire::Outcome;
use proptest::prelude::*;
use zeroize::Zeroizing;

use golden_output::render;

/// A key of the tests alone.
const KEYRING: &str = "test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.is_dir());
    cases.sort();
    cases
}

fn inputs(case: &Path) -> (Inputs, Vec<String>) {
    let text = google::with_keys(&fs::read_to_string(case.join("in.yaml")).unwrap());
    let listing = Listing::from([("in.yaml".to_owned(), Ok(Zeroizing::new(text.into_bytes())))]);
    let loaded = load(&listing, &mut LastGood::default(), &Overrides::default());
    let problems = loaded.problems.iter().map(ToString::to_string).collect();
    let mut inputs = Inputs::from_objects(&loaded.objects);
    inputs.tokens = Arc::new(google::tokens(case));
    (inputs, problems)
}

fn compiled(inputs: &Inputs) -> Compiled {
    let keyring = Keyring::parse(KEYRING).unwrap();
    compile(inputs, |_| &keyring, "")
}

#[test]
fn every_case_compiles_to_its_golden_output() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut differing = Vec::new();
    for case in cases() {
        let (inputs, problems) = inputs(&case);
        let rendered = render(&compiled(&inputs), &problems);
        let golden = case.join("out.json");
        if update {
            fs::write(&golden, &rendered).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != rendered {
            differing.push(case.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    assert!(differing.is_empty(), "changed: {differing:?}; see this file's header for how to update");
}

#[test]
fn two_compiles_of_equal_input_give_equal_bytes() {
    for case in cases() {
        let ((first, _), (second, _)) = (inputs(&case), inputs(&case));
        let (first, second) = (compiled(&first), compiled(&second));
        assert_eq!(first, second, "{}", case.display());
        for (key, plan) in &first.gateways {
            let other = &second.gateways[key];
            for (one, other) in plan.buckets.iter().zip(&other.buckets) {
                assert_eq!(serde_json::to_vec(one).unwrap(), serde_json::to_vec(other).unwrap());
            }
        }
    }
}

/// Every sealed value of a plan, opened for the rule that it stands in.
fn opened(plan: &GatewayPlan) -> Vec<String> {
    let keyring = Keyring::parse(KEYRING).unwrap();
    let mut values = Vec::new();
    for config in &plan.buckets {
        for rule in &config.rules {
            let Outcome::Inject(injections) = &rule.then else { continue };
            for injection in injections {
                let binding = config.binding(rule, injection).unwrap();
                let secret = keyring.open(&binding, &injection.sealed).unwrap();
                values.push(String::from_utf8(secret.expose().to_vec()).unwrap());
            }
        }
    }
    values
}

#[test]
fn every_sealed_value_opens_for_its_own_rule() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (case, gateway, values) in [
        ("worked-example", "echo-bot", vec!["value-sk-ant-0001"]),
        ("two-gateways", "g", vec!["value-for-gateway-g", "value-for-gateway-g"]),
        ("two-gateways", "h", vec!["value-for-gateway-h", "value-for-gateway-g"]),
        ("secrets-that-cannot-be-used", "g", vec!["value-trailing-newline"]),
        ("worked-example-without-its-secret", "echo-bot", vec![]),
        (
            "google-tokens",
            "g",
            vec![
                "1800003400\nvalue-ya29-failing-0003",
                "1800003500\nvalue-ya29-scoped-0002",
                "1800003600\nvalue-ya29-default-0001",
                "1800003600\nvalue-ya29-default-0001",
            ],
        ),
        (
            "google-self-signed-tokens",
            "g",
            vec![
                "1800003590\nvalue-signed-for-audience-0005",
                "1800003590\nvalue-signed-for-one-0001",
                "1800003580\nvalue-signed-for-two-0002",
                "1800003590\nvalue-signed-for-vertex-0003",
                "1800003590\nvalue-signed-for-gemini-0004",
                "1800003590\nvalue-signed-for-scopes-0006",
            ],
        ),
    ] {
        let compiled = compiled(&inputs(&folder.join(case)).0);
        let key = ObjectKey { namespace: "default".into(), name: gateway.into() };
        assert_eq!(opened(&compiled.gateways[&key]), values, "{case} {gateway}");
    }
}

#[test]
fn the_worked_example_needs_nothing_but_its_flag() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = fs::read(folder.join("worked-example-without-its-secret/in.yaml")).unwrap();
    let flag: SecretFlag = "anthropic-credentials=ANTHROPIC_API_KEY".parse().unwrap();
    let mut overrides = Overrides::default();
    overrides.flag(flag.secret, flag.key, b"value-sk-ant-0001".to_vec());
    let listing = Listing::from([("in.yaml".to_owned(), Ok(Zeroizing::new(text)))]);
    let loaded = load(&listing, &mut LastGood::default(), &overrides);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let with_flag = compiled(&Inputs::from_objects(&loaded.objects));
    let with_secret = compiled(&inputs(&folder.join("worked-example")).0);
    assert_eq!(with_flag, with_secret);
}

#[test]
fn no_output_holds_a_value_of_a_secret() {
    for case in cases() {
        let tokens = fs::read_to_string(case.join("tokens.json")).unwrap_or_default();
        let text = fs::read_to_string(case.join("in.yaml")).unwrap() + &tokens;
        let (inputs, problems) = inputs(&case);
        let compiled = compiled(&inputs);
        let rendered = render(&compiled, &problems) + &format!("{compiled:?}");
        for key_line in google::key_lines() {
            assert!(!rendered.contains(&key_line), "{}", case.display());
        }
        for value in text.lines().filter_map(|line| line.split("value-").nth(1)) {
            let value = value.split(['"', '}', ',', ' ']).next().unwrap();
            assert!(value.len() >= 8, "{value} is too short to look for");
            assert!(!rendered.contains(value), "{}", case.display());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is left of a case's documents and fields, it compiles to something that the filter takes.
    #[test]
    fn mutilated_cases_compile_to_what_the_filter_takes(
        case in any::<prop::sample::Index>(),
        dropped in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        swapped in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..3),
    ) {
        let cases = cases();
        let text = fs::read_to_string(case.get(&cases).join("in.yaml")).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        for (one, other) in swapped {
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            lines.swap(one, other);
        }
        for index in dropped {
            if !lines.is_empty() {
                lines.remove(index.index(lines.len()));
            }
        }
        let listing = Listing::from([("in.yaml".to_owned(), Ok(Zeroizing::new(lines.join("\n").into_bytes())))]);
        let loaded = load(&listing, &mut LastGood::default(), &Overrides::default());
        let rendered = render(&compiled(&Inputs::from_objects(&loaded.objects)), &[]);
        prop_assert!(!rendered.contains("FilterRefused"), "{rendered}");
    }
}
