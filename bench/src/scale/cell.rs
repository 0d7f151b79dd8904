//! One row of the table: a number of routes and a number of buckets, and everything that is measured of them.

use std::path::Path;
use std::time::{Duration, Instant};

use harness::client::Http;
use serde::Serialize;

use super::gateway::Gateway;
use super::load::{Connection, Load, Sample, generation, request};
use super::upstream::Upstream;
use super::{process, tenants};
use crate::stats::{Estimate, median, percentile};

/// How many tenants a key is set for, one after the other.
const SETS: usize = 20;

/// How often a host comes and goes.
const GUESTS: usize = 10;

/// How often a key rotates while others are watched.
const ROTATION: Duration = Duration::from_millis(100);

/// Requests of each connection of the bystanders.
const PERIOD: Duration = Duration::from_millis(20);

/// How long a window of a pair lasts.
const WINDOW: Duration = Duration::from_secs(1);

/// Between two windows, so that what one began does not count for the next.
const PAUSE: Duration = Duration::from_millis(100);

/// The tenant whose key rotates.
const ROTATED: usize = 0;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cell {
    /// Routes.
    pub(crate) routes: usize,
    /// Buckets.
    pub(crate) buckets: usize,
    /// From the start of `keyward dev` to its ready line, seconds.
    pub(crate) ready_s: f64,
    /// From the start of `keyward dev` to the end of the first answer, seconds.
    pub(crate) first_answer_s: f64,
    /// Resident memory of Envoy once it serves, MiB.
    pub(crate) envoy_mib: f64,
    /// The same after everything else was measured.
    pub(crate) envoy_after_mib: f64,
    /// Resident memory of the controller once it serves, MiB.
    pub(crate) controller_mib: f64,
    /// The same after everything else was measured.
    pub(crate) controller_after_mib: f64,
    /// Bytes that Envoy received for one rotated key, by tenant.
    pub(crate) pushed: Vec<f64>,
    /// From the start of `secret set` to its end, ms.
    pub(crate) set_ms: Vec<f64>,
    /// From the start of `secret set` to the start of the first request that went out with the new key, ms.
    pub(crate) used_ms: Vec<f64>,
    /// What a rotated key costs while nothing else happens.
    pub(crate) rotation: Rotation,
    /// How many keys were rotated in the windows, a second.
    pub(crate) rotations_per_second: f64,
    /// p99 of other requests, pair by pair, ms: quiet, and while a key rotates.
    pub(crate) others: Pairs,
    /// The same of a host in the bucket of the key that rotates, where there is one.
    pub(crate) neighbour: Option<Pairs>,
    /// Requests in the windows that failed.
    pub(crate) failures: Vec<String>,
    /// A host that is added, and removed.
    pub(crate) guest: Guest,
}

/// Percentiles of windows, pair by pair.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Pairs {
    /// Without a change.
    pub(crate) quiet: Vec<f64>,
    /// With changes.
    pub(crate) busy: Vec<f64>,
}

/// Time on the CPU for one rotated key, ms, rotation by rotation.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Rotation {
    /// Of Envoy's main thread.
    pub(crate) main_thread_ms: Vec<f64>,
    /// Of each of Envoy's workers, on average.
    pub(crate) worker_ms: Vec<f64>,
    /// Of the controller.
    pub(crate) controller_ms: Vec<f64>,
}

/// What it costs that a host comes and goes.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Guest {
    /// From the manifest to the first request that got the credential, ms.
    pub(crate) added_ms: Vec<f64>,
    /// From the removal to the first request that got none, ms.
    pub(crate) removed_ms: Vec<f64>,
    /// Bytes that Envoy received for a host that came.
    pub(crate) pushed: Vec<f64>,
    /// Time of Envoy's main thread for a host that came and went, ms.
    pub(crate) main_thread_ms: Vec<f64>,
    /// The longest latency of other requests meanwhile, ms.
    pub(crate) longest_ms: Vec<f64>,
}

/// A window of a pair.
struct Window {
    pair: usize,
    busy: bool,
    from: Instant,
    to: Instant,
}

impl Pairs {
    /// The 99th percentiles of requests that were due in these windows; pairs that lack some are left out.
    fn of(windows: &[Window], samples: &[Sample]) -> Pairs {
        let mut pairs = Pairs::default();
        let p99 = |window: &Window| {
            let due = samples.iter().filter(|sample| (window.from..window.to).contains(&sample.due));
            let latencies: Vec<f64> = due.map(|sample| ms(sample.latency)).collect();
            (!latencies.is_empty()).then(|| percentile(&latencies, 0.99))
        };
        let of = |pair: usize, busy: bool| {
            windows.iter().find(|window| window.pair == pair && window.busy == busy).and_then(p99)
        };
        for window in windows.iter().filter(|window| window.busy) {
            if let Some((busy, quiet)) = of(window.pair, true).zip(of(window.pair, false)) {
                pairs.busy.push(busy);
                pairs.quiet.push(quiet);
            }
        }
        pairs
    }

    /// The median of the ratios.
    #[must_use]
    pub(crate) fn ratio(&self) -> Estimate {
        Estimate::of_ratios(&self.busy, &self.quiet)
    }

    /// How much later the 99th percentile is, ms.
    #[must_use]
    pub(crate) fn later(&self) -> Estimate {
        let differences = self.busy.iter().zip(&self.quiet).map(|(busy, quiet)| busy - quiet);
        Estimate::of(&differences.collect::<Vec<_>>())
    }
}

/// Measures one. `pairs` are pairs of windows.
pub(crate) async fn measure(
    keyward: &Path,
    routes: usize,
    buckets: usize,
    upstream: &Upstream,
    pairs: usize,
) -> Cell {
    let gateway = Gateway::start(keyward, routes, upstream.address, &upstream.ca);
    let mut first = open(&gateway, Http::Two, ROTATED).await;
    let answer = first.send(&request(&tenants::host(ROTATED))).await.expect("an answer");
    let first_answer = gateway.started.elapsed();
    assert_eq!((answer.status, generation(&answer)), (200, Some(0)), "the gateway does not inject");
    let (envoy, controller) = (gateway.envoy(), gateway.controller());
    let mut cell = Cell {
        routes,
        buckets,
        ready_s: gateway.ready.as_secs_f64(),
        first_answer_s: first_answer.as_secs_f64(),
        envoy_mib: process::rss_mib(envoy),
        controller_mib: process::rss_mib(controller),
        envoy_after_mib: 0.0,
        controller_after_mib: 0.0,
        pushed: Vec::new(),
        set_ms: Vec::new(),
        used_ms: Vec::new(),
        rotation: Rotation::default(),
        rotations_per_second: 0.0,
        others: Pairs::default(),
        neighbour: None,
        failures: Vec::new(),
        guest: Guest::default(),
    };
    for tenant in 1..=SETS.min(routes - 1) {
        set_once(&gateway, tenant, &mut cell).await;
    }
    cell.rotation = rotations_alone(&gateway).await;
    windows(&gateway, pairs, &mut cell).await;
    guests(&gateway, &mut cell).await;
    cell.envoy_after_mib = process::rss_mib(envoy);
    cell.controller_after_mib = process::rss_mib(controller);
    cell
}

async fn open(gateway: &Gateway, http: Http, tenant: usize) -> Connection {
    Connection::open(&gateway.agent(http, tenant)).await.expect("a connection")
}

/// Sets one tenant's key while its host is asked again and again.
async fn set_once(gateway: &Gateway, tenant: usize, cell: &mut Cell) {
    let mut connection = open(gateway, Http::Two, tenant).await;
    let request = request(&tenants::host(tenant));
    let (pushed, started) = (gateway.pushed(), Instant::now());
    let first_use = async {
        loop {
            let at = Instant::now();
            let answer = connection.send(&request).await.expect("an answer");
            if generation(&answer) == Some(1) {
                break at - started;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let set = async {
        gateway.set(tenant, 1).await;
        started.elapsed()
    };
    let (used, returned) = tokio::join!(first_use, set);
    cell.used_ms.push(ms(used));
    cell.set_ms.push(ms(returned));
    #[expect(clippy::cast_precision_loss, reason = "some kilobytes")]
    cell.pushed.push((gateway.pushed() - pushed) as f64);
}

/// Rotates one tenant's key while there are no requests.
async fn rotations_alone(gateway: &Gateway) -> Rotation {
    let (envoy, controller) = (gateway.envoy(), gateway.controller());
    let spent = || (process::main_thread(envoy), process::workers(envoy), process::cpu(controller));
    let mut rotation = Rotation::default();
    for generation in 2..2 + SETS {
        let (main_thread, workers, keyward) = spent();
        gateway.set(1, generation).await;
        // What follows an update: the old rules are dropped.
        tokio::time::sleep(ROTATION).await;
        let now = spent();
        rotation.main_thread_ms.push(ms(now.0 - main_thread));
        rotation.worker_ms.push(ms(now.1 - workers));
        rotation.controller_ms.push(ms(now.2 - keyward));
    }
    rotation
}

/// Pairs of windows, in one of which a key rotates; which one comes first alternates.
async fn windows(gateway: &Gateway, pairs: usize, cell: &mut Cell) {
    let strangers: Vec<_> = (1..cell.routes.min(tenants::PROBED))
        .filter(|tenant| tenants::bucket(*tenant, 16) != tenants::bucket(ROTATED, 16))
        .take(4)
        .zip([Http::One, Http::Two].into_iter().cycle())
        .map(|(tenant, http)| gateway.agent(http, tenant))
        .collect();
    let neighbour = (1..cell.routes.min(tenants::PROBED))
        .find(|tenant| tenants::bucket(*tenant, cell.buckets) == tenants::bucket(ROTATED, cell.buckets));
    let neighbours: Vec<_> = neighbour.iter().map(|tenant| gateway.agent(Http::Two, *tenant)).collect();
    let (others, near) = (Load::start(&strangers, PERIOD), Load::start(&neighbours, PERIOD));
    tokio::time::sleep(WINDOW).await;
    let (mut windows, mut rotations, mut generation) = (Vec::new(), 0, 1);
    for pair in 0..pairs {
        for busy in [pair % 2 == 0, pair % 2 == 1] {
            let from = Instant::now();
            if busy {
                rotations += rotate(gateway, &mut generation).await;
            } else {
                tokio::time::sleep(WINDOW).await;
            }
            windows.push(Window { pair, busy, from, to: Instant::now() });
            tokio::time::sleep(PAUSE).await;
        }
    }
    let (others, near) = (others.stop().await, near.stop().await);
    cell.failures.extend(others.iter().chain(&near).filter_map(|sample| sample.failure.clone()));
    cell.others = Pairs::of(&windows, &others);
    cell.neighbour = neighbour.map(|_| Pairs::of(&windows, &near));
    let seconds = WINDOW * u32::try_from(pairs.max(1)).unwrap_or(1);
    cell.rotations_per_second = f64::from(rotations) / seconds.as_secs_f64();
}

/// Rotates for the length of a window; how often.
async fn rotate(gateway: &Gateway, generation: &mut usize) -> u32 {
    let end = tokio::time::Instant::now() + WINDOW;
    let mut ticks = tokio::time::interval(ROTATION);
    let mut done = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(end) => return done,
            _ = ticks.tick() => {}
        }
        *generation += 1;
        gateway.set(ROTATED, *generation).await;
        done += 1;
    }
}

/// A host comes and goes, while another one is asked.
async fn guests(gateway: &Gateway, cell: &mut Cell) {
    let (load, mut spans) = (Load::start(&[gateway.agent(Http::Two, ROTATED)], PERIOD), Vec::new());
    let mut connection = open(gateway, Http::Two, tenants::GUEST).await;
    let envoy = gateway.envoy();
    for _ in 0..GUESTS {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (pushed, busy, from) = (gateway.pushed(), process::main_thread(envoy), Instant::now());
        tenants::add(gateway.manifests.path(), tenants::GUEST).expect("a manifest");
        cell.guest.added_ms.push(ms(until(gateway, &mut connection, true).await));
        tokio::time::sleep(Duration::from_millis(300)).await;
        #[expect(clippy::cast_precision_loss, reason = "some hundred kilobytes")]
        cell.guest.pushed.push((gateway.pushed() - pushed) as f64);
        tenants::remove(gateway.manifests.path(), tenants::GUEST).expect("a manifest to remove");
        cell.guest.removed_ms.push(ms(until(gateway, &mut connection, false).await));
        tokio::time::sleep(Duration::from_millis(300)).await;
        cell.guest.main_thread_ms.push(ms(process::main_thread(envoy) - busy));
        spans.push(from..Instant::now());
    }
    let samples = load.stop().await;
    cell.failures.extend(samples.iter().filter_map(|sample| sample.failure.clone()));
    cell.guest.longest_ms.extend(spans.iter().map(|span| {
        let meanwhile = samples.iter().filter(|sample| span.contains(&sample.due));
        meanwhile.map(|sample| ms(sample.latency)).fold(0.0, f64::max)
    }));
}

/// How long until the guest's requests get a credential, or none. While the host moves between filters it is refused,
/// which over HTTP/2 can come before the request is out, and then ends the client's stream.
async fn until(gateway: &Gateway, connection: &mut Connection, credentialed: bool) -> Duration {
    let started = Instant::now();
    let request = request(&tenants::host(tenants::GUEST));
    loop {
        let at = Instant::now();
        match connection.send(&request).await {
            Ok(answer) if answer.status == 200 && generation(&answer).is_some() == credentialed => {
                return at - started;
            }
            Ok(_) => {}
            Err(_) => *connection = open(gateway, Http::Two, tenants::GUEST).await,
        }
        assert!(started.elapsed() < Duration::from_secs(30), "a host does not come or go");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Milliseconds.
fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

impl Cell {
    /// Median of the bytes pushed for one rotated key.
    #[must_use]
    pub(crate) fn pushed_median(&self) -> f64 {
        median(&self.pushed)
    }
}
