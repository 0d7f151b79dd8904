//! What was asked for and cannot be written is a failure, said in one line.

use std::fs::File;
use std::process::Command;

use harness::artefacts::{keyward, root};
use harness::objects;

use super::{manifests, path, stderr};

#[test]
fn a_standard_output_that_takes_nothing_is_a_failure_and_no_panic() {
    let folder = manifests(&[("g.yaml", &objects::gateway("g", "allow-all"))]);
    let folder = path(folder.path());
    let keyring = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keyring.path(), format!("k1:{}=", "A".repeat(43))).unwrap();
    let (filter, keyring) = (root().join("envoy-config/static/filter.json"), path(keyring.path()));
    for arguments in [
        &["keyring", "new"][..],
        &["completions", "bash"],
        &["validate", folder],
        &["validate", "--json", folder],
        &["explain", "--manifests", folder, "GET", "https://a.example/"],
        &["explain", "--json", "--manifests", folder, "GET", "https://a.example/"],
        &["seal", path(&filter), "--keyring-file", keyring],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let variables = ["ANTHROPIC_API_KEY"].map(|name| (name, "sk-ant-canary-0123456789"));
        let output = Command::new(keyward()).args(arguments).envs(variables).stdout(full).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.starts_with("keyward: standard output: "), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    }
}
