//! Whether agents notice what becomes of the collector: p50 and p99 beside one that hangs, as multiples of those beside one
//! that answers; what telling costs in waiting, time and memory beside a gateway that tells nobody; what became of every
//! span; and what is missing when a VM is killed.
//!
//! At a fixed rate, so that each has the same time for the same requests: telling goes on when they are over.

mod account;
mod killed;

use std::collections::BTreeMap;
use std::time::Duration;

use harness::client::Http;
use serde_json::json;

use self::account::Account;
use crate::contender::{self, Contender, HOST, Kind, PROOFS, Parts};
use crate::cpu;
use crate::load::vegeta;
use crate::plot::{self, Bar};
use crate::report::{Limit, Report, Table};
use crate::stats::Estimate;
use crate::upstream::Upstream;

/// How far a collector that stops answering may move the p50 and the p99 of agents.
const GATE: f64 = 1.10;
/// How much memory Envoy may have more at the end than after the first round, MiB.
const GROWTH: f64 = 8.0;
/// As `keyward dev` has it.
const WORKERS: u32 = 2;
/// Until the last spans are sent, which they are every 500 ms.
const SETTLE: Duration = Duration::from_millis(700);
/// Who the others are compared with.
const BASE: Kind = Kind::Keyward;

/// Whether a collector that hangs moves p50 and p99, and what telling costs; what becomes of every span
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Rounds; each measures every gateway once
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub pairs: usize,
    /// Requests in a round
    #[arg(long, value_name = "N", default_value_t = 5000)]
    pub requests: u32,
    /// Requests a second; where more than 2 MiB of spans come in half a second, some are dropped
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub rate: u32,
    /// Who takes part; `keyward` must, which the others are compared with
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "bare,injector,keyward,telling,telling-bodies,unanswered"
    )]
    pub contenders: Vec<Kind>,
    /// HTTP version of the agent: 1, 2
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2), default_value_t = 2)]
    pub http: u8,
    /// What the gateways are built from
    #[command(flatten)]
    pub parts: Parts,
}

/// What is measured.
const FIGURES: [&str; 4] = ["p50, ms", "p99, ms", "CPU of Envoy, µs/request", "memory of Envoy, MiB"];
/// What agents notice, by its place.
const LATENCIES: [usize; 2] = [0, 1];
const MEMORY: usize = 3;

/// Each figure of each contender, round by round.
type Samples = BTreeMap<(usize, Kind), Vec<f64>>;

/// How often each contender was asked.
type Asked = BTreeMap<Kind, u64>;

/// Measures. Panics when a gateway cannot be measured.
pub async fn run(args: &Args) -> Report {
    assert!(args.contenders.contains(&BASE), "without `keyward` there is nothing to compare with");
    let upstream = Upstream::start(&[HOST.to_owned()], &["h2", "http/1.1"]).await;
    let contenders = contender::start(&args.contenders, &args.parts, WORKERS, &upstream).await;
    let mut samples = Samples::new();
    let mut asked: Asked = contenders.iter().map(|it| (it.kind, PROOFS.len() as u64)).collect();
    for round in 0..args.pairs {
        for turn in 0..contenders.len() {
            let contender = &contenders[(round + turn) % contenders.len()];
            let (requests, figures) = sample(contender, args).await;
            *asked.entry(contender.kind).or_default() += u64::from(requests);
            for (figure, value) in figures.into_iter().enumerate() {
                samples.entry((figure, contender.kind)).or_default().push(value);
            }
        }
    }
    let mut report = report(args, &samples);
    for contender in contenders {
        let asked = asked[&contender.kind];
        add_account(&mut report, contender, asked).await;
    }
    killed::add(&mut report, &args.parts, &upstream).await;
    report
}

/// How many requests there were, and the figures of them.
async fn sample(contender: &Contender, args: &Args) -> (u32, [f64; 4]) {
    let http = if args.http == 1 { Http::One } else { Http::Two };
    let duration = Duration::from_secs(1) * args.requests / args.rate;
    let before = cpu::time(contender.envoy);
    let attack = vegeta::attack(contender, http, args.rate, duration).await;
    tokio::time::sleep(SETTLE).await;
    let spent = cpu::time(contender.envoy) - before;
    let microseconds = spent.as_secs_f64() * 1e6 / f64::from(attack.requests);
    #[expect(clippy::cast_precision_loss, reason = "an amount of memory")]
    let memory = cpu::resident(contender.envoy) as f64 / f64::from(1 << 20);
    (attack.requests, [attack.p50, attack.p99, microseconds, memory])
}

fn report(args: &Args, samples: &Samples) -> Report {
    let mut report = Report { name: "telemetry".into(), ..Report::default() };
    report.table = Table::new(&["figure", "gateway", "median", "× keyward", "95 %"]);
    let mut bars = Vec::new();
    for ((figure, kind), values) in samples {
        let ratio = Estimate::of_ratios(values, &samples[&(*figure, BASE)]);
        report.table.row([
            FIGURES[*figure].into(),
            kind.name().into(),
            format!("{:.3}", Estimate::of(values).median),
            format!("{:.3}", ratio.median),
            format!("{:.3}–{:.3}", ratio.low, ratio.high),
        ]);
        if kind.tells() && LATENCIES.contains(figure) {
            bars.push(Bar { label: format!("{}: {}", kind.name(), FIGURES[*figure]), value: ratio });
        }
        if kind.tells() && *figure == MEMORY {
            let what = format!("{}: MiB that Envoy grew by after the first round", kind.name());
            let value = values.last().expect("a round") - values[0];
            report.limits.push(Limit { what, value, at_most: GROWTH });
        }
        report.data[format!("{} {}", FIGURES[*figure], kind.name())] = json!(values);
    }
    for figure in LATENCIES {
        let [hangs, answers] = [Kind::Unanswered, Kind::Telling].map(|kind| samples.get(&(figure, kind)));
        let (Some(hangs), Some(answers)) = (hangs, answers) else { continue };
        let what = format!(
            "{} beside a collector that hangs, as a multiple of beside one that answers",
            FIGURES[figure]
        );
        report.limits.push(Limit { what, value: Estimate::of_ratios(hangs, answers).median, at_most: GATE });
    }
    report.notes.push(format!(
        "{} rounds of {} requests each at {} requests/s over HTTP/{}; ratios are medians of ratios within a round",
        args.pairs, args.requests, args.rate, args.http
    ));
    report.plots.push((String::new(), plot::bars("With a collector", "× without", &bars, &[])));
    report
}

/// Adds what became of this gateway's spans. Where nobody answered, a collector does now, and gets what was kept.
async fn add_account(report: &mut Report, mut contender: Contender, asked: u64) {
    let Some(told) = contender.told.take() else { return };
    let collector = told.into_collector().await;
    let account = Account::settled(&contender.admin, &collector, asked).await;
    let name = contender.kind.name();
    let Account { received, sent, refused, dropped } = account;
    report.notes.push(format!(
        "{name}: {asked} requests: {received} spans received, {sent} counted as sent, {refused} as refused, {dropped} as dropped"
    ));
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let value = account.missing(asked).max(received.abs_diff(sent)) as f64;
    let what = format!("{name}: spans that nothing accounts for");
    report.limits.push(Limit { what, value, at_most: 0.0 });
}
