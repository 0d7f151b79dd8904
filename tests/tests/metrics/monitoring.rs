//! The dashboard, the alert rules and the scrape configuration: valid, tested, and about metrics that there are.

use std::collections::BTreeSet;

use harness::artefacts::root;
use serde_json::Value;

use super::prometheus::{Prometheus, promtool};
use super::{GATEWAY, World};

fn file(name: &str) -> String {
    std::fs::read_to_string(root().join("monitoring").join(name)).unwrap()
}

/// The expressions of the dashboard, as Grafana sends them, each with its panel.
fn of_dashboard() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&file("dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().expect("a number")).collect();
    assert_eq!(ids.len(), panels.len(), "two panels have one number");
    let mut expressions = Vec::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().expect("a title");
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            let expression = target["expr"].as_str().expect("an expression");
            let sent = expression.replace("$__rate_interval", "1m").replace("$gateway", ".*");
            assert!(!sent.contains('$'), "{title}: an unknown variable in {expression}");
            expressions.push((title.to_owned(), sent));
        }
    }
    assert!(expressions.len() > 50, "{expressions:?}");
    expressions
}

/// The expressions of the alert rules, as Prometheus read them.
async fn of_alerts(prometheus: &Prometheus) -> Vec<(String, String)> {
    let groups = prometheus.ask("/api/v1/rules").await["groups"].clone();
    let groups = groups.as_array().unwrap().clone();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone());
    let text = |rule: &Value, field: &str| rule[field].as_str().unwrap().to_owned();
    rules.map(|rule| (text(&rule, "name"), text(&rule, "query"))).collect()
}

/// Whether what follows a word makes it a function or an aggregation.
fn is_function(follows: &str) -> bool {
    ["(", "by ", "by(", "without ", "without("].iter().any(|start| follows.starts_with(start))
}

/// The selectors of an expression: each a metric with its matchers, if it has any.
fn selectors(expression: &str) -> BTreeSet<String> {
    const WORDS: [&str; 12] = [
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "and",
        "or",
        "unless",
        "offset",
        "bool",
        "inf",
    ];
    let mut found = BTreeSet::new();
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_') {
        // What is part of a number, as the unit of a duration, is no name.
        let is_number = rest[..start].ends_with(|c: char| c.is_ascii_digit());
        rest = &rest[start..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        let follows = after.trim_start();
        if ["by", "without", "on", "ignoring", "group_left", "group_right"].contains(&word) {
            // Names of labels.
            rest = follows.split_once(')').map_or("", |(_, rest)| rest);
        } else if !is_number && !WORDS.contains(&word) && !is_function(follows) {
            let matchers = match follows.strip_prefix('{') {
                Some(inner) => {
                    let length = inner.find('}').expect("a closed selector");
                    rest = &inner[length + 1..];
                    format!("{{{}}}", &inner[..length])
                }
                None => String::new(),
            };
            found.insert(format!("{word}{matchers}"));
        }
    }
    found
}

#[test]
fn selectors_are_found_in_an_expression() {
    let expression = "histogram_quantile(0.9, sum by (le, x) (rate(a_bucket{b=\"c d\",e!~\"f|g\"}[15m]))) > 30 * 86400 \
                      unless on (i) h{j=\"k\"} == 0 or absent(up) - time()";
    let expected = ["a_bucket{b=\"c d\",e!~\"f|g\"}", "h{j=\"k\"}", "up"];
    assert_eq!(selectors(expression).iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn the_rules_and_the_scrape_configuration_are_valid_and_every_alert_has_a_test_that_it_passes() {
    for arguments in [
        &["check", "rules", "alerts.yml"][..],
        &["check", "config", "prometheus.yml"],
        &["test", "rules", "alerts_test.yml"],
    ] {
        promtool(arguments).unwrap_or_else(|said| panic!("promtool {arguments:?}:\n{said}"));
    }
    let (rules, tests) = (file("alerts.yml"), file("alerts_test.yml"));
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 15, "{alerts:?}");
    for alert in alerts {
        let fires = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"");
        assert!(tests.contains(&fires), "nothing tests that {alert} fires");
        assert!(tests.contains(&format!("  - name: {alert}")), "no test is named after {alert}");
    }
}

#[test]
fn a_rule_that_is_changed_fails_its_test() {
    let folder = tempfile::tempdir().unwrap();
    let broken = file("alerts.yml").replace("keyward_gateway_ready == 0", "keyward_gateway_ready == 2");
    std::fs::write(folder.path().join("alerts.yml"), broken).unwrap();
    let tests = folder.path().join("alerts_test.yml");
    std::fs::write(&tests, file("alerts_test.yml")).unwrap();
    let said = promtool(&["test", "rules", tests.to_str().unwrap()]).unwrap_err();
    assert!(said.contains("KeywardGatewayNotReady"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_panel_and_every_alert_asks_for_what_a_real_prometheus_has_of_a_real_gateway() {
    let world = World::start().await;
    world.traffic().await;
    let set = world.gateway.set_key(harness::scenario::KEY).await;
    assert!(set.status.success(), "{set:?}");
    let prometheus = Prometheus::start(world.address()).await;
    // Every series twice, so that it has a rate.
    prometheus.until("count_over_time(keyward_build_info[1m]) > 2").await;
    prometheus.until("count_over_time(envoy_server_live[1m]) > 2").await;

    let up = prometheus.query("up").await;
    let mut jobs: Vec<_> =
        up.iter().map(|series| (series["metric"]["job"].clone(), series["value"][1].clone())).collect();
    jobs.sort_by_key(|(job, _)| job.to_string());
    assert_eq!(jobs, [("keyward".into(), "1".into()), ("keyward-envoy".into(), "1".into())], "{up:?}");
    let gateway = format!("up{{job=\"keyward-envoy\",gateway=\"{GATEWAY}\"}} == 1");
    prometheus.until(&gateway).await;

    let (panels, alerts) = (of_dashboard(), of_alerts(&prometheus).await);
    assert!(alerts.len() >= 15, "{alerts:?}");
    let names = prometheus.names().await;
    for (title, expression) in panels.iter().chain(&alerts) {
        let selectors = selectors(expression);
        assert!(!selectors.is_empty(), "{title}: {expression}");
        for selector in selectors {
            let name = selector.split('{').next().unwrap();
            assert!(names.contains(name), "{title} asks for {name}, which nobody exposes");
            // Also its labels and their values are such that something is selected.
            assert!(!prometheus.query(&selector).await.is_empty(), "{title}: nothing is {selector}");
        }
    }
    for (title, expression) in &panels {
        assert!(!prometheus.query(expression).await.is_empty(), "{title} shows nothing: {expression}");
    }
    for (alert, expression) in &alerts {
        let firing = prometheus.query(expression).await;
        assert!(firing.is_empty(), "{alert} is about to fire where all is well: {firing:?}");
    }
    let groups = prometheus.ask("/api/v1/rules").await["groups"].clone();
    for rule in groups.as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        assert_eq!((&rule["health"], &rule["state"]), (&"ok".into(), &"inactive".into()), "{rule}");
    }
}
