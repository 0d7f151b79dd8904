//! Paths, links and commands that the documents name are there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use harness::artefacts::root;

use super::{document, documents};

/// Whether a word is meant as a path of this clone: it begins with something that is there, or names a source file.
fn is_path(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if word.is_empty() || word.starts_with(['/', '.', '-']) || !word.chars().all(plain) {
        return false;
    }
    let (first, rest) = word.split_once('/').unwrap_or((word, ""));
    let made = ["target", "certs"].contains(&first);
    let known = word.contains('/') && root().join(first).is_dir();
    let source = [".rs", ".md", ".toml", ".wat"].iter().any(|ending| word.ends_with(ending));
    !made && (known || source || rest.contains(".rs"))
}

fn exists(document: &Path, named: &str) -> bool {
    let beside = document.parent().unwrap_or(Path::new(""));
    root().join(named).exists() || root().join(beside).join(named).exists()
}

#[test]
fn every_path_that_a_document_names_exists() {
    let (mut checked, mut missing) = (0, Vec::new());
    for (document, text) in documents() {
        for word in text.split(|c: char| c.is_whitespace() || "`()[]|,;:'\"".contains(c)) {
            let word = word.trim_end_matches('.');
            if is_path(word) {
                checked += 1;
                missing.extend((!exists(&document, word)).then(|| format!("{}: {word}", document.display())));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    assert!(checked > 30, "only {checked} paths were recognised");
}

/// The anchor of a heading: lower case, spaces as hyphens, punctuation gone.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
    let anchor =
        |line: &str| line.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect();
    headings.map(anchor).map(|anchor: String| anchor.replace(' ', "-")).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    for (document, text) in documents() {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("https://")) {
            checked += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match path {
                "" => root().join(&document),
                path => root().join(&document).parent().unwrap().join(path),
            };
            assert!(path.exists(), "{}: {target}", document.display());
            let known =
                anchor.is_empty() || anchors(&std::fs::read_to_string(&path).unwrap()).contains(anchor);
            assert!(known, "{}: {target} has no such heading", document.display());
        }
    }
    assert!(checked > 15, "only {checked} links were recognised");
}

#[test]
fn every_make_target_that_a_document_names_exists() {
    let makefile = document("Makefile");
    let mut checked = 0;
    for (document, text) in documents() {
        let after = text.split(['`', '\n']).filter_map(|part| part.trim_start().strip_prefix("make "));
        for target in after.filter_map(|rest| rest.split_whitespace().next()).filter(|word| *word != "#") {
            checked += 1;
            let rule = format!("\n{target}:");
            assert!(makefile.contains(&rule), "{}: make {target}", document.display());
        }
    }
    assert!(checked > 5, "only {checked} targets were recognised");
}

#[test]
fn no_document_names_a_place_of_one_machine() {
    let others = ["Makefile", "hack/setup", ".ci/run", "Cargo.toml", "deny.toml", "clippy.toml"];
    let others = others.iter().map(|name| (PathBuf::from(name), document(name)));
    for (document, text) in documents().into_iter().chain(others) {
        for place in ["/work/", "/root/", "/home/", "/Users/", "../shared"] {
            assert!(!text.contains(place), "{} names {place}", document.display());
        }
    }
}
