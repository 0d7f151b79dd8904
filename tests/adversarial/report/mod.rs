//! What came of the rows, and the three ways to show it.

mod junit;
mod markdown;
mod table;

use std::path::Path;

use crate::arguments::Arguments;
use crate::row::{COLUMNS, Proof, Row, Variant};
use crate::schedule::{Outcomes, not_applicable};
use crate::subject::Target;
use crate::worker::Verdict;

/// What a report says of one case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// Withstood; how long it took, seconds.
    Passed(f64),
    /// Not withstood: how.
    Failed(String, f64),
    /// It cannot be asked; why.
    NotApplicable(&'static str),
    /// It comes with what is not built yet.
    Later,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) what: String,
    /// The variants in which it is tried.
    pub(crate) cells: Vec<(Variant, Cell)>,
}

impl Line {
    fn has_failed(&self) -> bool {
        self.cells.iter().any(|(_, cell)| matches!(cell, Cell::Failed(..)))
    }

    fn has_passed(&self) -> bool {
        !self.has_failed() && self.cells.iter().any(|(_, cell)| matches!(cell, Cell::Passed(_)))
    }

    fn is_later(&self) -> bool {
        self.cells.iter().all(|(_, cell)| matches!(cell, Cell::Later))
    }

    fn cell(&self, variant: Variant) -> Option<&Cell> {
        self.cells.iter().find(|(known, _)| *known == variant).map(|(_, cell)| cell)
    }
}

/// A whole run.
pub(crate) struct Report {
    /// What was attacked.
    pub(crate) subject: String,
    /// What its operator says of it; empty for Keyward.
    about: String,
    pub(crate) lines: Vec<Line>,
}

impl Report {
    /// Puts the outcomes under their rows, and adds the suite's verdict on itself and what is still to come.
    pub(crate) fn new(
        rows: &[Row],
        outcomes: &Outcomes,
        later: &[(&str, &str)],
        arguments: &Arguments,
        about: String,
    ) -> Report {
        let mut lines: Vec<Line> = vec![proof(rows, outcomes)];
        lines.extend(rows.iter().map(|row| line(row, outcomes, arguments)));
        let later = later.iter().filter(|(id, _)| arguments.wants(id));
        lines.extend(later.map(|(id, what)| Line {
            id: (*id).into(),
            what: (*what).into(),
            cells: vec![(Variant::Once, Cell::Later)],
        }));
        let unnamed =
            || arguments.proxy.map_or("Keyward".into(), |address| format!("the proxy at {address}"));
        let subject = arguments.name.clone().unwrap_or_else(unnamed);
        Report { subject, about, lines }
    }

    pub(crate) fn failed(&self) -> usize {
        self.lines.iter().filter(|line| line.has_failed()).count()
    }

    fn passed(&self) -> usize {
        self.lines.iter().filter(|line| line.has_passed()).count()
    }

    /// How many rows came to which end, in words.
    pub(crate) fn summary(&self) -> String {
        let later = self.lines.iter().filter(|line| line.is_later()).count();
        let other = self.lines.len() - self.passed() - self.failed() - later;
        format!("{} passed, {} failed, {other} not applicable, {later} later", self.passed(), self.failed())
    }

    /// The table for a terminal.
    pub(crate) fn table(&self) -> String {
        table::write(self)
    }

    /// Writes `adversarial.md` and `junit.xml` into a folder.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn write_to(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("junit.xml"), junit::write(self))?;
        std::fs::write(folder.join("adversarial.md"), markdown::write(self))
    }
}

fn line(row: &Row, outcomes: &Outcomes, arguments: &Arguments) -> Line {
    let cell = |variant: Variant| match not_applicable(row, variant, arguments) {
        Some(why) => Cell::NotApplicable(why),
        None => match outcomes.get(&(row.id.into(), place(variant), Target::Given)) {
            Some(outcome) => match &outcome.verdict {
                Verdict::Passed => Cell::Passed(outcome.seconds),
                Verdict::Failed(how) | Verdict::Broken(how) => Cell::Failed(how.clone(), outcome.seconds),
            },
            None => Cell::Failed("it was not run".into(), 0.0),
        },
    };
    let cells = row.variants.iter().map(|variant| (*variant, cell(*variant))).collect();
    Line { id: row.id.into(), what: row.what.into(), cells }
}

/// The suite's verdict on itself: the careless proxy does what a proxy must, and no row lets it pass.
fn proof(rows: &[Row], outcomes: &Outcomes) -> Line {
    let (mut survived, mut cases, mut seconds) = (Vec::new(), 0, 0.0);
    for ((id, variant, target), outcome) in outcomes {
        let Some(row) = rows.iter().find(|row| row.id == id) else { continue };
        if *target == Target::Given || row.proof == Proof::ByItself {
            continue;
        }
        let case = format!("{id} ({})", COLUMNS[*variant].label());
        match &outcome.verdict {
            Verdict::Passed => survived.push(format!("survives {case}")),
            Verdict::Failed(how) if how.starts_with("before: ") => {
                survived.push(format!("does not serve {case}: {how}"));
            }
            Verdict::Failed(_) | Verdict::Broken(_) => {}
        }
        (cases, seconds) = (cases + 1, seconds + outcome.seconds);
    }
    let cell = match survived.is_empty() {
        true => Cell::Passed(seconds),
        false => Cell::Failed(format!("the careless proxy {}", survived.join(", ")), seconds),
    };
    Line {
        id: "canary.leak".into(),
        what: format!("a proxy that leaks on purpose fails every one of {cases} cases"),
        cells: vec![(Variant::Once, cell)],
    }
}

fn place(variant: Variant) -> usize {
    COLUMNS.iter().position(|column| *column == variant).expect("a known variant")
}
