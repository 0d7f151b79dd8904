//! Table, limits and curves.

use serde_json::json;

use super::cell::{Cell, Rounds};
use super::{BUCKETS, Cost};
use crate::plot::{Axis, Line, Scale, lines};
use crate::report::{Limit, Report, Table};
use crate::stats::{Estimate, median, percentile};

/// The aims, for the number of buckets that gateways have.
const READY_S: f64 = 5.0;
const ENVOY_MIB: f64 = 300.0;
const PUSHED: f64 = 110_000.0;

/// How much later the p99 of others may be while a key rotates than in occupied windows, before it is more than noise,
/// ms: by the lower end of the interval.
const LATER_MS: f64 = 1.0;

/// How much more a request may cost with the most routes: by the lower end of the interval.
const FLAT: f64 = 1.03;

const COLUMNS: [&str; 17] = [
    "routes",
    "buckets",
    "ready s",
    "first 200 s",
    "Envoy MiB (after)",
    "keyward MiB (after)",
    "kB a rotation (max)",
    "CPU a rotation ms: main thread, a worker, keyward",
    "secret set ms (max)",
    "used after ms (max)",
    "p99 quiet ms",
    "p99 rotating, later ms",
    "later than occupied ms",
    "same bucket, later ms",
    "its, later than occupied ms",
    "host added ms",
    "its kB, thread ms, longest ms",
];

/// What it all comes to.
pub(super) fn report(cells: &[Cell], costs: &[Cost]) -> Report {
    let mut table = Table::new(&COLUMNS);
    cells.iter().for_each(|cell| table.row(row(cell)));
    Report {
        name: "scale".to_owned(),
        table,
        notes: notes(cells, costs),
        limits: limits(cells, costs),
        data: json!({"cells": cells, "costs": costs}),
        plots: plots(cells),
    }
}

fn row(cell: &Cell) -> Vec<String> {
    let (guest, rotation) = (&cell.guest, &cell.rotation);
    let near = |later: fn(&Rounds) -> Estimate| {
        cell.neighbour.as_ref().map_or_else(|| "-".to_owned(), |rounds| interval(later(rounds)))
    };
    vec![
        cell.routes.to_string(),
        cell.buckets.to_string(),
        format!("{:.2}", cell.ready_s),
        format!("{:.2}", cell.first_answer_s),
        format!("{:.0} ({:.0})", cell.envoy_mib, cell.envoy_after_mib),
        format!("{:.0} ({:.0})", cell.controller_mib, cell.controller_after_mib),
        format!("{:.1} ({:.1})", cell.pushed_median() / 1e3, percentile(&cell.pushed, 1.0) / 1e3),
        format!(
            "{:.1}, {:.1}, {:.1}",
            median(&rotation.main_thread_ms),
            median(&rotation.worker_ms),
            median(&rotation.controller_ms)
        ),
        format!("{:.0} ({:.0})", median(&cell.set_ms), percentile(&cell.set_ms, 1.0)),
        format!("{:.0} ({:.0})", median(&cell.used_ms), percentile(&cell.used_ms, 1.0)),
        format!("{:.2}", median(&cell.others.quiet)),
        interval(cell.others.later_than_quiet()),
        interval(cell.others.later_than_occupied()),
        near(Rounds::later_than_quiet),
        near(Rounds::later_than_occupied),
        format!("{:.0}", median(&guest.added_ms)),
        format!(
            "{:.1}, {:.1}, {:.1}",
            median(&guest.pushed) / 1e3,
            median(&guest.main_thread_ms),
            median(&guest.longest_ms)
        ),
    ]
}

fn interval(estimate: Estimate) -> String {
    format!("{:+.2} [{:+.2}, {:+.2}]", estimate.median, estimate.low, estimate.high)
}

fn notes(cells: &[Cell], costs: &[Cost]) -> Vec<String> {
    let mut notes = vec![
        "Later: p99 of a window in which a key rotates minus that of a quiet one beside it, or of an occupied one, in \
         which another program takes the time that a rotation takes of Envoy's main thread; median of the rounds, and \
         the interval that holds it with 95 %."
            .to_owned(),
    ];
    notes.extend(cells.iter().filter(|cell| cell.routes > 1).map(|cell| {
        format!(
            "{} routes, {} buckets: {:.1} rotations a second in the windows",
            cell.routes, cell.buckets, cell.rotations_per_second,
        )
    }));
    notes.extend(costs.iter().map(|cost| {
        let (of, base) = (median(&cost.of), median(&cost.base));
        format!("{}: {of:.1} µs a request beside {base:.1}; ratio {}", cost.what, ratio(cost.ratio()))
    }));
    notes
}

fn ratio(estimate: Estimate) -> String {
    format!("{:.3} [{:.3}, {:.3}]", estimate.median, estimate.low, estimate.high)
}

fn limits(cells: &[Cell], costs: &[Cost]) -> Vec<Limit> {
    let chosen = cells.iter().filter(|cell| cell.buckets == BUCKETS);
    let mut limits: Vec<Limit> = chosen.flat_map(limits_of).collect();
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let failed = cells.iter().map(|cell| cell.failures.len()).sum::<usize>() as f64;
    limits.push(Limit { what: "requests that failed".to_owned(), value: failed, at_most: 0.0 });
    limits.extend(costs.iter().filter(|cost| cost.what.contains("routes beside")).map(|cost| Limit {
        what: format!("cost of a request, {}", cost.what),
        value: cost.ratio().low,
        at_most: FLAT,
    }));
    limits
}

fn limits_of(cell: &Cell) -> Vec<Limit> {
    let limit = |what: &str, value, at_most| Limit {
        what: format!("{what}, {} routes, {} buckets", cell.routes, cell.buckets),
        value,
        at_most,
    };
    let mut limits = vec![
        limit("seconds until ready", cell.ready_s, READY_S),
        limit("MiB of Envoy", cell.envoy_mib.max(cell.envoy_after_mib), ENVOY_MIB),
        limit("bytes of a rotation", cell.pushed_median(), PUSHED),
        limit("p99 of others while a key rotates, ms later", cell.others.later_than_occupied().low, LATER_MS),
    ];
    limits.extend(cell.neighbour.iter().map(|rounds| {
        let later = rounds.later_than_occupied().low;
        limit("p99 in the same bucket while a key rotates, ms later", later, LATER_MS)
    }));
    limits
}

impl Cost {
    fn ratio(&self) -> Estimate {
        Estimate::of_ratios(&self.of, &self.base)
    }
}

fn plots(cells: &[Cell]) -> Vec<(String, String)> {
    type Figure = fn(&Cell) -> f64;
    let figures: [(&str, &str, &str, Scale, Figure); 5] = [
        ("-ready", "From start to ready", "s", Scale::Linear, |cell| cell.ready_s),
        ("-memory", "Resident memory of Envoy", "MiB", Scale::Linear, |cell| cell.envoy_after_mib),
        ("-pushed", "Pushed for one rotated key", "kB", Scale::Logarithmic, |cell| {
            cell.pushed_median() / 1e3
        }),
        ("-used", "From secret set to its first use", "ms", Scale::Linear, |cell| median(&cell.used_ms)),
        ("-added", "From a manifest to its first use", "ms", Scale::Linear, |cell| {
            median(&cell.guest.added_ms)
        }),
    ];
    let plot = |(suffix, title, unit, scale, figure): (&str, &str, &str, Scale, Figure)| {
        let x = Axis { label: "routes", scale: Scale::Logarithmic };
        let svg = lines(title, x, Axis { label: unit, scale }, &curves(cells, figure));
        (suffix.to_owned(), svg)
    };
    figures.into_iter().map(plot).collect()
}

/// A line for each number of buckets.
fn curves(cells: &[Cell], figure: fn(&Cell) -> f64) -> Vec<Line> {
    let buckets: std::collections::BTreeSet<usize> = cells.iter().map(|cell| cell.buckets).collect();
    #[expect(clippy::cast_precision_loss, reason = "ten thousand at most")]
    let point = |cell: &Cell| (cell.routes as f64, figure(cell));
    let line = |buckets: usize| Line {
        label: format!("{buckets} buckets"),
        points: cells.iter().filter(|cell| cell.buckets == buckets).map(point).collect(),
    };
    buckets.into_iter().map(line).collect()
}
