//! Every input that is worth keeping is tried again, and the corpora stay small.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fuzz::TARGETS;

/// Of one target.
const MOST_FILES: usize = 50;
const MOST_BYTES: u64 = 100 * 1024;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// What a folder holds, by name.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn stems(folder: &Path) -> Vec<String> {
    let stem = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    entries(folder).iter().map(stem).collect()
}

#[test]
fn every_property_holds_of_its_corpus() {
    let mut failed = Vec::new();
    for (target, holds) in TARGETS {
        for input in entries(&folder("corpora").join(target)) {
            let bytes = fs::read(&input).unwrap();
            if catch_unwind(|| holds(&bytes)).is_err() {
                failed.push(input);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_target_has_a_small_corpus_and_a_binary() {
    let names = TARGETS.map(|(name, _)| name.to_owned());
    assert_eq!(stems(&folder("corpora")), names);
    assert_eq!(stems(&folder("fuzz_targets")), names);
    for name in names {
        let inputs = entries(&folder("corpora").join(&name));
        let bytes: u64 = inputs.iter().map(|input| input.metadata().unwrap().len()).sum();
        assert!((1..=MOST_FILES).contains(&inputs.len()), "{name}: {} files", inputs.len());
        assert!(bytes <= MOST_BYTES, "{name}: {bytes} bytes");
    }
}

/// The binaries themselves, on one input each: that they link, start and reach their property.
#[cfg(feature = "engine")]
#[test]
fn every_binary_takes_an_input() {
    for (target, binary) in [
        ("authority", env!("CARGO_BIN_EXE_authority")),
        ("configuration", env!("CARGO_BIN_EXE_configuration")),
        ("delta_xds", env!("CARGO_BIN_EXE_delta_xds")),
        ("glob", env!("CARGO_BIN_EXE_glob")),
        ("request_head", env!("CARGO_BIN_EXE_request_head")),
        ("manifests", env!("CARGO_BIN_EXE_manifests")),
        ("scrub", env!("CARGO_BIN_EXE_scrub")),
        ("sealing", env!("CARGO_BIN_EXE_sealing")),
        ("usage", env!("CARGO_BIN_EXE_usage")),
    ] {
        let input = entries(&folder("corpora").join(target)).swap_remove(0);
        let output = std::process::Command::new(binary).arg(&input).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("Executed"), "{target}: {said}");
    }
}
