//! A scrape: one request, and what its answer says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Asks without keeping the connection. Panics where there is no answer within twenty seconds.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    say(address, &format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n")).await.expect("an answer")
}

/// Says this, and reads until the other side ends; nothing where that is no answer.
pub(crate) async fn say(address: SocketAddr, request: &str) -> Option<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        // The other side may answer before it has read everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        parse(&String::from_utf8_lossy(&answer))
    };
    tokio::time::timeout(Duration::from_secs(20), exchange).await.expect("an end within twenty seconds")
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}

/// A family of metrics.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    /// The names of its labels, without the `le` of histograms.
    pub(crate) labels: BTreeSet<String>,
}

/// The text format of Prometheus, read.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    pub(crate) families: BTreeMap<String, Family>,
    series: BTreeMap<String, f64>,
}

impl Exposition {
    pub(crate) fn parse(text: &str) -> Exposition {
        let mut read = Exposition::default();
        let mut current = String::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                read.families.entry(name.to_owned()).or_default().help = help.to_owned();
            } else if let Some((name, kind)) =
                line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
            {
                let family = read.families.entry(name.to_owned()).or_default();
                assert_eq!(family.kind, "", "{name} is there twice");
                family.kind = kind.to_owned();
                current = name.to_owned();
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
                assert!(series.starts_with(&current), "{series} under {current}");
                let value = value.parse().unwrap_or_else(|_| panic!("no value: {line}"));
                let before = read.series.insert(series.replace("{}", ""), value);
                assert_eq!(before, None, "{series} is there twice");
                let labels = series.split(['{', ',']).skip(1).filter_map(|label| label.split_once('='));
                let labels = labels.map(|(name, _)| name.to_owned()).filter(|name| name != "le");
                read.families.get_mut(&current).expect("a type").labels.extend(labels);
            }
        }
        read
    }

    /// The value of a series, as it is written.
    pub(crate) fn find(&self, series: &str) -> Option<f64> {
        self.series.get(series).copied()
    }

    #[track_caller]
    pub(crate) fn value(&self, series: &str) -> f64 {
        self.find(series).unwrap_or_else(|| panic!("no {series} among {:?}", self.series.keys()))
    }

    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }
}
