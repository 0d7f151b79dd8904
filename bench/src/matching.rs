//! What a verdict costs among ten routes and among ten thousand: the policy alone, without a host around it.

use std::rc::Rc;
use std::time::Instant;

use harness::sealed::{KEYRING, sealed, worked_example};
use policy::decide::{Facts, Head, Step};
use policy::model::Body;
use policy::rules::{RuleSet, Vault};
use policy::seal::Keyring;
use policy::wire::{Config, ModelSource, Models, Rule};
use serde_json::json;

use crate::report::{Limit, Report, Table};
use crate::stats::{Estimate, median};

const FEW: usize = 10;
const MANY: usize = 10_000;
/// Verdicts of which a sample is the mean.
const VERDICTS: usize = 2_000;
/// How much more a verdict among many may cost.
const AT_MOST: f64 = 1.2;

/// What a verdict costs among ten routes and among ten thousand
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Pairs of samples
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub pairs: usize,
}

/// What tells the routes apart.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Hosts,
    Patterns,
    Endpoints,
    Globs,
    Models,
}

const SHAPES: [Shape; 5] = [Shape::Hosts, Shape::Patterns, Shape::Endpoints, Shape::Globs, Shape::Models];

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Shape::Hosts => "a host each",
            Shape::Patterns => "a pattern of hosts each",
            Shape::Endpoints => "an endpoint of one host each",
            Shape::Globs => "a pattern of endpoints of one host each",
            Shape::Models => "a host and a model in the path each",
        }
    }

    fn config(self, routes: usize) -> Config {
        let mut config = worked_example("");
        config.endpoints.clear();
        let template = config.rules.remove(0);
        for number in 0..routes {
            let mut rule =
                Rule { route: format!("default/{number:05}"), endpoints: None, ..template.clone() };
            let (host, path) = (host(self, number), path(self, number));
            match self {
                Shape::Hosts => rule.hosts = vec![host],
                Shape::Patterns => {
                    rule.hosts = vec![format!("*.{}", host.split_once('.').expect("a parent").1)];
                }
                Shape::Endpoints => config.endpoints.push(vec![path]),
                Shape::Globs => {
                    config.endpoints.push(vec![format!("{}*", path.trim_end_matches("messages"))])
                }
                Shape::Models => {
                    rule.hosts = vec![host];
                    let globs = vec![format!("gemini-{number:05}-*")];
                    config.models.push(Models { source: ModelSource::Google, globs });
                    rule.models = Some(index(number));
                }
            }
            if !config.endpoints.is_empty() {
                rule.endpoints = Some(index(number));
            }
            config.rules.push(rule);
        }
        sealed(config, "sk-ant-0123456789")
    }
}

fn index(number: usize) -> u32 {
    u32::try_from(number).expect("a small number")
}

fn host(shape: Shape, number: usize) -> String {
    match shape {
        Shape::Hosts | Shape::Models => format!("api-{number:05}.example.com"),
        Shape::Patterns => format!("api.tenant-{number:05}.example.com"),
        Shape::Endpoints | Shape::Globs => "api.anthropic.com".to_owned(),
    }
}

fn path(shape: Shape, number: usize) -> String {
    match shape {
        Shape::Models => format!("/v1beta/models/gemini-{number:05}-flash:generateContent"),
        _ => format!("/v1/tenants/{number:05}/messages"),
    }
}

/// A set of rules, and requests to them.
struct Case {
    rules: Rc<RuleSet>,
    requests: Vec<(String, String, String)>,
}

impl Case {
    /// `spread`: to as many of the routes as there are verdicts in a sample, else to ten of them.
    fn new(shape: Shape, rules: &Rc<RuleSet>, routes: usize, spread: bool) -> Case {
        let asked = if spread { VERDICTS.min(routes) } else { FEW };
        let request = |number: usize| {
            let number = number * (routes / asked);
            let host = host(shape, number);
            (format!("{host}|{host}:443"), host, path(shape, number))
        };
        let case = Case { rules: Rc::clone(rules), requests: (0..asked).map(request).collect() };
        // Credentials are opened when they are first needed.
        case.sample();
        case
    }

    /// Nanoseconds a verdict.
    fn sample(&self) -> f64 {
        let start = Instant::now();
        for (facts, host, path) in self.requests.iter().cycle().take(VERDICTS) {
            let head = Head {
                method: b"POST",
                scheme: b"https",
                authority: host.as_bytes(),
                path: path.as_bytes(),
                headers: vec![(b"content-type", b"application/json"), (b"x-api-key", b"placeholder")],
                ..Head::default()
            };
            let step = self.rules.decide(&Facts::parse(facts.as_bytes()), &head, Body::Unread);
            let route = step.and_then(Step::plan).ok().and_then(|plan| plan.route);
            assert!(route.is_some(), "{host}{path} is for no route");
        }
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let mean = start.elapsed().as_nanos() as f64 / VERDICTS as f64;
        mean
    }
}

/// Measures. Panics when a request meets no route.
#[must_use]
pub fn run(args: &Args) -> Report {
    let mut table =
        Table::new(&["routes that differ by", "10, ns", "10,000, ns", "ratio", "spread over all"]);
    let (mut limits, mut data) = (Vec::new(), Vec::new());
    for shape in SHAPES {
        let mut vault = Vault::new(Keyring::parse(KEYRING).ok());
        let mut compiled = |routes| {
            let json = serde_json::to_vec(&shape.config(routes)).expect("a configuration is JSON");
            let rules = RuleSet::compile(&json, &mut vault);
            Rc::new(rules.unwrap_or_else(|error| panic!("{error}")))
        };
        let (few, many) = (compiled(FEW), compiled(MANY));
        let cases = [
            Case::new(shape, &few, FEW, false),
            Case::new(shape, &many, MANY, false),
            Case::new(shape, &many, MANY, true),
        ];
        let mut samples: [Vec<f64>; 3] = Default::default();
        for pair in 0..args.pairs {
            for turn in 0..cases.len() {
                let at = (pair + turn) % cases.len();
                samples[at].push(cases[at].sample());
            }
        }
        let [few, many, spread] = &samples;
        let ratio = Estimate::of_ratios(many, few);
        table.row([
            shape.name().to_owned(),
            format!("{:.0}", median(few)),
            format!("{:.0}", median(many)),
            format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.low, ratio.high),
            format!("{:.2}", Estimate::of_ratios(spread, few).median),
        ]);
        let what = format!("a verdict among 10,000 routes, {}, beside 10", shape.name());
        limits.push(Limit { what, value: ratio.median, at_most: AT_MOST });
        data.push(json!({ "shape": shape.name(), "few": few, "many": many, "spread": spread }));
    }
    Report {
        name: "matching".to_owned(),
        table,
        notes: vec![
            "The same ten routes are asked for in both sets; the last column asks for two thousand, which no cache \
             of a CPU holds."
                .to_owned(),
        ],
        limits,
        data: json!(data),
        plots: Vec::new(),
    }
}
