//! The rows, one module for each group of threats.

mod canary;
mod carriers;
mod destination;
mod failclosed;
mod framing;
mod later;
mod leaks;
mod stopping;

use crate::row::Row;

pub(crate) use later::LATER;

/// Every row, in the order of the table.
pub(crate) fn all() -> Vec<Row> {
    let groups = [
        canary::rows(),
        destination::rows(),
        carriers::rows(),
        failclosed::rows(),
        leaks::rows(),
        stopping::rows(),
        framing::rows(),
    ];
    groups.into_iter().flatten().collect()
}
