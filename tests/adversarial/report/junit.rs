//! The report for machines: JUnit XML, one suite for each threat, one case for each row and variant.

use std::fmt::Write as _;

use super::{Cell, Line, Report};
use crate::row::Variant;

pub(super) fn write(report: &Report) -> String {
    let mut text =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"adversarial\">\n");
    for threat in threats(report) {
        let lines: Vec<&Line> = report.lines.iter().filter(|line| of(line) == threat).collect();
        let cells: Vec<&Cell> =
            lines.iter().flat_map(|line| line.cells.iter().map(|(_, cell)| cell)).collect();
        let failures = cells.iter().filter(|cell| matches!(cell, Cell::Failed(..))).count();
        let skipped =
            cells.iter().filter(|cell| matches!(cell, Cell::Later | Cell::NotApplicable(_))).count();
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" skipped=\"{skipped}\">",
            escape(threat),
            cells.len()
        );
        for line in lines {
            for (variant, cell) in &line.cells {
                case(&mut text, line, *variant, cell);
            }
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn case(text: &mut String, line: &Line, variant: Variant, cell: &Cell) {
    let (seconds, content) = match cell {
        Cell::Passed(seconds) => (*seconds, String::new()),
        Cell::Failed(how, seconds) => (*seconds, format!("<failure message=\"{}\"/>", escape(how))),
        Cell::NotApplicable(why) => (0.0, format!("<skipped message=\"not applicable: {}\"/>", escape(why))),
        Cell::Later => (0.0, "<skipped message=\"later\"/>".to_owned()),
    };
    let _ = writeln!(
        text,
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{seconds:.3}\">{content}</testcase>",
        escape(&line.id),
        escape(&format!("{} ({})", line.what, variant.label())),
    );
}

/// Each threat once, in the order of the table.
fn threats(report: &Report) -> Vec<&str> {
    let mut threats = Vec::new();
    for line in &report.lines {
        if !threats.contains(&of(line)) {
            threats.push(of(line));
        }
    }
    threats
}

fn of(line: &Line) -> &str {
    line.id.split('.').next().unwrap_or(&line.id)
}

fn escape(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    // XML has no way to say most control characters.
    escaped.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
