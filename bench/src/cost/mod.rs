//! CPU time of Envoy's process for a request: contenders beside each other, interleaved, in many short samples.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::client::Http;
use serde_json::json;

use crate::contender::{self, Contender, HOST, Kind, Parts};
use crate::cpu;
use crate::load::Load;
use crate::plot::{self, Bar};
use crate::report::{Limit, Report, Table};
use crate::stats::Estimate;
use crate::upstream::Upstream;

/// What Keyward may cost, as a multiple of `credential_injector`.
const GATE: f64 = 1.45;
/// What it should cost.
const STRETCH: f64 = 1.25;
/// One worker: with two, chance decides how many connections each serves, and with it the cost of a wake-up.
const WORKERS: u32 = 1;
/// Requests before a sample is taken.
const WARM_UP: usize = 100;

/// CPU time of Envoy for a request
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Rounds; each measures every contender once
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub pairs: usize,
    /// Requests in a sample
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub requests: usize,
    /// Connections, each with one request under way
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub connections: usize,
    /// Who takes part; those who tell of requests do in `telemetry`, which waits until they have told
    #[arg(long, value_delimiter = ',', default_value = "bare,idle,injector,native,keyward")]
    pub contenders: Vec<Kind>,
    /// HTTP version on both sides: 1, 2 [default: both, one after the other]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub http: Option<u8>,
    /// What the gateways are built from
    #[command(flatten)]
    pub parts: Parts,
}

/// Microseconds of CPU time a request, sample by sample.
type Samples = BTreeMap<Kind, Vec<f64>>;

/// Measures. Panics when a gateway cannot be measured.
pub async fn run(args: &Args) -> Report {
    let tells = args.contenders.iter().any(|kind| kind.tells());
    assert!(!tells, "what telling of requests costs is measured by `telemetry`");
    let mut report = Report { name: "cost".into(), table: table(), ..Report::default() };
    let versions = args
        .http
        .map_or_else(|| vec![Http::Two, Http::One], |v| vec![if v == 1 { Http::One } else { Http::Two }]);
    for http in versions {
        let samples = measure(args, http).await;
        add(&mut report, http, &samples);
    }
    report.notes.push(format!(
        "{} samples of {} requests each, over {} connections; ratios are medians of ratios within a round, with 95 % intervals",
        args.pairs, args.requests, args.connections
    ));
    report
}

/// One version of HTTP: gateways, and rounds in which each is measured once, in an order that moves on.
async fn measure(args: &Args, http: Http) -> Samples {
    let alpn = if http == Http::One { "http/1.1" } else { "h2" };
    let upstream = Upstream::start(&[HOST.to_owned()], &[alpn, "http/1.1"]).await;
    let contenders = contender::start(&args.contenders, &args.parts, WORKERS, &upstream).await;
    let mut samples = Samples::new();
    for round in 0..args.pairs {
        for turn in 0..contenders.len() {
            let contender = &contenders[(round + turn) % contenders.len()];
            let cost = sample(contender, http, args).await;
            samples.entry(contender.kind).or_default().push(cost);
        }
    }
    samples
}

/// One sample: fresh connections, a warm-up, and the counted load.
async fn sample(contender: &Contender, http: Http, args: &Args) -> f64 {
    let mut load = Load::open(contender, http, HOST, args.connections).await;
    load.run(WARM_UP).await;
    let before = settled(contender).await;
    let requests = load.run(args.requests).await.len();
    let spent = settled(contender).await - before;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let requests = requests as f64;
    spent.as_secs_f64() * 1e6 / requests
}

/// CPU time of a contender's Envoy once it has written its log lines.
async fn settled(contender: &Contender) -> Duration {
    tokio::time::sleep(Duration::from_millis(70)).await;
    cpu::time(contender.envoy)
}

fn table() -> Table {
    Table::new(&["contender", "HTTP", "CPU µs/request", "× injector", "95 %", "× bare"])
}

fn add(report: &mut Report, http: Http, samples: &Samples) {
    let version = if http == Http::One { "1.1" } else { "2" };
    let ratio = |kind: Kind, base: Kind| Some(Estimate::of_ratios(&samples[&kind], samples.get(&base)?));
    for (kind, values) in samples {
        let injector = ratio(*kind, Kind::Injector);
        let cell = |ratio: Option<Estimate>| ratio.map_or_else(String::new, |r| format!("{:.3}", r.median));
        let interval = injector.map_or_else(String::new, |r| format!("{:.3}–{:.3}", r.low, r.high));
        let cost = format!("{:.1}", Estimate::of(values).median);
        let row = [
            kind.name().into(),
            version.into(),
            cost,
            cell(injector),
            interval,
            cell(ratio(*kind, Kind::Bare)),
        ];
        report.table.row(row);
    }
    if let Some(ratio) = samples.get(&Kind::Keyward).and_then(|_| ratio(Kind::Keyward, Kind::Injector)) {
        let what = format!("CPU of Keyward as a multiple of credential_injector, HTTP/{version}");
        report.limits.push(Limit { what, value: ratio.median, at_most: GATE });
        report.plots.push((format!("-http{}", &version[..1]), plot(version, samples)));
    }
    let named: BTreeMap<_, _> = samples.iter().map(|(kind, values)| (kind.name(), values)).collect();
    report.data[format!("http{}", &version[..1])] = json!(named);
}

fn plot(version: &str, samples: &Samples) -> String {
    let bars: Vec<_> = samples
        .iter()
        .map(|(kind, values)| {
            let value = Estimate::of_ratios(values, &samples[&Kind::Injector]);
            Bar { label: kind.name().into(), value }
        })
        .collect();
    let title = format!("CPU of Envoy for a request, HTTP/{version}, TLS on both sides");
    plot::bars(&title, "× credential_injector", &bars, &[("gate", GATE), ("stretch", STRETCH)])
}
