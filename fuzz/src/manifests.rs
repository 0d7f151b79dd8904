//! Files become objects or problems that say where, and objects compile to configuration that can be generated.
//!
//! Input: files one after another, divided by NUL bytes, each any number of YAML documents.

use policy::api::Kind;
use policy::seal::Keyring;
use zeroize::Zeroizing;

use controller::compile::{Compiled, compile};
use controller::envoy::{Placement, resources};
use controller::inputs::Inputs;
use controller::source::{LastGood, Listing, Loaded, Overrides, Problem, load};

use crate::head::keyring;
use crate::input::contains;

/// Stands first by name; nothing that another file says removes its objects.
const GOOD: &str = "\
apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressGateway
metadata: {name: good, namespace: good}
spec: {listeners: [{name: egress, protocol: TLS, port: 443, tls: {mode: Terminate}}]}
";

/// Loading and compiling are total, repeatable, and one bad file takes nothing from the others.
pub fn holds(input: &[u8]) {
    let mut listing = Listing::new();
    listing.insert("00-good.yaml".to_owned(), Ok(Zeroizing::new(GOOD.as_bytes().to_vec())));
    for (number, file) in input.split(|b| *b == 0).take(4).enumerate() {
        listing.insert(format!("{number}.yaml"), Ok(Zeroizing::new(file.to_vec())));
    }
    let mut last_good = LastGood::default();
    let loaded = load(&listing, &mut last_good, &Overrides::default());
    loaded.problems.iter().for_each(|problem| check_problem(problem, &listing));
    assert!(
        loaded.objects.keys().any(|object| object.key.to_string() == "good/good"),
        "the good file lost its object"
    );

    let keyring = keyring();
    let compiled = compiled(&loaded, &keyring);
    let again = self::compiled(&load(&listing, &mut LastGood::default(), &Overrides::default()), &keyring);
    assert!(compiled == again, "equal files, another result");
    for object in loaded.objects.keys().filter(|object| object.kind != Kind::Secret) {
        assert!(compiled.statuses.0.contains_key(object), "nothing is said of {object}");
    }
    let canary = canary(&loaded, input);
    check_generated(&compiled, canary.as_deref());
    if let Some(canary) = canary {
        let told = loaded.problems.iter().map(Problem::to_string);
        let said = compiled.statuses.0.values().map(|status| format!("{status:?}"));
        assert!(!told.chain(said).any(|text| contains(text.as_bytes(), &canary)), "a secret in a message");
    }
    check_kept(&loaded, listing, &mut last_good);
}

/// The file is named, and the object too unless the file as a whole is unusable.
fn check_problem(problem: &Problem, listing: &Listing) {
    let file = problem.file.as_deref().and_then(|file| listing.get(file));
    let Some(Ok(bytes)) = file else { panic!("{problem}: names no file") };
    assert!(
        problem.object.as_ref().is_some_and(|object| !object.is_empty()) || is_of_whole_file(problem),
        "{problem}"
    );
    assert!(!problem.message.is_empty() && !problem.remedy.is_empty());
    let lines = bytes.split(|b| matches!(b, b'\n' | b'\r')).count() as u64;
    assert!(problem.line.is_none_or(|line| (1..=lines + 1).contains(&line)), "{problem}: of {lines} lines");
}

fn is_of_whole_file(problem: &Problem) -> bool {
    problem.field.is_none() && problem.remedy == "correct it"
}

fn compiled(loaded: &Loaded, keyring: &Keyring) -> Compiled {
    compile(&Inputs::from_objects(&loaded.objects), |_| keyring, "")
}

/// Every accepted gateway has configuration, and no Secret's value stands in it in the clear.
fn check_generated(compiled: &Compiled, canary: Option<&[u8]>) {
    let placement = Placement {
        proxy: ([127, 0, 0, 1], 0).into(),
        transparent: Some(([127, 0, 0, 1], 0).into()),
        module: "/module.wasm".into(),
        epoch: 1,
    };
    for (key, plan) in &compiled.gateways {
        let Ok(resources) = resources(plan, &placement) else { panic!("{key} cannot be generated") };
        assert!(!resources.is_empty());
        for resource in resources {
            let shown = canary.is_some_and(|canary| contains(&resource.body.value, canary));
            assert!(!shown, "a secret in {}", resource.name);
        }
    }
}

/// A value of a Secret that stands in the input once, so that whoever shows it has it from there.
fn canary(loaded: &Loaded, input: &[u8]) -> Option<Vec<u8>> {
    let inputs = Inputs::from_objects(&loaded.objects);
    let values = inputs.secrets.values().flat_map(|secret| secret.values());
    let bytes = values.filter_map(|value| match value {
        policy::api::SecretValue::Bytes(bytes) => Some(bytes.to_vec()),
        policy::api::SecretValue::NotBase64 => None,
    });
    bytes
        .filter(|bytes| bytes.len() >= 12 && bytes.starts_with(b"canary-"))
        .find(|bytes| input.windows(bytes.len()).filter(|window| window == bytes).count() == 1)
}

/// A file that turns bad keeps what it last said.
fn check_kept(before: &Loaded, mut listing: Listing, last_good: &mut LastGood) {
    for bytes in listing.values_mut() {
        *bytes = Ok(Zeroizing::new(b"{ unfinished".to_vec()));
    }
    let after = load(&listing, last_good, &Overrides::default());
    assert!(before.objects == after.objects, "a file that turned bad lost its objects");
    assert_eq!(after.problems.iter().filter(|problem| is_of_whole_file(problem)).count(), listing.len());
}
