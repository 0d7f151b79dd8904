//! The table for a terminal.

use std::fmt::Write as _;

use super::{Cell, Line, Report};
use crate::row::COLUMNS;

pub(super) fn write(report: &Report) -> String {
    let width = report.lines.iter().map(|line| line.id.len()).max().unwrap_or(2);
    let mut text = format!("{:width$}", "id");
    for variant in COLUMNS {
        let _ = write!(text, "  {:9}", variant.label());
    }
    text.push_str("  what\n");
    for line in &report.lines {
        let _ = write!(text, "{:width$}", line.id);
        for variant in COLUMNS {
            let _ = write!(text, "  {:9}", line.cell(variant).map_or("-", word));
        }
        let _ = writeln!(text, "  {}", line.what);
    }
    for line in report.lines.iter().filter(|line| line.has_failed()) {
        failures(&mut text, line);
    }
    text
}

fn failures(text: &mut String, line: &Line) {
    for (variant, cell) in &line.cells {
        if let Cell::Failed(how, _) = cell {
            let _ = writeln!(text, "\n{} ({}): {}\n  {how}", line.id, variant.label(), line.what);
        }
    }
}

/// A verdict in a word.
pub(super) fn word(cell: &Cell) -> &'static str {
    match cell {
        Cell::Passed(_) => "passed",
        Cell::Failed(..) => "FAILED",
        Cell::NotApplicable(_) => "n/a",
        Cell::Later => "later",
    }
}
