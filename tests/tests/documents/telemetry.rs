//! `docs/telemetry.md` names every attribute, metric and label, and no other.

use std::collections::BTreeSet;

use policy::metric;

use super::{document, rows, section};

/// The texts in quotes of a source that begin so.
fn literals(source: &str, starts: &[&str]) -> BTreeSet<String> {
    let text = document(source);
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let quoted =
        code.flat_map(|line| line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
    quoted.filter(|literal| starts.iter().any(|start| literal.starts_with(start))).collect()
}

/// What stands in backticks in the first cells of a section's tables.
fn first_cells(text: &str) -> BTreeSet<String> {
    let names = rows(text)
        .into_iter()
        .filter_map(|row| row.first()?.strip_prefix('`')?.strip_suffix('`').map(str::to_owned));
    names.collect()
}

#[test]
fn every_attribute_of_a_span_stands_in_the_document_and_no_other() {
    let named = first_cells(section(&document("docs/telemetry.md"), "The span"));
    let starts =
        ["http.request.method", "http.response.status", "server.", "url.", "gen_ai.", "clrk.", "keyward."];
    let mut attributes = literals("policy/src/record/span.rs", &starts);
    attributes.append(&mut literals("policy/src/record/span/attributes.rs", &starts));
    assert_eq!(named, attributes);
}

#[test]
fn every_metric_stands_in_the_document_and_no_other() {
    let text = document("docs/telemetry.md");
    let named = first_cells(section(&text, "Statistics"));
    assert_eq!(named, literals("policy/src/metric.rs", &["keyward_"]));
    for label in metric::LABELS {
        assert!(
            text.contains(&format!("{{tag_name: {label}, regex: '{}'}}", metric::label_pattern(label))),
            "{label}"
        );
    }
    assert_eq!(text.matches("tag_name: ").count(), metric::LABELS.len());
}
