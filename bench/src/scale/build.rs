//! `keyward` built for release, with as many buckets as are to be measured.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The number of buckets that a gateway has unless it is built for a measurement.
pub(crate) const BUCKETS: usize = 32;

/// Whether `keyward` is built, or taken as an earlier run left it: each build takes minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// Built, so that what is measured is what is there.
    Fresh,
    /// Taken as it is.
    Kept,
}

impl Build {
    /// What `--no-build` says.
    pub(crate) fn of(no_build: bool) -> Build {
        if no_build { Build::Kept } else { Build::Fresh }
    }
}

/// The release build with this many buckets. Panics when it does not build, or was not kept.
#[must_use]
pub(crate) fn keyward(buckets: usize, build: Build) -> PathBuf {
    let folder = crate::report::folder();
    let kept = folder.join(format!("keyward-{buckets}-buckets"));
    if build == Build::Fresh {
        build_into(&kept, buckets);
    }
    assert!(kept.exists(), "{} is not there: run without --no-build first", kept.display());
    kept
}

fn build_into(kept: &Path, buckets: usize) {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--locked", "--release", "-p", "keyward", "--bin", "keyward"]);
    command.current_dir(harness::artefacts::root()).env_remove("KEYWARD_BENCH_BUCKETS");
    if buckets != BUCKETS {
        command.env("KEYWARD_BENCH_BUCKETS", buckets.to_string());
    }
    assert!(command.status().expect("cargo can be started").success(), "keyward does not build");
    let folder = kept.parent().expect("a folder");
    std::fs::create_dir_all(folder).expect("a folder");
    let made = target(folder).join("release/keyward");
    std::fs::copy(&made, kept).unwrap_or_else(|error| panic!("{}: {error}", made.display()));
}

/// The target directory, from the folder of reports in it.
fn target(reports: &Path) -> &Path {
    reports.parent().expect("a target directory")
}
