//! The mixed load, the kills, and what may fail because of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::client::Http;
use serde_json::json;

use super::agents::{Activity, guest, new_name, rotate, stream};
use super::series::Series;
use super::stage::{Outage, Part, Stage};
use crate::plot::{Axis, Scale, lines};
use crate::report::{Limit, Report, Table};
use crate::scale::load::{Load, Sample};
use crate::scale::tenants;

/// Requests of each of six connections: a hundred a second together.
const PERIOD: Duration = Duration::from_millis(60);

/// How often progress is told.
const TELL: Duration = Duration::from_secs(60);

/// How long an Envoy may be away when it was killed, seconds: the start of a process, and its configuration.
const ENVOY_AWAY: f64 = 15.0;

/// How much a process may grow over its life, MiB, its first fifth left out: a kilobyte or two a rotation of Envoy,
/// and what the leaves of a thousand names hold (100 MiB, stated for random names).
const GROWTH: f64 = 100.0;

/// A process that lived shorter says nothing about growth.
const LIFE: Duration = Duration::from_secs(60);

/// Runs it this long, with a kill every `kill_every`.
pub(super) async fn run(lasts: Duration, kill_every: Duration) -> Report {
    let mut stage = Stage::start().await;
    let (load, activities) = start(&stage);
    let (beginning, mut told) = (Instant::now(), Instant::now());
    let mut killed = Instant::now();
    let mut outages: Vec<Outage> = Vec::new();
    let mut lives = vec![Series::new("Envoy", stage.envoy()), Series::new("controller", stage.controller())];
    let (mut envoy, mut controller) = (0, 1);
    while beginning.elapsed() < lasts {
        tokio::time::sleep(Duration::from_secs(1)).await;
        lives[envoy].look(beginning);
        lives[controller].look(beginning);
        if told.elapsed() > TELL {
            told = Instant::now();
            let mib = |which: usize| lives[which].points.last().map_or(0.0, |point| point.1);
            eprintln!(
                "{:.0} s: Envoy {:.1} MiB, controller {:.1} MiB, {} kills",
                beginning.elapsed().as_secs_f64(),
                mib(envoy),
                mib(controller),
                outages.len()
            );
        }
        if killed.elapsed() < kill_every {
            continue;
        }
        if outages.len().is_multiple_of(2) {
            outages.push(stage.kill_controller().await);
            controller = lives.len();
            lives.push(Series::new("controller", stage.controller()));
        } else {
            outages.push(stage.kill_envoy().await);
            envoy = lives.len();
            lives.push(Series::new("Envoy", stage.envoy()));
        }
        killed = Instant::now();
    }
    let mut seen = vec![Seen::new("requests", load.stop().await, &[Part::Envoy], &outages)];
    for activity in activities {
        let (name, both) = (activity.name, [Part::Envoy, Part::Controller]);
        let excuses = if name == "streams" { &both[..1] } else { &both[..] };
        seen.push(Seen::new(name, activity.stop().await, excuses, &outages));
    }
    report(lasts, &seen, &lives, &outages)
}

fn start(stage: &Stage) -> (Load, Vec<Activity>) {
    let steady: Vec<_> = (1..7)
        .zip([Http::One, Http::Two].into_iter().cycle())
        .map(|(tenant, http)| stage.agent(http, &tenants::host(tenant)))
        .collect();
    let agent = |tenant: usize| stage.agent(Http::Two, &tenants::host(tenant));
    let (streaming, rotating, visiting) = (agent(7), agent(0), agent(tenants::GUEST));
    let other = stage.agent(Http::Two, "names.example.net");
    let folder: Arc<std::path::Path> = stage.manifests.path().into();
    let folder_of_guest = folder.clone();
    let new = move |number: usize| {
        let name = format!("name-{number}.example.net");
        let mut agent = other.clone().sni(Some(&name));
        if let harness::client::Way::Proxy(_, target) = &mut agent.way {
            *target = format!("{name}:443");
        }
        new_name(agent)
    };
    let activities = vec![
        Activity::start("streams", Duration::from_millis(500), move |_| stream(streaming.clone())),
        Activity::start("new names", Duration::from_secs(1), new),
        Activity::start("rotations", Duration::from_secs(1), move |number| {
            let (folder, agent) = (folder.clone(), rotating.clone());
            async move { rotate(&folder, agent, number).await }
        }),
        Activity::start("hosts that come and go", Duration::from_secs(10), move |_| {
            let (folder, agent) = (folder_of_guest.clone(), visiting.clone());
            async move { guest(&folder, agent).await }
        }),
    ];
    (Load::start(&steady, PERIOD), activities)
}

/// What became of everything of one kind.
struct Seen {
    name: &'static str,
    count: usize,
    /// Failures that the design allows: something that they need was away during their life.
    excused: usize,
    /// The others.
    failed: Vec<String>,
}

impl Seen {
    fn new(name: &'static str, samples: Vec<Sample>, excuses: &[Part], outages: &[Outage]) -> Seen {
        let excused = |sample: &Sample| {
            let to = sample.due + sample.latency;
            outages.iter().any(|outage| excuses.contains(&outage.of) && outage.meets(sample.due, to))
        };
        let mut seen = Seen { name, count: samples.len(), excused: 0, failed: Vec::new() };
        for sample in samples {
            match &sample.failure {
                Some(_) if excused(&sample) => seen.excused += 1,
                Some(failure) => seen.failed.push(failure.clone()),
                None => {}
            }
        }
        seen
    }
}

fn report(lasts: Duration, seen: &[Seen], lives: &[Series], outages: &[Outage]) -> Report {
    let mut table = Table::new(&["what", "count", "failed while needed parts were away", "failed otherwise"]);
    for seen in seen {
        table.row([
            seen.name.into(),
            seen.count.to_string(),
            seen.excused.to_string(),
            seen.failed.len().to_string(),
        ]);
    }
    let away = |part: Part| {
        let of = outages.iter().filter(move |outage| outage.of == part);
        of.map(|outage| (outage.to - outage.from).as_secs_f64()).collect::<Vec<_>>()
    };
    let longest = |part| away(part).into_iter().fold(0.0, f64::max);
    let grown = |name: &str| {
        let of = lives.iter().filter(|life| life.name == name && life.lasted() >= LIFE);
        of.map(Series::growth).fold(0.0, f64::max)
    };
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let mut limits: Vec<Limit> = seen
        .iter()
        .map(|seen| Limit {
            what: format!("{} that failed though nothing was away", seen.name),
            value: seen.failed.len() as f64,
            at_most: 0.0,
        })
        .collect();
    let limit = |what: &str, value, at_most| Limit { what: what.to_owned(), value, at_most };
    limits.extend([
        limit("seconds that a killed Envoy was away", longest(Part::Envoy), ENVOY_AWAY),
        limit("MiB that an Envoy grew over its life", grown("Envoy"), GROWTH),
        limit("MiB that a controller grew over its life", grown("controller"), GROWTH),
    ]);
    let x = Axis { label: "s", scale: Scale::Linear };
    let y = Axis { label: "MiB", scale: Scale::Linear };
    let curves: Vec<_> = lives.iter().filter(|life| life.points.len() > 1).map(Series::line).collect();
    let failures: Vec<_> =
        seen.iter().map(|seen| json!({"what": seen.name, "failures": seen.failed})).collect();
    Report {
        name: "endurance-mixed".to_owned(),
        table,
        notes: vec![
            format!("{:.0} minutes; {} kills", lasts.as_secs_f64() / 60.0, outages.len()),
            format!("Envoy was away for {:.1?} s, the controller for {:.1?} s", away(Part::Envoy), away(Part::Controller)),
            "A failure is allowed where its request lived while the Envoy was away (in flight, or refused). New names, \
             rotations and hosts need the controller too."
                .to_owned(),
        ],
        limits,
        data: json!({"memory": lives, "failures": failures}),
        plots: vec![(String::new(), lines("Resident memory under mixed load", x, y, &curves))],
    }
}
