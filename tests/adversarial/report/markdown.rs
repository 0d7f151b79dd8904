//! The report for people.

use std::fmt::Write as _;

use super::table::word;
use super::{Cell, Report};
use crate::row::COLUMNS;

pub(super) fn write(report: &Report) -> String {
    let (passed, failed) = (report.passed(), report.failed());
    let mut text =
        format!("# Attacks on {}\n\n{passed} passed, {failed} failed.\n\n| id | what |", report.subject);
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
    text.push_str("\n`n/a`: this proxy cannot be asked. `later`: comes with what is not built yet.\n");
    for line in report.lines.iter().filter(|line| line.has_failed()) {
        let _ = write!(text, "\n## {}\n\n{}.\n", line.id, line.what);
        for (variant, cell) in &line.cells {
            if let Cell::Failed(how, _) = cell {
                let _ = write!(text, "\n- {}: {}\n", variant.label(), how.replace('\n', " "));
            }
        }
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}
