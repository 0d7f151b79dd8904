//! What the benchmarks share: statistics of paired measurements, reports and plots, contenders and load; and the
//! benchmarks, one module each.
//!
//! A benchmark has `Args`, which clap reads, and `run`, which returns a [`report::Report`]. It panics when it cannot
//! measure; a limit that is missed is not a panic but part of the report.

pub mod child;
pub mod contender;
pub mod cost;
pub mod cpu;
pub mod credentials;
pub mod endurance;
pub mod fairness;
pub mod handshake;
pub mod latency;
pub mod load;
pub mod matching;
pub mod plot;
pub mod report;
pub mod scale;
pub mod stats;
pub mod telemetry;
pub mod upstream;
