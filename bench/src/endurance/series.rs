//! Memory over time, and what of it grows.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::plot::Line;
use crate::scale::process;
use crate::stats::median;

/// Resident memory of one process, over its life.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Series {
    /// What it is.
    pub(super) name: String,
    /// Its number.
    process: i32,
    /// Seconds since the beginning, and MiB.
    pub(super) points: Vec<(f64, f64)>,
}

impl Series {
    /// Of a process, without a point yet.
    pub(super) fn new(name: &str, process: i32) -> Series {
        Series { name: name.to_owned(), process, points: Vec::new() }
    }

    /// Looks at it. Panics when it has ended.
    pub(super) fn look(&mut self, beginning: Instant) {
        self.points.push((beginning.elapsed().as_secs_f64(), process::rss_mib(self.process)));
    }

    /// How long it was looked at.
    pub(super) fn lasted(&self) -> Duration {
        let ends = self.points.first().zip(self.points.last());
        ends.map_or(Duration::ZERO, |(first, last)| Duration::from_secs_f64(last.0 - first.0))
    }

    /// How much more memory it has in the last fifth of its life than in the second, MiB. The first fifth is left
    /// out: caches fill.
    pub(super) fn growth(&self) -> f64 {
        let fifth = self.points.len() / 5;
        let middle = |from: usize, to: usize| {
            let values: Vec<f64> = self.points[from..to].iter().map(|(_, mib)| *mib).collect();
            if values.is_empty() { 0.0 } else { median(&values) }
        };
        middle(self.points.len() - fifth, self.points.len()) - middle(fifth, 2 * fifth)
    }

    /// The curve.
    pub(super) fn line(&self) -> Line {
        Line { label: self.name.clone(), points: self.points.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_leaves_the_beginning_out() {
        let points = (0..100).map(|at| (f64::from(at), if at < 20 { 1.0 } else { 100.0 + f64::from(at) }));
        let series = Series { name: String::new(), process: 0, points: points.collect() };
        assert!((series.growth() - 60.0).abs() < 1e-9, "{}", series.growth());
        assert_eq!(series.lasted(), Duration::from_secs(99));
    }
}
