//! It can be stopped: A1 to A8.

mod floods;
mod heads;
mod held;
mod killed;
mod malformed;
mod manifests;
mod names;
mod rotation;
mod slow;
mod telemetry;
mod traps;

use std::time::Duration;

use crate::processes::memory;
use crate::row::Row;

use super::failclosed::{assert_protected as protected, becomes, recovers, request};

pub(super) fn rows() -> Vec<Row> {
    let groups = [
        names::rows(),
        heads::rows(),
        floods::rows(),
        slow::rows(),
        held::rows(),
        rotation::rows(),
        malformed::rows(),
        telemetry::rows(),
        manifests::rows(),
        traps::rows(),
        killed::rows(),
    ];
    groups.into_iter().flatten().collect()
}

/// How long a change may take to be there, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
