//! The report for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::table::word;
use super::{Cell, Line, Report};
use crate::row::COLUMNS;

/// How much of what was seen is quoted, characters; the terminal and JUnit have the whole.
const QUOTED: usize = 400;

pub(super) fn write(report: &Report) -> String {
    let mut text = format!("# Attacks on {}\n\n", report.subject);
    if !report.about.is_empty() {
        let _ = writeln!(text, "{}\n", report.about.trim_end());
    }
    let _ = writeln!(text, "{}.\n", report.summary());
    table(&mut text, report);
    reasons(&mut text, report);
    for line in report.lines.iter().filter(|line| line.has_failed()) {
        failure(&mut text, line);
    }
    text
}

fn table(text: &mut String, report: &Report) {
    text.push_str("| id | what |");
    for variant in COLUMNS {
        let _ = write!(text, " {} |", variant.label());
    }
    let _ = writeln!(text, "\n|---|---|{}", "---|".repeat(COLUMNS.len()));
    for line in &report.lines {
        let _ = write!(text, "| {} | {} |", line.id, escape(&line.what));
        for variant in COLUMNS {
            let _ = write!(text, " {} |", line.cell(variant).map_or("", |cell| word(cell)));
        }
        text.push('\n');
    }
    text.push_str("\n`n/a`: not applicable, this proxy cannot be asked. ");
    text.push_str("`later`: comes with what is not built yet.\n");
}

/// Why rows do not apply, each reason once with the rows that have it.
fn reasons(text: &mut String, report: &Report) {
    let mut reasons: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in &report.lines {
        for (_, cell) in &line.cells {
            if let Cell::NotApplicable(why) = cell {
                reasons.entry(why).or_default().insert(&line.id);
            }
        }
    }
    if !reasons.is_empty() {
        text.push_str("\n## Not applicable\n\n");
    }
    for (why, ids) in reasons {
        let _ = writeln!(text, "- {why}: {}", ids.into_iter().collect::<Vec<_>>().join(", "));
    }
}

fn failure(text: &mut String, line: &Line) {
    let _ = write!(text, "\n## {}\n\n{}.\n", line.id, line.what);
    for (variant, cell) in &line.cells {
        if let Cell::Failed(how, _) = cell {
            let _ = write!(text, "\n- {}: `{}`\n", variant.label(), quoted(how));
        }
    }
}

/// On one line, without what Markdown would end the quotation by, and not longer than is read.
fn quoted(how: &str) -> String {
    let line: String = how.replace('`', "'").split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(QUOTED) {
        // Never within a word.
        Some((end, _)) => format!("{} …", line[..end].rsplit_once(' ').map_or("", |(whole, _)| whole)),
        None => line,
    }
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}
