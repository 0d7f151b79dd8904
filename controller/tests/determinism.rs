//! Equal files and keyring give equal bytes: from the directory to the resources that Envoy is served.
//!
//! Leaves are absent here on purpose: each is minted anew. The same holds for processes of their own, whose hash maps
//! and addresses differ: this test runs itself again and compares what it prints.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use controller::compile::compile;
use controller::envoy::{Placement, Resource, resources};
use controller::inputs::Inputs;
use controller::plan::ObjectKey;
use controller::source::{Directory, Overrides};
use controller::state::StateDir;
use policy::seal::Keyring;
use policy::secret::Secret;
use prost::Message as _;

/// A key of the tests alone.
const KEYRING: &str = "test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Makes `another_process_gives_the_same_bytes` print what a directory becomes.
const PRINT: &str = "KEYWARD_TEST_PRINT_RESOURCES_OF";

/// A resource as bytes, under its gateway, type and name.
type Bytes = (String, Vec<u8>);

/// From the files to the bytes, with nothing kept from an earlier call.
fn served(manifests: &Path, overrides: &Overrides) -> Vec<Bytes> {
    let loaded = Directory::open(manifests).unwrap().load(overrides);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let keyring = Keyring::parse(KEYRING).unwrap();
    let compiled = compile(&Inputs::from_objects(&loaded.objects), |_| &keyring, "");
    let placement = Placement {
        proxy: ([127, 0, 0, 1], 0).into(),
        transparent: Some(([127, 0, 0, 1], 0).into()),
        module: "/module.wasm".into(),
        epoch: 1,
    };
    let of_gateway = |(key, plan): (&ObjectKey, &_)| {
        let named = |resource: Resource| {
            (format!("{key} {} {}", resource.type_url, resource.name), resource.body.encode_to_vec())
        };
        resources(plan, &placement).unwrap().into_iter().map(named).collect::<Vec<_>>()
    };
    compiled.gateways.iter().flat_map(of_gateway).collect()
}

/// What every test here compiles: gateways, patterns and policies that the golden cases have, in one directory.
fn documents() -> Vec<String> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let cases = [
        "worked-example",
        "two-gateways",
        "overlapping-hosts-share-a-bucket",
        "aliases-and-upstreams",
        "l4-routes",
        "denials",
    ];
    let texts = cases.iter().enumerate().flat_map(|(number, case)| {
        let text = fs::read_to_string(golden.join(case).join("in.yaml")).unwrap();
        // The cases use the same names, so each gets a namespace of its own.
        let moved = text.replace("metadata: {", &format!("metadata: {{namespace: n{number}, "));
        moved.split("---\n").map(str::to_owned).collect::<Vec<_>>()
    });
    texts.filter(|document| !document.trim().is_empty()).collect()
}

/// Writes one file for each document, in the order given; `name` gives the file's name by the document's number.
fn write<'a>(
    documents: impl Iterator<Item = (usize, &'a String)>,
    name: impl Fn(usize) -> String,
) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (number, document) in documents {
        fs::write(folder.path().join(name(number)), document).unwrap();
    }
    folder
}

fn in_order() -> tempfile::TempDir {
    write(documents().iter().enumerate(), |number| format!("{number:03}.yaml"))
}

/// Names and bytes, compared one by one, so that a failure shows the name and not the bytes.
#[track_caller]
fn assert_same(one: &[Bytes], other: &[Bytes]) {
    let names = |all: &[Bytes]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(one), names(other));
    assert_eq!(differing(one, other), Vec::<&str>::new());
}

fn differing<'a>(one: &'a [Bytes], other: &[Bytes]) -> Vec<&'a str> {
    one.iter().zip(other).filter(|(a, b)| a != b).map(|(a, _)| a.0.as_str()).collect()
}

#[test]
fn two_runs_on_the_same_directory_give_the_same_bytes() {
    let folder = in_order();
    let first = served(folder.path(), &Overrides::default());
    assert!(first.len() > 200, "only {} resources", first.len());
    assert_same(&first, &served(folder.path(), &Overrides::default()));
}

#[test]
fn the_order_and_the_names_of_the_files_mean_nothing() {
    let documents = documents();
    let first = served(in_order().path(), &Overrides::default());
    let backwards = write(documents.iter().enumerate().rev(), |number| format!("{:03}.yml", 999 - number));
    assert_same(&first, &served(backwards.path(), &Overrides::default()));
    let one_file = tempfile::tempdir().unwrap();
    let reversed: Vec<_> = documents.iter().rev().map(String::as_str).collect();
    fs::write(one_file.path().join("all.yaml"), reversed.join("\n---\n")).unwrap();
    assert_same(&first, &served(one_file.path(), &Overrides::default()));
}

/// What the other process does.
fn print(folder: &Path) {
    for (name, bytes) in served(folder, &Overrides::default()) {
        println!("resource {name} {}", hex(&bytes));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn another_process_gives_the_same_bytes() {
    if let Some(folder) = std::env::var_os(PRINT) {
        return print(&PathBuf::from(folder));
    }
    let folder = in_order();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "another_process_gives_the_same_bytes", "--nocapture", "--test-threads=1"])
        .env(PRINT, folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // The first line follows the name of the test.
    let printed: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once("resource ")?.1)).collect();
    let ours = served(folder.path(), &Overrides::default());
    assert_eq!(printed.len(), ours.len());
    for ((name, bytes), printed) in ours.iter().zip(printed) {
        assert!(printed == format!("{name} {}", hex(bytes)), "{name} differs");
    }
}

/// The Secret whose value is changed, and its key.
fn changed() -> (ObjectKey, &'static str) {
    (ObjectKey { namespace: "n0".into(), name: "anthropic-credentials".into() }, "api-key")
}

/// What is served after `secret set` in a run of its own: the value is kept, sealed, and read again from the state
/// directory, as the next run would.
fn served_after_set(manifests: &Path, state: &StateDir, value: &str) -> Vec<Bytes> {
    let keyring = Keyring::parse(KEYRING).unwrap();
    let (secret, key) = changed();
    let mut overlay = state.overlay(&keyring).unwrap();
    overlay.set(secret, key.into(), Secret::new(value.into()));
    state.keep_overlay(&overlay, &keyring).unwrap();
    let mut overrides = Overrides::default();
    for (secret, key, value) in state.overlay(&keyring).unwrap().iter() {
        // Exposed to be put into the Secret that policies read.
        overrides.set(secret.clone(), key.to_owned(), value.expose().to_vec());
    }
    served(manifests, &overrides)
}

#[test]
fn a_value_that_comes_back_gives_the_bytes_that_it_had_and_another_changes_one_resource() {
    let folder = in_order();
    let place = tempfile::tempdir().unwrap();
    let state = StateDir::open(place.path().join("state")).unwrap();
    let first = served_after_set(folder.path(), &state, "value-sk-ant-a");
    let second = served_after_set(folder.path(), &state, "value-sk-ant-b");
    let third = served_after_set(folder.path(), &state, "value-sk-ant-a");
    assert_same(&first, &third);
    let changed = differing(&first, &second);
    assert!(
        matches!(changed[..], [one] if one.contains("echo-bot") && one.contains("TypedExtensionConfig")),
        "{changed:?}"
    );
}
