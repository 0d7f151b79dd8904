//! The documents say what is so: paths, commands, reasons and headers that they name are those of the code.

mod headers;
mod places;
mod reasons;
mod telemetry;
mod troubleshooting;

use std::path::PathBuf;

use harness::artefacts::root;

/// Every document of the clone, by its path from the root.
fn documents() -> Vec<(PathBuf, String)> {
    let examples = std::fs::read_dir(root().join("examples")).unwrap().map(|folder| folder.unwrap().path());
    let folders = ["", "docs", "docs/decisions", "envoy-config/static"].map(|folder| root().join(folder));
    let entries = folders.into_iter().chain(examples).flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path.strip_prefix(root()).unwrap().to_owned(), text)
    };
    paths.into_iter().map(read).collect()
}

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// What stands between backticks in a line of prose or a table.
fn quoted(text: &str) -> Vec<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The cells of every row of a table, by its first cell.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with("| "));
    lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// A section of a document, by its heading.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, section) =
        text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    section.split("\n## ").next().unwrap()
}
