//! Whether one agent can slow another: the p99 of an agent on names already open, in windows with and without a crowd;
//! and the handshake of a route's host beside ten thousand random names.

mod agent;
mod crowd;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use harness::client::Http;
use serde_json::json;

use self::agent::Agent;
use self::crowd::Crowd;
use crate::contender::{self, Contender, HOST, Kind, Parts};
use crate::handshake::handshake;
use crate::plot::{self, Bar};
use crate::report::{Limit, Report, Table};
use crate::stats::{Estimate, median};
use crate::upstream::Upstream;

/// How far a crowd may move the p99 of another agent.
const GATE: f64 = 1.20;
/// As `keyward dev` has it.
const WORKERS: u32 = 2;
/// Connections of the agent that is measured.
const CONNECTIONS: usize = 4;
/// Pause after a crowd has come or gone.
const SETTLE: Duration = Duration::from_millis(300);
/// Random names a second: with the default rounds they are more than ten thousand.
const RANDOM: u32 = 140;
/// Handshakes of which one sample of the last part is the median.
const HANDSHAKES: u32 = 40;

/// Whether a crowd of other agents moves an agent's p99, or a route host's handshake
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Windows without and with each crowd
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub pairs: usize,
    /// Requests a second of the agent that is measured
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub rate: u32,
    /// Length of a window, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 3000)]
    pub window: u64,
    /// Who is measured: `bare` shows what the machine alone does
    #[arg(long, default_value = "keyward")]
    pub contender: Kind,
    /// Who gets in the way
    #[arg(long, value_delimiter = ',', default_value = "slow,names,random")]
    pub crowds: Vec<Case>,
    /// What the gateway is built from
    #[command(flatten)]
    pub parts: Parts,
}

/// A crowd, and what is measured beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Case {
    /// p99 beside a thousand slow requests.
    Slow,
    /// p99 beside fifty new names a second.
    Names,
    /// Handshake of a route's host beside ten thousand random names.
    Random,
}

impl Case {
    fn name(self) -> &'static str {
        match self {
            Case::Slow => "p99 beside 1,000 slow requests",
            Case::Names => "p99 beside 50 new names/s",
            Case::Random => "handshake beside 10,000 random names",
        }
    }
}

/// Milliseconds without and with the crowd, window by window.
#[derive(Default)]
struct Windows {
    quiet: Vec<f64>,
    loaded: Vec<f64>,
}

type Samples = BTreeMap<Case, Windows>;

/// What stays from window to window.
struct Stage {
    contender: Contender,
    agent: Agent,
    /// Numbers the names, none of which comes twice.
    names: Arc<AtomicU64>,
    /// Handshakes of the route's host that failed.
    failed: u32,
}

/// Measures. Panics when the gateway cannot be measured.
pub async fn run(args: &Args) -> Report {
    let upstream = Upstream::start(&[HOST.to_owned()], &["h2", "http/1.1"]).await;
    let contender = contender::start(&[args.contender], &args.parts, WORKERS, &upstream).await.remove(0);
    let agent = Agent::open(&contender, CONNECTIONS).await;
    let mut stage = Stage { contender, agent, names: Arc::default(), failed: 0 };
    let mut samples = Samples::new();
    // One crowd after the other: what random names leave behind would be in the way of new names.
    for case in &args.crowds {
        let windows = samples.entry(*case).or_default();
        for round in 0..args.pairs {
            // Which comes first alternates: what drifts favours neither.
            for loaded in [round % 2 == 0, round % 2 != 0] {
                let value = stage.window(*case, loaded, args).await;
                if loaded { windows.loaded.push(value) } else { windows.quiet.push(value) }
            }
        }
    }
    report(args, &samples, &stage)
}

impl Stage {
    async fn window(&mut self, case: Case, loaded: bool, args: &Args) -> f64 {
        let crowd = match (loaded, case) {
            (false, _) => None,
            (true, Case::Slow) => Some(Crowd::slow(&self.contender).await),
            (true, Case::Names) => Some(Crowd::of_names(&self.contender, 50, &self.names)),
            (true, Case::Random) => Some(Crowd::of_names(&self.contender, RANDOM, &self.names)),
        };
        tokio::time::sleep(SETTLE).await;
        let window = Duration::from_millis(args.window);
        let value = match case {
            Case::Slow | Case::Names => self.agent.p99(args.rate, window).await,
            Case::Random => self.handshakes(window).await,
        };
        if let Some(crowd) = crowd {
            assert!(crowd.count() > 0, "the crowd of {case:?} did nothing");
        }
        tokio::time::sleep(SETTLE).await;
        value
    }

    /// The median handshake of the route's host over a window, milliseconds. Panics when none succeeds.
    async fn handshakes(&mut self, window: Duration) -> f64 {
        let agent = self.contender.agent(Http::Two, HOST);
        let mut ticks = tokio::time::interval(window / HANDSHAKES);
        let mut times = Vec::new();
        for _ in 0..HANDSHAKES {
            ticks.tick().await;
            match handshake(&agent).await {
                Ok(time) => times.push(time),
                Err(_) => self.failed += 1,
            }
        }
        median(&times)
    }
}

fn report(args: &Args, samples: &Samples, stage: &Stage) -> Report {
    let mut report = Report { name: "fairness".into(), ..Report::default() };
    report.table = Table::new(&["what", "without, ms", "with, ms", "ratio", "95 %"]);
    let mut bars = Vec::new();
    for (case, windows) in samples {
        let ratio = Estimate::of_ratios(&windows.loaded, &windows.quiet);
        let [quiet, loaded] =
            [&windows.quiet, &windows.loaded].map(|values| format!("{:.3}", median(values)));
        let cells = [case.name().into(), quiet, loaded, format!("{:.3}", ratio.median)];
        report.table.row(cells.into_iter().chain([format!("{:.3}–{:.3}", ratio.low, ratio.high)]));
        bars.push(Bar { label: case.name().into(), value: ratio });
        report.data[case.name()] = json!({"without": windows.quiet, "with": windows.loaded});
        if *case != Case::Random && args.contender == Kind::Keyward {
            let what = format!("{}, as a multiple of it without", case.name());
            report.limits.push(Limit { what, value: ratio.median, at_most: GATE });
        }
    }
    report.notes.push(format!(
        "{}: {} pairs of windows of {} ms; the agent sends {} requests/s over {CONNECTIONS} connections",
        args.contender.name(),
        args.pairs,
        args.window,
        args.rate
    ));
    if args.crowds.contains(&Case::Random) {
        let what = "handshakes of a route's host that failed beside random names".to_owned();
        report.limits.push(Limit { what, value: f64::from(stage.failed), at_most: 0.0 });
    }
    let names = stage.names.load(Ordering::Relaxed);
    report.notes.push(format!("names that nobody had asked for before: {names} in all"));
    report.plots.push((String::new(), plot::bars("Beside a crowd", "× without", &bars, &[("gate", GATE)])));
    report
}
