//! The shape of the workspace: which crate may know which, what may be linked.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::OnceLock;

use harness::artefacts::root;
use serde_json::Value;

/// What `cargo metadata` says, for the platforms that we build for.
fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
            .args(["--filter-platform", "x86_64-unknown-linux-gnu", "--filter-platform", "wasm32-wasip1"])
            .current_dir(root())
            .output()
            .expect("cargo can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    })
}

fn packages() -> impl Iterator<Item = &'static Value> {
    metadata()["packages"].as_array().expect("packages").iter()
}

/// What a crate of ours names among its dependencies, of every kind.
fn dependencies(package: &str) -> BTreeSet<String> {
    named(package, |_| true)
}

fn named(package: &str, wanted: impl Fn(&Value) -> bool) -> BTreeSet<String> {
    let package = packages().find(|p| p["name"] == package).unwrap_or_else(|| panic!("no crate {package}"));
    let all = package["dependencies"].as_array().expect("dependencies").iter();
    let names =
        all.filter(|dependency| wanted(dependency)).filter_map(|dependency| dependency["name"].as_str());
    names.map(str::to_owned).collect()
}

/// What a crate of ours is linked with: not what its tests or its build need.
fn linked(package: &str) -> BTreeSet<String> {
    named(package, |dependency| dependency["kind"].is_null())
}

#[test]
fn on_another_system_the_first_error_of_keyward_says_that_it_builds_for_linux_only() {
    let output = Command::new("rustc")
        .args(["--crate-type", "lib", "--edition", "2024", "--target", "wasm32-wasip1", "--emit", "metadata"])
        .args(["-o", "/dev/null", "controller/src/lib.rs"])
        .current_dir(root())
        .output()
        .expect("rustc can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("error: keyward builds for Linux only: "), "{said}");
}

#[test]
fn dependencies_point_to_the_policy_and_never_between_filter_and_controller() {
    const OURS: [&str; 6] =
        ["keyward-policy", "keyward-filter", "keyward", "keyward-tests", "keyward-bench", "keyward-fuzz"];
    for (package, may) in [
        ("keyward-policy", &[][..]),
        ("keyward-filter", &["keyward-policy"]),
        ("keyward", &["keyward-policy"]),
        // Tests meet the filter only as an artefact, and the controller as one but for its delta session.
        ("keyward-tests", &["keyward-policy", "keyward"]),
        ("keyward-bench", &["keyward-policy", "keyward", "keyward-tests"]),
        ("keyward-fuzz", &["keyward-policy", "keyward"]),
    ] {
        let named = dependencies(package);
        let ours: Vec<_> = OURS.into_iter().filter(|name| named.contains(*name)).collect();
        assert_eq!(ours, may, "{package}");
    }
}

#[test]
fn the_policy_cannot_do_io_and_only_the_filter_knows_the_host() {
    let policy = linked("keyward-policy");
    assert!(policy.contains("serde"), "what the policy is linked with is not seen: {policy:?}");
    for outside in ["proxy-wasm", "tokio", "getrandom", "time", "chrono", "rand", "reqwest", "hyper"] {
        assert!(!policy.contains(outside), "the policy knows {outside}");
    }
    for package in ["keyward", "keyward-tests", "keyward-policy"] {
        assert!(!dependencies(package).contains("proxy-wasm"), "{package}");
    }
    assert!(dependencies("keyward-filter").contains("proxy-wasm"));
}

/// The quoted strings of the list that starts with `NAME = [` in `deny.toml`, by line.
fn denied_list(name: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let start = format!("{name} = [");
    let lines = text.lines().skip_while(|line| *line != start).skip(1).take_while(|line| *line != "]");
    lines.map(|line| line.split('"').skip(1).step_by(2).map(str::to_owned).collect()).collect()
}

/// Whether an SPDX expression can be met: one alternative all of whose parts are allowed.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    let part_is_allowed = |part: &str| allowed.iter().any(|licence| licence == part.trim());
    plain.split(" OR ").any(|alternative| alternative.split(" AND ").all(part_is_allowed))
}

#[test]
fn every_licence_is_one_that_we_allow_and_every_allowed_one_is_needed() {
    let allowed: Vec<String> = denied_list("allow").into_iter().flatten().collect();
    let mut used = String::new();
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence, &allowed), "{} is under {licence:?}", package["name"]);
        used.push_str(licence);
    }
    for licence in &allowed {
        assert!(used.contains(licence), "no package is under {licence}");
    }
}

/// `1` of 1.2.3, `0.2` of 0.2.3: versions that cargo takes for one another.
fn major(version: &str) -> String {
    let parts: Vec<_> = version.split('.').collect();
    if parts[0] == "0" { parts[..2].join(".") } else { parts[0].to_owned() }
}

#[test]
fn a_package_that_comes_in_two_major_versions_is_listed_with_the_reason() {
    let mut majors: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let (name, version) = (package["name"].as_str(), package["version"].as_str());
        majors.entry(name.unwrap_or_default()).or_default().insert(major(version.unwrap_or_default()));
    }
    let double = majors.into_iter().filter(|(_, versions)| versions.len() > 1);
    let double: BTreeSet<String> = double.map(|(name, _)| name.to_owned()).collect();
    let listed: BTreeMap<String, String> = denied_list("skip")
        .into_iter()
        .map(|line| (line[0].clone(), line.get(1).cloned().unwrap_or_default()))
        .collect();
    assert_eq!(double, listed.keys().cloned().collect(), "deny.toml lists others");
    assert!(listed.values().all(|reason| reason.len() > 10), "a reason is missing: {listed:?}");
}
