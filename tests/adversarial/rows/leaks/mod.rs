//! It leaks back: L1 to L7.

mod bodies;
mod echo;
mod exposed;
mod outputs;
mod sameness;
mod scripted;

use crate::row::Row;

pub(in crate::rows) use scripted::{Upstream, scenario as scripted_scenario};

pub(super) fn rows() -> Vec<Row> {
    let groups =
        [echo::rows(), bodies::rows(), scripted::rows(), outputs::rows(), exposed::rows(), sameness::rows()];
    groups.into_iter().flatten().collect()
}
