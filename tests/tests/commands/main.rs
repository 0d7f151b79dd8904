//! The commands around a gateway: what they print, and that it is so.

mod agreement;
mod aws_keys;
mod completions;
mod explain;
mod help;
mod output;
mod secret_set;
mod status;
mod validate;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use harness::artefacts::{keyward, root};
use serde_json::Value;

/// Runs `keyward` to its end, with these variables.
fn run(arguments: &[&str], variables: &[(String, String)]) -> Output {
    let mut command = Command::new(keyward());
    command.args(arguments).envs(variables.iter().cloned());
    command.output().expect("keyward starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {output:?}"))
}

/// A folder of manifests of its own.
fn manifests(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

fn path(folder: &Path) -> &str {
    folder.to_str().expect("a path in UTF-8")
}

fn golden(name: &str) -> PathBuf {
    root().join("tests/tests/commands/golden").join(name)
}

/// Compares a text with its golden file; `UPDATE_GOLDEN=1` writes it anew.
#[track_caller]
fn check_golden(name: &str, text: &str) {
    let path = golden(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, kept, "{name} differs; UPDATE_GOLDEN=1 writes it anew");
}
