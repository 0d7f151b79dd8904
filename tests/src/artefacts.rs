//! The artefacts under test, built by cargo when a test first asks for them: no test meets a stale one.
//!
//! Building what is fresh takes a fraction of a second, and cargo's own lock makes concurrent test processes wait for
//! each other. Cargo says where it put each file, so that a target directory of the caller's choice is honoured.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// Variables in which a test that starts itself again says what it has just built.
const KEYWARD: &str = "KEYWARD_TEST_BUILT_BINARY";
const MODULE: &str = "KEYWARD_TEST_BUILT_MODULE";

/// Builds both, and tells a command where they are: what it starts then builds nothing.
pub fn hand_to(command: &mut Command) {
    command.env(KEYWARD, keyward()).env(MODULE, module());
}

fn handed(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// The root of the clone.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate in the workspace")
}

/// The `keyward` binary, fresh. Panics when it does not build.
#[must_use]
pub fn keyward() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        handed(KEYWARD).unwrap_or_else(|| build(&["-p", "keyward", "--bin", "keyward"], "keyward"))
    })
}

/// The filter, fresh. Panics when it does not build.
#[must_use]
pub fn module() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let arguments = ["-p", "keyward-filter", "--target", "wasm32-wasip1", "--profile", "module"];
    BUILT.get_or_init(|| handed(MODULE).unwrap_or_else(|| build(&arguments, "keyward.wasm")))
}

/// A variant of the filter that traps on a request with the header `x-keyward-trap`. Panics when it does not build.
#[must_use]
pub fn trapping_module() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    // A target directory of its own: the variant would take the place of the module, whose name it has.
    let target = module().ancestors().nth(3).expect("a target directory").join("trapping");
    let target = target.to_str().expect("a path in UTF-8");
    let place = ["--target", "wasm32-wasip1", "--profile", "module", "--target-dir", target];
    BUILT.get_or_init(|| {
        build(&[&["-p", "keyward-filter", "--features", "trap"], &place[..]].concat(), "keyward.wasm")
    })
}

/// The pinned Envoy. Panics with the remedy when the set-up has not run.
#[must_use]
pub fn envoy() -> PathBuf {
    tool("bin/envoy")
}

/// A tool that the set-up installs, by its path under `.tools`. Panics with the remedy when it is missing.
#[must_use]
pub fn tool(path: &str) -> PathBuf {
    let tool = root().join(".tools").join(path);
    assert!(tool.exists(), "{} is missing: run `make setup` first", tool.display());
    tool
}

/// Runs `cargo build` and returns the file of this name among what it made.
fn build(arguments: &[&str], file: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What cargo told this test about its own crate would make build scripts that look at it run again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
            .iter()
            .any(|part| name.starts_with(part))
        {
            command.env_remove(name);
        }
    }
    let output = command
        .args(["build", "--locked", "--message-format", "json-render-diagnostics"])
        .args(arguments)
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "cargo build {} failed", arguments.join(" "));
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let files = messages.flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default());
    let mut paths = files.filter_map(|path| path.as_str().map(PathBuf::from));
    let found = paths.rfind(|path| path.file_name().is_some_and(|name| name == file));
    found.unwrap_or_else(|| panic!("cargo build {} made no {file}", arguments.join(" ")))
}
