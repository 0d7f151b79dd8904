//! What a new connection costs: the tunnel and its TLS handshake, with a leaf that is there, and with one that has to
//! be minted first.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::client::{Agent, Failure, Http};
use serde_json::json;

use crate::contender::{self, Contender, HOST, Kind, Parts};
use crate::plot::{self, Bar};
use crate::report::{Report, Table};
use crate::stats::{Estimate, median};
use crate::upstream::Upstream;

/// As `keyward dev` has it.
const WORKERS: u32 = 2;
/// Handshakes of which a sample is the median.
const HANDSHAKES: usize = 5;
/// Pause after the handshakes for new names: a gateway makes at most twenty-five leaves a second for agents.
const PAUSE: Duration = Duration::from_millis(210);

/// Time of CONNECT and TLS handshake, for names seen before and for new ones
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Rounds; each measures every case once
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub pairs: usize,
    /// What the gateways are built from
    #[command(flatten)]
    pub parts: Parts,
}

/// What is measured, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Case {
    /// One leaf for every name.
    Bare,
    /// Keyward, a name with a leaf.
    Known,
    /// Keyward, a name that nobody has asked for.
    New,
}

const CASES: [Case; 3] = [Case::Bare, Case::Known, Case::New];

impl Case {
    fn name(self) -> &'static str {
        match self {
            Case::Bare => "bare, one leaf",
            Case::Known => "keyward, known name",
            Case::New => "keyward, new name",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Case::Bare => Kind::Bare,
            Case::Known | Case::New => Kind::Keyward,
        }
    }
}

/// Milliseconds, sample by sample.
type Samples = BTreeMap<Case, Vec<f64>>;

/// Measures. Panics when a handshake fails.
pub async fn run(args: &Args) -> Report {
    let upstream = Upstream::start(&[HOST.to_owned()], &["h2", "http/1.1"]).await;
    let contenders = contender::start(&[Kind::Bare, Kind::Keyward], &args.parts, WORKERS, &upstream).await;
    let mut samples = Samples::new();
    for round in 0..args.pairs {
        for turn in 0..CASES.len() {
            let case = CASES[(round + turn) % CASES.len()];
            let contender = contenders.iter().find(|contender| contender.kind == case.kind());
            let value = sample(contender.expect("a contender"), case, round).await;
            samples.entry(case).or_default().push(value);
        }
    }
    report(args, &samples)
}

async fn sample(contender: &Contender, case: Case, round: usize) -> f64 {
    let mut times = Vec::new();
    for number in 0..HANDSHAKES {
        let host = match case {
            Case::Bare | Case::Known => HOST.to_owned(),
            Case::New => format!("n{round}-{number}.bench.example"),
        };
        let time = handshake(&contender.agent(Http::Two, &host)).await;
        times.push(time.unwrap_or_else(|error| panic!("no handshake for {host}: {error:?}")));
    }
    if case == Case::New {
        tokio::time::sleep(PAUSE).await;
    }
    median(&times)
}

/// Time of one, milliseconds.
pub(crate) async fn handshake(agent: &Agent) -> Result<f64, Failure> {
    let start = Instant::now();
    agent.open().await?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

fn report(args: &Args, samples: &Samples) -> Report {
    let mut table = Table::new(&["handshake", "ms", "95 %", "× bare", "95 %"]);
    for (case, values) in samples {
        let (time, ratio) = (Estimate::of(values), Estimate::of_ratios(values, &samples[&Case::Bare]));
        let interval = |e: Estimate| format!("{:.3}–{:.3}", e.low, e.high);
        let row =
            [format!("{:.3}", time.median), interval(time), format!("{:.3}", ratio.median), interval(ratio)];
        table.row(std::iter::once(case.name().to_owned()).chain(row));
    }
    let bars: Vec<_> = samples
        .iter()
        .map(|(case, values)| Bar { label: case.name().into(), value: Estimate::of(values) })
        .collect();
    let named: BTreeMap<_, _> = samples.iter().map(|(case, values)| (case.name(), values)).collect();
    Report {
        name: "handshake".into(),
        table,
        notes: vec![format!("{} samples each, each the median of {HANDSHAKES} handshakes", args.pairs)],
        data: json!(named),
        plots: vec![(String::new(), plot::bars("CONNECT and TLS handshake", "ms", &bars, &[]))],
        ..Report::default()
    }
}
