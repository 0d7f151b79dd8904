//! `keyward` built for release, with as many buckets as are to be measured.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The number of buckets that a gateway has unless it is built for a measurement.
pub(crate) const BUCKETS: usize = 32;

/// The release build with this many buckets, kept under that name. Panics when it does not build.
#[must_use]
pub(crate) fn keyward(buckets: usize) -> PathBuf {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--locked", "--release", "-p", "keyward", "--bin", "keyward"]);
    command.current_dir(harness::artefacts::root()).env_remove("KEYWARD_BENCH_BUCKETS");
    if buckets != BUCKETS {
        command.env("KEYWARD_BENCH_BUCKETS", buckets.to_string());
    }
    assert!(command.status().expect("cargo can be started").success(), "keyward does not build");
    let folder = crate::report::folder();
    std::fs::create_dir_all(&folder).expect("a folder");
    let kept = folder.join(format!("keyward-{buckets}-buckets"));
    let made = target(&folder).join("release/keyward");
    std::fs::copy(&made, &kept).unwrap_or_else(|error| panic!("{}: {error}", made.display()));
    kept
}

/// The target directory, from the folder of reports in it.
fn target(reports: &Path) -> &Path {
    reports.parent().expect("a target directory")
}
