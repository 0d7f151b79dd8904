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

/// How long a window lasts.
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
    /// p99 of other requests, round by round, ms.
    pub(crate) others: Rounds,
    /// The same of a host in the bucket of the key that rotates, where there is one.
    pub(crate) neighbour: Option<Rounds>,
    /// Requests in the windows that failed.
    pub(crate) failures: Vec<String>,
    /// A host that is added, and removed.
    pub(crate) guest: Guest,
}

/// Percentiles of windows, round by round.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Rounds {
    /// Nothing changes.
    pub(crate) quiet: Vec<f64>,
    /// Nothing changes, and another program takes the time on the CPU that a rotation takes of Envoy's main thread: what
    /// others feel of that on a machine without a core to spare has nothing to do with how Keyward is built.
    pub(crate) occupied: Vec<f64>,
    /// A key rotates.
    pub(crate) rotating: Vec<f64>,
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

/// What happens in a window.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Quiet,
    Occupied,
    Rotating,
}

/// A window of a round.
struct Window {
    round: usize,
    kind: Kind,
    from: Instant,
    to: Instant,
}

impl Rounds {
    /// The 99th percentiles of requests that were due in these windows; rounds that lack some are left out.
    fn of(windows: &[Window], samples: &[Sample]) -> Rounds {
        let mut rounds = Rounds::default();
        let p99 = |window: &Window| {
            let due = samples.iter().filter(|sample| (window.from..window.to).contains(&sample.due));
            let latencies: Vec<f64> = due.map(|sample| ms(sample.latency)).collect();
            (!latencies.is_empty()).then(|| percentile(&latencies, 0.99))
        };
        for round in windows.chunk_by(|one, next| one.round == next.round) {
            let of = |kind: Kind| round.iter().find(|window| window.kind == kind).and_then(p99);
            if let (Some(quiet), Some(occupied), Some(rotating)) =
                (of(Kind::Quiet), of(Kind::Occupied), of(Kind::Rotating))
            {
                rounds.quiet.push(quiet);
                rounds.occupied.push(occupied);
                rounds.rotating.push(rotating);
            }
        }
        rounds
    }

    /// How much later the 99th percentile is while a key rotates than in the quiet windows, ms.
    #[must_use]
    pub(crate) fn later_than_quiet(&self) -> Estimate {
        later(&self.rotating, &self.quiet)
    }

    /// The same beside the windows with another program.
    #[must_use]
    pub(crate) fn later_than_occupied(&self) -> Estimate {
        later(&self.rotating, &self.occupied)
    }
}

fn later(of: &[f64], base: &[f64]) -> Estimate {
    Estimate::of(&of.iter().zip(base).map(|(of, base)| of - base).collect::<Vec<_>>())
}

/// Measures one, with this many rounds of windows.
pub(crate) async fn measure(
    keyward: &Path,
    routes: usize,
    buckets: usize,
    upstream: &Upstream,
    rounds: usize,
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
        others: Rounds::default(),
        neighbour: None,
        failures: Vec::new(),
        guest: Guest::default(),
    };
    for tenant in 1..=SETS.min(routes - 1) {
        set_once(&gateway, tenant, &mut cell).await;
    }
    cell.rotation = rotations_alone(&gateway).await;
    windows(&gateway, rounds, &mut cell).await;
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

/// Rounds of windows of each kind, whose order rotates.
async fn windows(gateway: &Gateway, rounds: usize, cell: &mut Cell) {
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
    let occupied = Duration::from_secs_f64(median(&cell.rotation.main_thread_ms) / 1000.0);
    let mut kinds = [Kind::Quiet, Kind::Occupied, Kind::Rotating];
    let (mut windows, mut rotations, mut generation) = (Vec::new(), 0, 0);
    for round in 0..rounds {
        kinds.rotate_left(1);
        for kind in kinds {
            let from = Instant::now();
            match kind {
                Kind::Quiet => _ = set_repeatedly(gateway, || generation).await,
                Kind::Occupied => {
                    let set = || {
                        tokio::task::spawn_blocking(move || process::spend(occupied));
                        generation
                    };
                    set_repeatedly(gateway, set).await;
                }
                Kind::Rotating => {
                    let next = || {
                        generation += 1;
                        generation
                    };
                    rotations += set_repeatedly(gateway, next).await;
                }
            }
            windows.push(Window { round, kind, from, to: Instant::now() });
            tokio::time::sleep(PAUSE).await;
        }
    }
    let (others, near) = (others.stop().await, near.stop().await);
    cell.failures.extend(others.iter().chain(&near).filter_map(|sample| sample.failure.clone()));
    cell.others = Rounds::of(&windows, &others);
    cell.neighbour = neighbour.map(|_| Rounds::of(&windows, &near));
    let seconds = WINDOW * u32::try_from(rounds.max(1)).unwrap_or(1);
    cell.rotations_per_second = f64::from(rotations) / seconds.as_secs_f64();
}

/// Sets the key for the length of a window, each time to a generation that is asked for; how often. In every window,
/// because others feel it too when a program starts.
async fn set_repeatedly(gateway: &Gateway, mut generation: impl FnMut() -> usize) -> u32 {
    let end = tokio::time::Instant::now() + WINDOW;
    let mut ticks = tokio::time::interval(ROTATION);
    let mut done = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(end) => return done,
            _ = ticks.tick() => {}
        }
        gateway.set(ROTATED, generation()).await;
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
