//! A [`Reading`] in the text formats of Prometheus and OpenMetrics.
//!
//! `docs/metrics.md` lists every family; a test scrapes a running `keyward dev` and holds the two against each other.

use std::fmt;

use policy::api::Kind as ObjectKind;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use time::OffsetDateTime;

use super::reading::{Gateway, Propagation, Reading, SecretAges, Tokens};
use crate::conditions::Truth;
use crate::plan::ObjectKey;
use crate::xds::{Asked, Kind};

/// How many gateways, the first by name, have series of their own. Each is an Envoy process: there is no such machine.
const GATEWAYS: usize = 1_000;

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    /// The older one, of Prometheus alone.
    Text,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// The text.
///
/// # Errors
/// None that can happen: text is written into memory.
pub(super) fn encode(reading: &Reading, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families(reading))));
    let mut written = String::new();
    match format {
        Format::OpenMetrics => text::encode(&mut written, &registry)?,
        Format::Text => prometheus_text::encode(&mut written, &registry)?,
    }
    Ok(written)
}

#[derive(Debug)]
struct Families(Vec<Family>);

/// A metric with its series. The name is without the suffixes that unit and type give it.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    series: Series,
}

type Labels = Vec<(&'static str, String)>;

#[derive(Debug)]
enum Series {
    Gauges(Vec<(Labels, f64)>),
    Counters(Vec<(Labels, u64)>),
    Info(Labels),
    Histogram(Propagation),
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for Family { name, help, unit, series } in &self.0 {
            let mut encoder = encoder.encode_descriptor(name, help, unit.as_ref(), series.metric_type())?;
            match series {
                Series::Gauges(series) => series
                    .iter()
                    .try_for_each(|(labels, value)| one(&mut encoder, labels, &ConstGauge::new(*value)))?,
                Series::Counters(series) => series
                    .iter()
                    .try_for_each(|(labels, value)| one(&mut encoder, labels, &ConstCounter::new(*value)))?,
                Series::Info(labels) => encoder.encode_info(&labels.as_slice())?,
                Series::Histogram(histogram) => encoder.encode_histogram::<NoLabelSet>(
                    histogram.seconds(),
                    histogram.count(),
                    &histogram.buckets(),
                    None,
                )?,
            }
        }
        Ok(())
    }
}

fn one(encoder: &mut MetricEncoder, labels: &Labels, metric: &impl EncodeMetric) -> fmt::Result {
    metric.encode(encoder.encode_family(&labels.as_slice())?)
}

impl Series {
    fn metric_type(&self) -> MetricType {
        match self {
            Series::Gauges(_) => MetricType::Gauge,
            Series::Counters(_) => MetricType::Counter,
            Series::Info(_) => MetricType::Info,
            Series::Histogram(_) => MetricType::Histogram,
        }
    }
}

fn families(reading: &Reading) -> Vec<Family> {
    let mut families = vec![
        Family {
            name: "keyward_build",
            help: "The running program",
            unit: None,
            series: Series::Info(vec![("version", env!("CARGO_PKG_VERSION").to_owned())]),
        },
        gauge("keyward_objects", "Objects of each kind", objects(reading)),
        gauge(
            "keyward_object_conditions",
            "Objects that have a condition of this type and status; one that has several of a type counts once, with \
             the worst",
            conditions(reading),
        ),
        gauge(
            "keyward_manifest_problems",
            "Problems of the manifests: files and objects that cannot be read",
            vec![(vec![], whole(reading.problems))],
        ),
    ];
    families.extend(of_gateways(reading));
    families.extend(of_leaves(reading));
    families.extend(of_secrets(reading));
    families.extend(of_tokens(&reading.tokens));
    families
}

fn gauge(name: &'static str, help: &'static str, series: Vec<(Labels, f64)>) -> Family {
    Family { name, help, unit: None, series: Series::Gauges(series) }
}

/// A point in time, in seconds since 1970.
fn timestamp(name: &'static str, help: &'static str, series: Vec<(Labels, f64)>) -> Family {
    Family { name, help, unit: Some(Unit::Seconds), series: Series::Gauges(series) }
}

fn counter(name: &'static str, help: &'static str, series: Vec<(Labels, u64)>) -> Family {
    Family { name, help, unit: None, series: Series::Counters(series) }
}

/// Every kind, also those of which there is none: an alert needs a series to compare.
fn objects(reading: &Reading) -> Vec<(Labels, f64)> {
    let count = |kind: &ObjectKind| reading.objects.get(kind).copied().unwrap_or_default();
    let series = ObjectKind::ALL.iter().map(|kind| (vec![("kind", kind.to_string())], number(count(kind))));
    series.collect()
}

fn conditions(reading: &Reading) -> Vec<(Labels, f64)> {
    let mut series = Vec::new();
    for ((kind, of), counts) in &reading.conditions {
        for truth in [Truth::True, Truth::False, Truth::Unknown] {
            let labels = vec![
                ("kind", kind.to_string()),
                ("type", (*of).to_owned()),
                ("status", truth.as_str().to_owned()),
            ];
            series.push((labels, number(counts.get(&truth).copied().unwrap_or_default())));
        }
    }
    series
}

fn of_gateways(reading: &Reading) -> [Family; 8] {
    [
        gauge(
            "keyward_gateway_ready",
            "Whether the gateway serves what it was given last: its Envoy is live and holds it",
            each(reading, |gateway| Some(f64::from(u8::from(gateway.is_ready)))),
        ),
        counter(
            "keyward_envoy_restarts",
            "How often the gateway's Envoy ended by itself and was started again",
            each(reading, |gateway| Some(gateway.restarts)),
        ),
        gauge(
            "keyward_xds_connected_envoys",
            "Envoys of the gateway that have an xDS stream open",
            each(reading, |gateway| Some(whole(gateway.connected))),
        ),
        gauge(
            "keyward_xds_settled_envoys",
            "Connected Envoys of the gateway that acknowledged all that they are to hold",
            each(reading, |gateway| Some(whole(gateway.settled))),
        ),
        gauge(
            "keyward_xds_refused_resources",
            "Resources of the gateway that an Envoy refuses in the version that it is to hold",
            each(reading, |gateway| Some(whole(gateway.refused))),
        ),
        timestamp(
            "keyward_xds_last_change_timestamp",
            "When what the Envoys of the gateway are to hold changed last",
            each(reading, |gateway| gateway.pushed_at.map(unix)),
        ),
        counter(
            "keyward_xds_pushes",
            "Responses that were sent to the gateway's Envoys, by discovery service",
            each_kind(reading, |gateway| &gateway.counts.pushes),
        ),
        counter(
            "keyward_xds_nacks",
            "Responses that the gateway's Envoys refused, by discovery service",
            each_kind(reading, |gateway| &gateway.counts.nacks),
        ),
    ]
}

fn of_leaves(reading: &Reading) -> [Family; 6] {
    [
        gauge(
            "keyward_leaves",
            "Certificates for names that agents ask for, as the gateway keeps them",
            each(reading, |gateway| Some(whole(gateway.leaves))),
        ),
        counter(
            "keyward_leaf_requests",
            "Names for which the gateway's Envoy asked for a certificate, by what became of it",
            first(reading).flat_map(|(key, gateway)| asked(key, gateway)).collect(),
        ),
        counter(
            "keyward_leaves_minted",
            "Certificates that were made: on demand, ahead for the hosts of routes, and in place of old ones",
            each(reading, |gateway| Some(gateway.leaves_minted)),
        ),
        counter(
            "keyward_leaves_evicted",
            "Certificates that were withdrawn because others took their place",
            each(reading, |gateway| Some(gateway.counts.evicted)),
        ),
        timestamp(
            "keyward_leaf_expiry_timestamp",
            "When the first of the gateway's certificates ends; each is replaced long before",
            each(reading, |gateway| gateway.first_leaf_ends.map(unix)),
        ),
        timestamp(
            "keyward_ca_expiry_timestamp",
            "When the certificate authority ends that the gateway's agents trust",
            each(reading, |gateway| Some(unix(gateway.authority_ends))),
        ),
    ]
}

fn of_secrets(reading: &Reading) -> [Family; 3] {
    let SecretAges { oldest, latest } = reading.secrets;
    [
        Family {
            name: "keyward_secret_propagation",
            help: "From the moment that a changed Secret was loaded until every connected Envoy of a gateway that uses \
                   it acknowledged it. Changes that one acknowledgement covers count once, from the first of them",
            unit: Some(Unit::Seconds),
            series: Series::Histogram(reading.propagation.clone()),
        },
        timestamp(
            "keyward_secret_oldest_change_timestamp",
            "When the values changed last of the Secret whose values have not changed for longest",
            alone(oldest),
        ),
        timestamp(
            "keyward_secret_latest_change_timestamp",
            "When values of any Secret changed last",
            alone(latest),
        ),
    ]
}

fn of_tokens(tokens: &Tokens) -> [Family; 4] {
    let state = |word: &str| vec![("state", word.to_owned())];
    let result = |word: &str| vec![("result", word.to_owned())];
    [
        gauge(
            "keyward_tokens",
            "Tokens of Google service accounts that policies need",
            vec![(state("valid"), whole(tokens.valid)), (state("missing"), whole(tokens.missing))],
        ),
        counter(
            "keyward_token_mints",
            "Attempts to obtain a token of a Google service account",
            vec![(result("success"), tokens.succeeded), (result("failure"), tokens.failed)],
        ),
        timestamp(
            "keyward_token_expiry_timestamp",
            "When the first of the valid tokens ends; each is replaced before",
            alone(tokens.first_ends),
        ),
        timestamp(
            "keyward_token_oldest_mint_timestamp",
            "When the oldest of the valid tokens was obtained",
            alone(tokens.oldest),
        ),
    ]
}

/// One series without labels, where there is such a time.
fn alone(time: Option<OffsetDateTime>) -> Vec<(Labels, f64)> {
    time.map(|time| (vec![], unix(time))).into_iter().collect()
}

fn first(reading: &Reading) -> impl Iterator<Item = (&ObjectKey, &Gateway)> {
    reading.gateways.iter().take(GATEWAYS)
}

fn label(key: &ObjectKey) -> (&'static str, String) {
    ("gateway", key.to_string())
}

/// One series for each gateway that has a value.
fn each<T>(reading: &Reading, value: impl Fn(&Gateway) -> Option<T>) -> Vec<(Labels, T)> {
    first(reading).filter_map(|(key, gateway)| Some((vec![label(key)], value(gateway)?))).collect()
}

fn each_kind(
    reading: &Reading,
    counts: impl Fn(&Gateway) -> &std::collections::BTreeMap<Kind, u64>,
) -> Vec<(Labels, u64)> {
    let of_gateway = |(key, gateway)| {
        let counts = counts(gateway);
        let count = move |kind| counts.get(&kind).copied().unwrap_or_default();
        Kind::ALL.map(|kind| (vec![label(key), ("type", kind.service().to_owned())], count(kind)))
    };
    first(reading).flat_map(of_gateway).collect()
}

fn asked<'a>(key: &'a ObjectKey, gateway: &'a Gateway) -> impl Iterator<Item = (Labels, u64)> + 'a {
    Asked::ALL.into_iter().map(|outcome| {
        let word = match outcome {
            Asked::Cached => "cached",
            Asked::Minted => "minted",
            Asked::Refused => "refused",
            Asked::Throttled => "throttled",
        };
        let count = gateway.counts.asked.get(&outcome).copied().unwrap_or_default();
        (vec![label(key), ("result", word.to_owned())], count)
    })
}

fn whole(count: usize) -> f64 {
    number(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Exact up to 2⁵³.
#[allow(clippy::cast_precision_loss, reason = "counts of things on one machine")]
fn number(count: u64) -> f64 {
    count as f64
}

#[allow(clippy::cast_precision_loss, reason = "seconds since 1970")]
fn unix(time: OffsetDateTime) -> f64 {
    time.unix_timestamp() as f64
}
