//! `docs/metrics.md` lists what is exposed, with types, labels and meaning, and nothing else.

use std::collections::BTreeMap;

use harness::artefacts::root;

use super::prometheus::promtool_on;
use super::scrape::{Exposition, get, say};
use super::{ENVOY, World};

/// The rows of the table below a heading: the cells of each metric, by its name.
fn table<'a>(text: &'a str, heading: &str) -> BTreeMap<&'a str, [&'a str; 3]> {
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).expect("the heading");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (name, rest) = row.split_once("` | ").expect("a metric");
        let cells: Vec<&str> = rest.trim_end_matches(" |").splitn(3, " | ").collect();
        (name, cells.try_into().expect("four cells"))
    })
    .collect()
}

/// What the table is to say of what was scraped.
fn rows(scraped: &Exposition) -> BTreeMap<&str, [String; 3]> {
    let row = |(name, family): (&'_ String, &super::scrape::Family)| {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        (name.clone(), [family.kind.clone(), labels, family.help.clone()])
    };
    let rows: Vec<_> = scraped.families.iter().map(row).collect();
    scraped.families.keys().map(String::as_str).zip(rows.into_iter().map(|(_, cells)| cells)).collect()
}

#[tokio::test]
async fn the_tables_list_every_metric_with_its_type_labels_and_meaning_and_no_other() {
    let world = World::start().await;
    world.traffic().await;
    let text = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    for (heading, path) in [("The controller", "/metrics"), ("Envoys", ENVOY)] {
        // Envoy's workers hand their counts over every five seconds.
        let end = std::time::Instant::now() + super::PATIENCE;
        loop {
            let scraped = world.scrape(path).await;
            let (said, is) = (table(&text, heading), rows(&scraped));
            let same = said.len() == is.len()
                && said.iter().all(|(name, cells)| is.get(name).is_some_and(|is| is[..] == cells[..]));
            if same {
                break;
            }
            let missing: Vec<String> = is
                .iter()
                .filter(|(name, cells)| said.get(*name).is_none_or(|said| cells[..] != said[..]))
                .map(|(name, [kind, labels, help])| format!("| `{name}` | {kind} | {labels} | {help} |"))
                .collect();
            let gone: Vec<_> = said.keys().filter(|name| !is.contains_key(*name)).collect();
            assert!(
                std::time::Instant::now() < end,
                "docs/metrics.md, {heading}: to be added or changed:\n{}\nnot exposed: {gone:?}",
                missing.join("\n")
            );
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    }
}

#[tokio::test]
async fn the_controllers_names_follow_the_conventions_and_both_formats_say_the_same() {
    let world = World::start().await;
    let text = get(world.address(), "/metrics").await;
    assert!(text.head.contains("content-type: text/plain; version=0.0.4"), "{}", text.head);
    promtool_on(&text.body).unwrap_or_else(|said| panic!("promtool check metrics:\n{said}"));
    let request = "GET /metrics HTTP/1.1\r\nhost: a\r\naccept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n\r\n";
    let open = say(world.address(), request).await.expect("an answer");
    assert!(open.head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{}", open.head);
    assert!(open.body.ends_with("# EOF\n"));
    let samples = |body: &str| {
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        // The histogram writes its bounds in two ways.
        let lines = lines.filter(|line| !line.contains("_bucket{")).map(str::to_owned);
        lines.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(samples(&text.body), samples(&open.body));
}

#[tokio::test]
async fn a_gateway_costs_no_more_series_than_the_document_says() {
    let world = World::start().await;
    world.traffic().await;
    let (controller, envoy) = (world.scrape("/metrics").await, world.scrape(ENVOY).await);
    assert!(controller.len() <= 60 + 30 + 15, "{}", controller.len());
    assert!(envoy.len() <= 320, "{}", envoy.len());
}
