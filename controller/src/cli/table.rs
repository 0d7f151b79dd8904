//! A table in columns, as kubectl writes one.

use std::io::{self, Write};

/// Rows of cells under headings.
pub(super) struct Table(Vec<Vec<String>>);

impl Table {
    pub(super) fn new(headings: &[&str]) -> Table {
        Table(vec![headings.iter().map(|heading| (*heading).to_owned()).collect()])
    }

    /// Adds a row with a cell for each heading.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.0.push(cells);
    }

    /// Writes it, each column as wide as its widest cell, three spaces between; the last one as it is.
    pub(super) fn write(&self, output: &mut impl Write) -> io::Result<()> {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            self.0.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
        for row in &self.0 {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(output, "{}", cells.collect::<Vec<_>>().join("   ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["A", "LONG"]);
        table.row(vec!["wide".into(), "x".into()]);
        let mut written = Vec::new();
        table.write(&mut written).expect("written");
        assert_eq!(String::from_utf8(written).expect("text"), "A      LONG\nwide   x\n");
    }
}
