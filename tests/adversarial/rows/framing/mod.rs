//! Framing: what is Envoy's to refuse, and our configuration lets it.

mod lengths;

use crate::row::Row;

pub(super) fn rows() -> Vec<Row> {
    let groups = [lengths::rows()];
    groups.into_iter().flatten().collect()
}
