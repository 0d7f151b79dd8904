//! What an agent waits: p50 and p99 at a fixed rate, and the first event of a streamed answer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::client::Http;
use serde_json::json;

use crate::contender::{self, Contender, HOST, Kind, Parts};
use crate::load::{Connection, vegeta};
use crate::plot::{self, Bar};
use crate::report::{Report, Table};
use crate::stats::{Estimate, median};
use crate::upstream::{EVENTS, Upstream};

/// As `keyward dev` has it.
const WORKERS: u32 = 2;
/// Streams of which one sample of the first event is the median.
const STREAMS: usize = 10;

/// p50 and p99 at a fixed rate; time to the first event of a stream
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Rounds; each measures every contender once
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub pairs: usize,
    /// Requests a second
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub rate: u32,
    /// How long one attack lasts, seconds
    #[arg(long, value_name = "S", default_value_t = 3)]
    pub seconds: u64,
    /// Who takes part
    #[arg(long, value_delimiter = ',', default_value = "bare,injector,keyward")]
    pub contenders: Vec<Kind>,
    /// HTTP version of the agent: 1, 2
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2), default_value_t = 2)]
    pub http: u8,
    /// What the gateways are built from
    #[command(flatten)]
    pub parts: Parts,
}

/// What is measured.
const FIGURES: [&str; 3] = ["p50", "p99", "first event"];

/// Milliseconds, sample by sample, of each contender and figure.
type Samples = BTreeMap<(usize, Kind), Vec<f64>>;

/// Measures. Panics when a gateway cannot be measured.
pub async fn run(args: &Args) -> Report {
    let upstream = Upstream::start(&[HOST.to_owned()], &["h2", "http/1.1"]).await;
    let contenders = contender::start(&args.contenders, &args.parts, WORKERS, &upstream).await;
    let mut samples = Samples::new();
    for round in 0..args.pairs {
        for turn in 0..contenders.len() {
            let contender = &contenders[(round + turn) % contenders.len()];
            for (figure, value) in sample(contender, args).await.into_iter().enumerate() {
                samples.entry((figure, contender.kind)).or_default().push(value);
            }
        }
    }
    report(args, &samples)
}

async fn sample(contender: &Contender, args: &Args) -> [f64; 3] {
    let http = if args.http == 1 { Http::One } else { Http::Two };
    let attack = vegeta::attack(contender, http, args.rate, Duration::from_secs(args.seconds)).await;
    [attack.p50, attack.p99, first_event(contender, http).await]
}

/// Time from a request on a connection that is open to the first event of its answer, milliseconds.
async fn first_event(contender: &Contender, http: Http) -> f64 {
    let agent = contender.agent(http, HOST);
    let mut times = Vec::new();
    for _ in 0..STREAMS {
        let mut connection = Connection::open(&agent, HOST).await;
        connection.ask("").await;
        let start = Instant::now();
        connection.first_bytes(EVENTS).await;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    median(&times)
}

fn report(args: &Args, samples: &Samples) -> Report {
    let mut table = Table::new(&["figure", "contender", "ms", "× bare", "95 %", "× injector", "95 %"]);
    for ((figure, kind), values) in samples {
        let ratio = |base: Kind| samples.get(&(*figure, base)).map(|base| Estimate::of_ratios(values, base));
        let [bare, injector] = [Kind::Bare, Kind::Injector].map(|base| cells(ratio(base)));
        let median = format!("{:.3}", Estimate::of(values).median);
        table.row(
            [FIGURES[*figure].into(), kind.name().into(), median].into_iter().chain(bare).chain(injector),
        );
    }
    let named: BTreeMap<_, _> = samples
        .iter()
        .map(|((figure, kind), values)| (format!("{} {}", FIGURES[*figure], kind.name()), values))
        .collect();
    let note = format!(
        "{} samples each: an attack of {} requests/s for {} s over HTTP/{}, then {STREAMS} streams on open connections",
        args.pairs, args.rate, args.seconds, args.http
    );
    let (name, data, plots) = ("latency".into(), json!(named), plots(samples));
    Report { name, table, notes: vec![note], data, plots, ..Report::default() }
}

fn cells(ratio: Option<Estimate>) -> [String; 2] {
    ratio.map_or_else(Default::default, |r| {
        [format!("{:.3}", r.median), format!("{:.3}–{:.3}", r.low, r.high)]
    })
}

/// A plot for each figure.
fn plots(samples: &Samples) -> Vec<(String, String)> {
    let of = |figure: usize| {
        let bars: Vec<_> = samples
            .iter()
            .filter(|((of, _), _)| *of == figure)
            .map(|((_, kind), values)| Bar { label: kind.name().into(), value: Estimate::of(values) })
            .collect();
        let title = format!("What an agent waits: {}", FIGURES[figure]);
        (format!("-{}", FIGURES[figure].replace(' ', "-")), plot::bars(&title, "ms", &bars, &[]))
    };
    (0..FIGURES.len()).map(of).collect()
}
