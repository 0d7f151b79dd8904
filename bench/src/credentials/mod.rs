//! CPU time of Envoy for a request by what is done with its credential: header, query, token, and signatures over
//! bodies of several sizes, beside Envoy's own filters.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use harness::client::Http;
use serde_json::json;

use crate::contender::{self, Contender, HOST, Kind, Parts};
use crate::cpu;
use crate::load::{BODY, Load};
use crate::report::{Report, Table};
use crate::stats::Estimate;
use crate::upstream::Upstream;

/// As for `cost`.
const WORKERS: u32 = 1;
/// Bytes of a sample, so that large bodies do not take minutes.
const SAMPLE_BYTES: usize = 64 << 20;

/// CPU time of Envoy for a request, by what is done with its credential
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Rounds; each measures every case once
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub pairs: usize,
    /// Requests in a sample, fewer with large bodies
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub requests: usize,
    /// What the gateways are built from
    #[command(flatten)]
    pub parts: Parts,
}

/// Who is measured with which bodies, in bytes; the usual one has no number.
const CASES: [(Kind, &[Option<usize>]); 7] = [
    (Kind::Bare, &[None, Some(0), Some(4 << 10), Some(100 << 10), Some(1 << 20)]),
    (Kind::Injector, &[None]),
    (Kind::Keyward, &[None]),
    (Kind::NativeSigning, &[Some(0), Some(4 << 10), Some(100 << 10), Some(1 << 20)]),
    (Kind::Query, &[None]),
    (Kind::Token, &[None]),
    (Kind::Signing, &[Some(0), Some(4 << 10), Some(100 << 10), Some(1 << 20)]),
];

type Case = (Kind, Option<usize>);

/// Measures, over HTTP/2. Panics when a gateway cannot be measured.
pub async fn run(args: &Args) -> Report {
    let upstream = Upstream::start(&[HOST.to_owned()], &["h2", "http/1.1"]).await;
    let kinds = CASES.map(|(kind, _)| kind);
    let contenders = contender::start(&kinds, &args.parts, WORKERS, &upstream).await;
    let cases: Vec<Case> =
        CASES.iter().flat_map(|(kind, sizes)| sizes.iter().map(|size| (*kind, *size))).collect();
    let mut samples: BTreeMap<Case, Vec<f64>> = BTreeMap::new();
    for round in 0..args.pairs {
        for turn in 0..cases.len() {
            let case = cases[(round + turn) % cases.len()];
            let contender = contenders.iter().find(|contender| contender.kind == case.0);
            let cost = sample(contender.expect("a contender"), case.1, args).await;
            samples.entry(case).or_default().push(cost);
        }
    }
    report(args, &samples)
}

async fn sample(contender: &Contender, size: Option<usize>, args: &Args) -> f64 {
    let body = size.map_or_else(|| Bytes::from_static(BODY.as_bytes()), |size| vec![b'x'; size].into());
    let requests = args.requests.min(SAMPLE_BYTES / body.len().max(1)).max(16);
    let mut load = Load::open(contender, Http::Two, HOST, 4).await.with_body(&body);
    load.run(requests / 8).await;
    let before = settled(contender).await;
    let requests = load.run(requests).await.len();
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

fn report(args: &Args, samples: &BTreeMap<Case, Vec<f64>>) -> Report {
    let mut table = Table::new(&["contender", "body", "CPU µs/request", "× bare", "× Envoy's own", "95 %"]);
    for ((kind, size), values) in samples {
        let ratio = |base: Kind| Some(Estimate::of_ratios(values, samples.get(&(base, *size))?));
        let own = if *kind == Kind::Signing { Kind::NativeSigning } else { Kind::Injector };
        let cell = |ratio: Option<Estimate>| ratio.map_or_else(String::new, |r| format!("{:.2}", r.median));
        let own = ratio(own);
        table.row([
            kind.name().to_owned(),
            size.map_or_else(|| BODY.len().to_string(), |size| size.to_string()),
            format!("{:.1}", Estimate::of(values).median),
            cell(ratio(Kind::Bare)),
            cell(own),
            own.map_or_else(String::new, |r| format!("{:.2}–{:.2}", r.low, r.high)),
        ]);
    }
    let note = format!(
        "{} samples of up to {} requests each over HTTP/2; Envoy's own are `credential_injector`, and for signatures \
         `aws_request_signing`",
        args.pairs, args.requests
    );
    let data: Vec<_> = samples
        .iter()
        .map(|((kind, size), values)| json!({"contender": kind.name(), "body": size, "samples": values}))
        .collect();
    Report {
        name: "credentials".to_owned(),
        table,
        notes: vec![note],
        data: json!(data),
        ..Report::default()
    }
}
