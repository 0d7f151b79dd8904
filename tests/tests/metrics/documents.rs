//! `docs/metrics.md` lists what is exposed, with types, labels and meaning, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use harness::artefacts::root;
use harness::client::{Http, Request};
use harness::objects;

use super::prometheus::promtool_on;
use super::scrape::{Exposition, get, say};
use super::{ENVOY, World};

/// Type, labels and meaning of each metric, by its name.
type Table = BTreeMap<String, [String; 3]>;

/// The table below a heading.
fn said(text: &str, heading: &str) -> Table {
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).expect("the heading");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (name, rest) = row.split_once("` | ").expect("a metric");
        let cells: Vec<String> = rest.trim_end_matches(" |").splitn(3, " | ").map(str::to_owned).collect();
        (name.to_owned(), cells.try_into().expect("four cells"))
    })
    .collect()
}

/// What the table is to say of what was scraped.
fn exposed(scraped: &Exposition) -> Table {
    let rows = scraped.families.iter().map(|(name, family)| {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        (name.clone(), [family.kind.clone(), labels, family.help.clone()])
    });
    rows.collect()
}

/// The rows that are missing or other than they should be, and those of what is not there. The filter's metrics come
/// without a word on what they mean.
fn differences(said: &Table, exposed: &Table) -> Vec<String> {
    let is_said = |name: &String, [kind, labels, help]: &[String; 3]| {
        said.get(name).is_some_and(|said| {
            (&said[0], &said[1]) == (kind, labels) && (help.is_empty() || said[2] == *help)
        })
    };
    let wrong = exposed.iter().filter(|(name, cells)| !is_said(name, cells));
    let wrong =
        wrong.map(|(name, [kind, labels, help])| format!("| `{name}` | {kind} | {labels} | {help} |"));
    let gone = said.keys().filter(|name| !exposed.contains_key(*name));
    wrong.chain(gone.map(|name| format!("nothing exposes {name}"))).collect()
}

#[tokio::test]
async fn the_tables_list_every_metric_with_its_type_labels_and_meaning_and_no_other() {
    let world = World::start().await;
    world.traffic().await;
    let text = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    for (heading, path) in [("The controller", "/metrics"), ("Envoys", ENVOY)] {
        let said = said(&text, heading);
        assert!(said.len() > 20, "{said:?}");
        // Envoy's workers hand their counts over every five seconds.
        let end = Instant::now() + super::PATIENCE;
        loop {
            let differences = differences(&said, &exposed(&world.scrape(path).await));
            if differences.is_empty() {
                break;
            }
            assert!(Instant::now() < end, "docs/metrics.md, {heading}:\n{}", differences.join("\n"));
            tokio::time::sleep(Duration::from_millis(500)).await;
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
        lines.collect::<BTreeSet<_>>()
    };
    assert_eq!(samples(&text.body), samples(&open.body));
}

#[tokio::test]
async fn neither_objects_nor_agents_add_series_and_what_an_agent_says_is_nowhere() {
    let world = World::start().await;
    world.traffic().await;
    let (controller, envoy) = settled(&world).await;
    assert!(controller.len() <= 30 + 80, "{}", controller.len());
    assert!(envoy.len() <= 300, "{}", envoy.len());

    let many = (0..50).map(|n| {
        let name = format!("many-{n}");
        let matches = format!("{{provider: custom, hosts: [{name}.example, '*.{name}.example']}}");
        [
            objects::secret(&name, &[("token", "another-key-0123456789")]),
            objects::route(&name, &["echo-bot"], &matches),
            objects::policy(&name, &name, objects::BEARER),
        ]
        .concat()
    });
    world.gateway.write_manifest("many.yaml", &many.collect::<String>());
    let text = std::fs::read_to_string(world.gateway.manifests().join("example.yaml")).unwrap();
    let aliases: String =
        (0..50).map(|n| format!("{{ip: 127.0.0.1, hostnames: [alias-{n}.example], port: 9}}, ")).collect();
    let aliases = text.replace("hostAliases: [", &format!("hostAliases: [{aliases}"));
    assert_ne!(aliases, text);
    world.gateway.write_manifest("example.yaml", &aliases);
    world.until("keyward_objects{kind=\"AIProviderRoute\"}", |count| count == 53.0).await;
    world.until("keyward_gateway_ready{gateway=\"default/echo-bot\"}", |ready| ready == 1.0).await;
    for n in 0..20 {
        let host = format!("agent-chosen-{n}.many-1.example");
        let request =
            Request::new("GET", &host, "/agent-chosen?agent-chosen=1").header("agent-chosen", "agent-chosen");
        // Nothing is there; that it is asked for is what matters.
        let _ = world.gateway.agent(Http::One, &host).send(&request).await;
        let host = format!("alias-{n}.example");
        let agent = world.gateway.agent(Http::Two, &host);
        let _ = agent.send(&Request { authority: host, ..request }).await;
    }
    let (more, of_envoy) = settled(&world).await;
    assert_eq!(more.len(), controller.len());
    // Envoy has a series for a class of answers, in a cluster, once there was one.
    assert!(of_envoy.len() <= envoy.len() + 20, "{} and then {}", envoy.len(), of_envoy.len());
    assert_eq!(of_envoy.value("keyward_envoy_series_left_out"), 0.0);
    for path in ["/metrics", "/targets", ENVOY] {
        let body = get(world.address(), path).await.body;
        assert!(
            !body.contains("agent-chosen") && !body.contains("many-") && !body.contains("alias-1"),
            "{body}"
        );
    }
}

/// What is served once Envoy's counts are in: its workers hand them over every five seconds.
async fn settled(world: &World) -> (Exposition, Exposition) {
    tokio::time::sleep(Duration::from_secs(6)).await;
    (world.scrape("/metrics").await, world.scrape(ENVOY).await)
}
