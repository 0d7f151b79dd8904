//! What must hold of any input, one property a module: a function of bytes that panics where it does not hold.
//!
//! libFuzzer drives them (`fuzz_targets/`, with feature `engine`), and `tests/corpora.rs` replays what it found worth
//! keeping. Where a property compares with a second implementation, that one is the plainest there is, not a fast one.
//! Absent on purpose: anything that a unit test says better with a table.

pub mod authority;
pub mod body;
pub mod configuration;
pub mod delta_xds;
pub mod glob;
pub mod head;
mod input;
pub mod manifests;
pub mod scrub;
pub mod sealing;
pub mod usage;

/// Panics where it does not hold of the input.
pub type Property = fn(&[u8]);

/// Every target: its name, which is that of its corpus and its binary, and its property.
pub const TARGETS: [(&str, Property); 10] = [
    ("authority", authority::holds),
    ("body", body::holds),
    ("configuration", configuration::holds),
    ("delta_xds", delta_xds::holds),
    ("glob", glob::holds),
    ("manifests", manifests::holds),
    ("request_head", head::holds),
    ("scrub", scrub::holds),
    ("sealing", sealing::holds),
    ("usage", usage::holds),
];
