//! Ten thousand rotations of a running gateway: memory of Envoy and controller, and a load that must not notice.

use std::time::{Duration, Instant};

use harness::client::Http;
use serde_json::json;

use super::series::Series;
use crate::plot::{Axis, Scale, lines};
use crate::report::{Limit, Report, Table};
use crate::scale::gateway::Gateway;
use crate::scale::load::Load;
use crate::scale::upstream::Upstream;
use crate::scale::{BUCKETS, Build, keyward, tenants};
use crate::stats::{median, percentile};

/// Routes of the gateway.
const TENANTS: usize = 10;

/// Bytes that Envoy may keep of a rotation: the VM keeps a kilobyte or two of every update (decision 0001).
const ENVOY_BYTES: f64 = 3_000.0;

/// Bytes that the controller may keep of a rotation: none, but memory is given in pages.
const CONTROLLER_BYTES: f64 = 300.0;

/// How often memory is looked at, in rotations.
const LOOK: usize = 50;

/// How often progress is told, in rotations.
const TELL: usize = 1_000;

/// Requests of each connection beside it.
const PERIOD: Duration = Duration::from_millis(50);

pub(super) async fn run(rotations: usize, build: Build) -> Report {
    let upstream = Upstream::start(&(0..TENANTS).map(tenants::host).collect::<Vec<_>>()).await;
    let gateway = Gateway::start(&keyward(BUCKETS, build), TENANTS, upstream.address, &upstream.ca);
    let mut memory = [Series::new("Envoy", gateway.envoy()), Series::new("keyward", gateway.controller())];
    let agents =
        [(Http::One, 1), (Http::Two, 2), (Http::Two, 0)].map(|(http, tenant)| gateway.agent(http, tenant));
    let load = Load::start(&agents, PERIOD);
    let (beginning, mut took, mut failures) = (Instant::now(), Vec::new(), Vec::new());
    let mut requests = 0;
    for rotation in 1..=rotations {
        let started = Instant::now();
        gateway.set(0, rotation).await;
        took.push(started.elapsed().as_secs_f64() * 1e3);
        if rotation % LOOK == 0 {
            memory.iter_mut().for_each(|series| series.look(beginning));
            let samples = load.take();
            requests += samples.len();
            failures.extend(samples.into_iter().filter_map(|sample| sample.failure));
        }
        if rotation % TELL == 0 {
            let [envoy, keyward] =
                [0, 1].map(|which| memory[which].points.last().map_or(0.0, |point| point.1));
            eprintln!(
                "{rotation} rotations: Envoy {envoy:.1} MiB, keyward {keyward:.1} MiB, {requests} requests, {} failed",
                failures.len()
            );
        }
    }
    let samples = load.stop().await;
    requests += samples.len();
    failures.extend(samples.into_iter().filter_map(|sample| sample.failure));
    report(rotations, &memory, &took, requests, &failures, beginning.elapsed())
}

fn report(
    rotations: usize,
    memory: &[Series; 2],
    took: &[f64],
    requests: usize,
    failures: &[String],
    lasted: Duration,
) -> Report {
    // Three fifths of the rotations lie between the middles of the two spans that growth compares.
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let between = rotations as f64 * 0.6;
    let bytes = |series: &Series| series.growth() * 1024.0 * 1024.0 / between;
    let mut table = Table::new(&["process", "first MiB", "last MiB", "bytes kept of a rotation"]);
    for series in memory {
        let ends = series.points.first().zip(series.points.last()).map_or((0.0, 0.0), |(a, b)| (a.1, b.1));
        table.row([
            series.name.clone(),
            format!("{:.1}", ends.0),
            format!("{:.1}", ends.1),
            format!("{:.0}", bytes(series)),
        ]);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let failed = failures.len() as f64;
    let x = Axis { label: "s", scale: Scale::Linear };
    let y = Axis { label: "MiB", scale: Scale::Linear };
    let title = format!("Resident memory over {rotations} rotations");
    Report {
        name: "endurance-rotations".to_owned(),
        table,
        notes: vec![
            format!(
                "{rotations} rotations in {:.0} s; `secret set` took {:.1} ms (median), {:.1} ms (p99)",
                lasted.as_secs_f64(),
                median(took),
                percentile(took, 0.99)
            ),
            format!("{requests} requests beside them"),
        ],
        limits: vec![
            Limit { what: "requests that failed".to_owned(), value: failed, at_most: 0.0 },
            Limit {
                what: "bytes that Envoy keeps of a rotation".to_owned(),
                value: bytes(&memory[0]),
                at_most: ENVOY_BYTES,
            },
            Limit {
                what: "bytes that keyward keeps of a rotation".to_owned(),
                value: bytes(&memory[1]),
                at_most: CONTROLLER_BYTES,
            },
        ],
        data: json!({"memory": memory, "set_ms": took, "failures": failures}),
        plots: vec![(
            String::new(),
            lines(&title, x, y, &memory.iter().map(Series::line).collect::<Vec<_>>()),
        )],
    }
}
