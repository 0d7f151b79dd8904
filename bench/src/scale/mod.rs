//! `keyward-bench scale`: the release build of `keyward`, the real filter and Envoy, in front of up to ten thousand
//! generated routes, with 16, 32 or 64 buckets.

mod build;
mod cell;
mod cost;
pub(crate) mod gateway;
pub(crate) mod load;
pub(crate) mod process;
mod summary;
pub(crate) mod tenants;
pub(crate) mod upstream;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

pub(crate) use self::build::{BUCKETS, Build, keyward};
use self::cell::Cell;
use self::gateway::Gateway;
use self::upstream::Upstream;
use crate::report::Report;

/// Measure a gateway with up to ten thousand routes: start, memory, rotations, hosts that come and go
#[derive(clap::Args)]
pub struct Args {
    /// Numbers of routes, comma-separated; at least 2
    #[arg(long, value_delimiter = ',', default_values_t = [10, 1_000, 10_000])]
    routes: Vec<usize>,
    /// Numbers of buckets, comma-separated; each but 32 is a build of its own
    #[arg(long, value_delimiter = ',', default_values_t = [16, 32, 64])]
    buckets: Vec<usize>,
    /// Rounds of a quiet window, an occupied one, and one in which a key rotates
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Pairs of counted loads, for the cost of matching and of buckets; 0 leaves them out
    #[arg(long, default_value_t = 24)]
    cost_pairs: usize,
    /// Take the builds of `keyward` that an earlier run left in target/bench
    #[arg(long)]
    no_build: bool,
}

/// Microseconds of Envoy for a request, pair by pair.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cost {
    /// What is compared: `base` and `of`.
    pub(crate) what: String,
    /// Of what is compared.
    pub(crate) of: Vec<f64>,
    /// Of what it is compared with.
    pub(crate) base: Vec<f64>,
}

/// Measures. Panics when it cannot.
pub async fn run(args: &Args) -> Report {
    // The usual build comes last: it is the one that stays in the target directory, where others take it from.
    let mut numbers = args.buckets.clone();
    numbers.sort_by_key(|buckets| *buckets == BUCKETS);
    let builds: BTreeMap<usize, PathBuf> =
        numbers.iter().map(|buckets| (*buckets, keyward(*buckets, Build::of(args.no_build)))).collect();
    let upstream = Upstream::start(&tenants::probed_hosts()).await;
    let mut cells: Vec<Cell> = Vec::new();
    for (buckets, keyward) in &builds {
        for routes in &args.routes {
            eprintln!("{routes} routes, {buckets} buckets");
            cells.push(cell::measure(keyward, *routes, *buckets, &upstream, args.rounds).await);
        }
    }
    let costs = costs(args, &builds, &upstream).await;
    summary::report(&cells, &costs)
}

/// The cost of a request with the most routes beside the fewest, and with each number of buckets beside the fewest.
async fn costs(args: &Args, builds: &BTreeMap<usize, PathBuf>, upstream: &Upstream) -> Vec<Cost> {
    let start =
        |buckets: &usize, routes| Gateway::start(&builds[buckets], routes, upstream.address, &upstream.ca);
    let (Some(few), Some(many)) = (args.routes.iter().min(), args.routes.iter().max()) else {
        return Vec::new();
    };
    let Some(least) = builds.keys().next() else { return Vec::new() };
    let middle = builds.keys().find(|buckets| **buckets == BUCKETS).unwrap_or(least);
    let mut costs = Vec::new();
    if args.cost_pairs == 0 {
        return costs;
    }
    {
        let (base, of) = (start(middle, *few), start(middle, *many));
        costs.push(compare(format!("{many} routes beside {few}, {middle} buckets"), &of, &base, args).await);
    }
    let base = start(least, *few);
    for buckets in builds.keys().filter(|buckets| *buckets != least) {
        let of = start(buckets, *few);
        costs
            .push(compare(format!("{buckets} buckets beside {least}, {few} routes"), &of, &base, args).await);
    }
    costs
}

async fn compare(what: String, of: &Gateway, base: &Gateway, args: &Args) -> Cost {
    eprintln!("{what}");
    let (of, base) = cost::pairs(of, base, args.cost_pairs).await;
    Cost { what, of, base }
}
