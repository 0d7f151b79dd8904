//! What a benchmark hands over: a table for the terminal, a JSON file and plots in `target/bench`, and the limits
//! that it was held to.

use std::path::{Path, PathBuf};

use harness::artefacts;
use serde::Serialize;
use serde_json::Value;

/// The outcome of one benchmark.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Name of the benchmark, and of its files.
    pub name: String,
    /// What was measured, as a person reads it.
    pub table: Table,
    /// What a reader of the table has to know.
    pub notes: Vec<String>,
    /// What the figures were held to.
    pub limits: Vec<Limit>,
    /// Every single measurement, for whoever wants to count again.
    pub data: Value,
    /// Plots, SVG, each with what distinguishes its name, which may be nothing.
    #[serde(skip)]
    pub plots: Vec<(String, String)>,
}

/// Columns and rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Heads of the columns.
    pub columns: Vec<String>,
    /// Rows, each as long as `columns`.
    pub rows: Vec<Vec<String>>,
}

/// A figure and what it must not exceed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limit {
    /// What the figure is.
    pub what: String,
    /// The figure.
    pub value: f64,
    /// The limit.
    pub at_most: f64,
}

impl Table {
    /// One without rows.
    #[must_use]
    pub fn new(columns: &[&str]) -> Table {
        Table { columns: columns.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }

    /// Adds a row. Panics when it is not as long as the head.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len(), "a row of another length: {cells:?}");
        self.rows.push(cells);
    }

    /// As text: the first column to the left, the rest to the right.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = || std::iter::once(&self.columns).chain(&self.rows);
        let width =
            |column: usize| lines().map(|line| line[column].chars().count()).max().unwrap_or_default();
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let cell = |(column, text): (usize, &String)| match column {
            0 => format!("{text:<0$}", widths[column]),
            _ => format!("{text:>0$}", widths[column]),
        };
        let line = |line: &Vec<String>| line.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ");
        lines().map(|cells| line(cells).trim_end().to_owned() + "\n").collect()
    }
}

impl Limit {
    /// Whether the figure keeps it. What is not a number does not.
    #[must_use]
    pub fn held(&self) -> bool {
        self.value <= self.at_most
    }

    /// One line that says whether it was held.
    #[must_use]
    pub fn text(&self) -> String {
        let verdict = if self.held() { "held" } else { "MISSED" };
        format!("limit {verdict}: {}: {:.3}, at most {}", self.what, self.value, self.at_most)
    }
}

impl Report {
    /// Prints it and writes its files; the limits that were missed. Panics when nothing can be written.
    #[must_use]
    pub fn finish(self) -> Vec<Limit> {
        println!("\n{}", self.text());
        for path in self.write(&folder()) {
            println!("wrote {}", path.display());
        }
        self.limits.into_iter().filter(|limit| !limit.held()).collect()
    }

    fn text(&self) -> String {
        let notes = self.notes.iter().map(|note| format!("{note}\n"));
        let limits = self.limits.iter().map(|limit| limit.text() + "\n");
        format!("== {}\n{}", self.name, self.table.text()) + &notes.chain(limits).collect::<String>()
    }

    fn write(&self, folder: &Path) -> Vec<PathBuf> {
        let mut json = serde_json::to_string_pretty(self).expect("a report is JSON");
        json.push('\n');
        let mut files = vec![(format!("{}.json", self.name), json)];
        files.extend(
            self.plots.iter().map(|(suffix, svg)| (format!("{}{suffix}.svg", self.name), svg.clone())),
        );
        std::fs::create_dir_all(folder).expect("a folder for reports");
        let write = |(name, text): (String, String)| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("a report can be written");
            path
        };
        files.into_iter().map(write).collect()
    }
}

/// Where reports are written: `bench` in the target directory.
#[must_use]
pub fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    artefacts::root().join(target).join("bench")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(value: f64) -> Report {
        let mut table = Table::new(&["contender", "µs"]);
        table.row(["bare".into(), "90.1".into()]);
        table.row(["a longer name".into(), "9".into()]);
        let limits = vec![Limit { what: "ratio".into(), value, at_most: 1.45 }];
        let plots = vec![("-h2".to_owned(), "<svg/>".to_owned())];
        Report { name: "cost".into(), table, limits, plots, ..Report::default() }
    }

    #[test]
    fn a_table_is_aligned_and_a_missed_limit_is_named() {
        let expected = "== cost\ncontender        µs\nbare           90.1\na longer name     9\n";
        assert_eq!(report(1.4).text(), format!("{expected}limit held: ratio: 1.400, at most 1.45\n"));
        assert_eq!(report(1.5).text(), format!("{expected}limit MISSED: ratio: 1.500, at most 1.45\n"));
        assert!(!report(f64::NAN).limits[0].held());
    }

    #[test]
    fn a_report_is_kept_as_json_with_its_plots() {
        let folder = tempfile::tempdir().unwrap();
        let files = report(1.4).write(folder.path());
        let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["cost.json", "cost-h2.svg"]);
        let read: Value = serde_json::from_slice(&std::fs::read(&files[0]).unwrap()).unwrap();
        assert_eq!(
            (&read["table"]["rows"][0][1], &read["limits"][0]["at_most"]),
            (&"90.1".into(), &1.45.into())
        );
    }
}
