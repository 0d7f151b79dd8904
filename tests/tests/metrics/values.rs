//! What happens is what the metrics say, and never a key.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::artefacts;
use harness::client::{Http, Request};
use harness::gateway::{Builder, Gateway, HOST, Manifests};
use harness::google::Key;
use harness::scenario::{KEY, worked_example};
use harness::search::{found, spellings};
use rustix::process::{Pid, Signal, kill_process};

use super::scrape::get;
use super::{ENVOY, OTHER_KEY, World, other};

/// A series of the only gateway.
fn of_gateway(name: &str) -> String {
    format!("{name}{{gateway=\"default/echo-bot\"}}")
}

fn condition(kind: &str, of: &str, status: &str) -> String {
    format!("keyward_object_conditions{{kind=\"{kind}\",type=\"{of}\",status=\"{status}\"}}")
}

#[tokio::test]
async fn without_the_flag_nothing_is_served_and_with_an_address_that_is_taken_nothing_starts() {
    let (_provider, gateway) = worked_example().await;
    assert!(gateway.events("ready")[0].get("metrics").is_none());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let builder = Gateway::builder(Manifests::worked_example());
    let mut refused = builder.key(KEY).arguments(&["--metrics-listen", &address]).spawn().await;
    assert_eq!(refused.ended().await, Some(1));
    let said = refused.errors().join("\n");
    assert!(said.contains(&format!("--metrics-listen {address}")) && said.contains("port 0"), "{said}");
}

#[tokio::test]
async fn objects_and_their_conditions_are_counted_as_they_come_go_and_go_bad() {
    let world = World::start().await;
    let scraped = world.scrape("/metrics").await;
    for (kind, count) in
        [("EgressGateway", 1.0), ("AIProviderRoute", 3.0), ("Secret", 4.0), ("MCPRoute", 0.0)]
    {
        assert_eq!(scraped.value(&format!("keyward_objects{{kind=\"{kind}\"}}")), count, "{kind}");
    }
    let (good, bad) = (
        condition("CredentialInjectionPolicy", "ResolvedRefs", "True"),
        condition("CredentialInjectionPolicy", "ResolvedRefs", "False"),
    );
    assert_eq!((scraped.value(&good), scraped.value(&bad)), (3.0, 0.0));
    assert_eq!(scraped.value("keyward_manifest_problems"), 0.0);

    let nowhere = other(OTHER_KEY).replace("secretRef: {name: other}", "secretRef: {name: nowhere}");
    world.gateway.write_manifest("other.yaml", &nowhere);
    world.until(&bad, |count| count == 1.0).await;
    world.until(&good, |count| count == 2.0).await;
    world.gateway.write_manifest("other.yaml", "kind: [");
    world.until("keyward_manifest_problems", |count| count >= 1.0).await;
    world.gateway.remove_manifest("other.yaml");
    world.until("keyward_manifest_problems", |count| count == 0.0).await;
    world.until(&bad, |count| count == 0.0).await;
    world.until("keyward_objects{kind=\"AIProviderRoute\"}", |count| count == 2.0).await;
}

#[tokio::test]
async fn a_changed_secret_is_a_push_that_is_acknowledged_and_its_time_is_counted_once() {
    let world = World::start().await;
    let before = world.scrape("/metrics").await;
    let (count, sum) = ("keyward_secret_propagation_seconds_count", "keyward_secret_propagation_seconds_sum");
    assert_eq!(before.value(count), 0.0, "the first configuration is no changed Secret");
    let pushes = "keyward_xds_pushes_total{gateway=\"default/echo-bot\",type=\"ecds\"}";
    let set = world.gateway.set_key("sk-ant-second-0123456789").await;
    assert!(set.status.success(), "{set:?}");
    world.until(count, |count| count == 1.0).await;
    let after = world.scrape("/metrics").await;
    assert_eq!(after.value(pushes), before.value(pushes) + 1.0, "one bucket");
    assert!(after.value(sum) > 0.0 && after.value(sum) < 10.0, "{}", after.value(sum));
    assert_eq!(after.value(&of_gateway("keyward_xds_settled_envoys")), 1.0);
    let changed = of_gateway("keyward_xds_last_change_timestamp_seconds");
    assert!(after.value(&changed) >= before.value(&changed));
    let (oldest, latest) =
        ("keyward_secret_oldest_change_timestamp_seconds", "keyward_secret_latest_change_timestamp_seconds");
    assert_eq!(after.value(oldest), before.value(oldest), "the other Secrets are as they were");
    assert!(before.value(latest) >= before.value(oldest) && after.value(latest) >= before.value(latest));

    world.gateway.write_manifest("other.yaml", &other("another-key-0123456789"));
    world.until(count, |count| count == 2.0).await;
    // The same value again, and a change that is none of a Secret's.
    let set = world.gateway.set_key("sk-ant-second-0123456789").await;
    assert!(set.status.success(), "{set:?}");
    let text = std::fs::read_to_string(world.gateway.manifests().join("example.yaml")).unwrap();
    world.gateway.write_manifest("example.yaml", &text.replace("/v1/complete]", "/v1/complete, /v1/more]"));
    world.until(pushes, |count| count > after.value(pushes) + 1.0).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(world.scrape("/metrics").await.value(count), 2.0);
}

#[tokio::test]
async fn a_refused_configuration_is_counted_shows_until_the_next_one_and_is_one_waiting_change() {
    let world = World::start().await;
    let (nacks, refused, settled) = (
        "keyward_xds_nacks_total{gateway=\"default/echo-bot\",type=\"ecds\"}",
        of_gateway("keyward_xds_refused_resources"),
        of_gateway("keyward_xds_settled_envoys"),
    );
    let module = loaded_module(&world);
    let aside = module.with_extension("aside");
    std::fs::rename(&module, &aside).unwrap();
    let set = world.gateway.set_key("sk-ant-second-0123456789").await;
    assert_eq!(set.status.code(), Some(1), "{set:?}");
    world.until(nacks, |count| count >= 1.0).await;
    world.until(&refused, |count| count == 1.0).await;
    world.until(&settled, |count| count == 0.0).await;
    world.until(&of_gateway("keyward_gateway_ready"), |ready| ready == 0.0).await;
    world.until(&condition("EgressGateway", "Programmed", "False"), |count| count == 1.0).await;
    let scraped = world.scrape("/metrics").await;
    assert_eq!(scraped.value("keyward_secret_propagation_seconds_count"), 0.0);
    std::fs::rename(&aside, &module).unwrap();
    let set = world.gateway.set_key("sk-ant-third-0123456789").await;
    assert_eq!(set.status.code(), Some(0), "{set:?}");
    for (series, value) in [(&refused, 0.0), (&settled, 1.0), (&of_gateway("keyward_gateway_ready"), 1.0)] {
        world.until(series, |now| now == value).await;
    }
    world.until("keyward_secret_propagation_seconds_count", |count| count == 1.0).await;
}

/// The copy of the module in the state directory, which Envoy loads.
fn loaded_module(world: &World) -> PathBuf {
    let mut files = std::fs::read_dir(world.gateway.state()).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|kind| kind == "wasm")).expect("a module")
}

#[tokio::test]
async fn an_envoy_that_is_killed_is_missed_until_another_one_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (envoy, aside) = (folder.path().join("envoy"), folder.path().join("aside"));
    std::fs::hard_link(artefacts::envoy().canonicalize().unwrap(), &envoy)
        .or_else(|_| std::fs::copy(artefacts::envoy(), &envoy).map(drop))
        .unwrap();
    let world = World::adjusted(|builder| builder.envoy(&envoy)).await;
    let connected = of_gateway("keyward_xds_connected_envoys");
    world.until(&connected, |count| count == 1.0).await;
    std::fs::rename(&envoy, &aside).unwrap();
    kill_process(Pid::from_raw(world.gateway.envoys()[0]).unwrap(), Signal::KILL).unwrap();
    world.until(&connected, |count| count == 0.0).await;
    world.until(&of_gateway("keyward_gateway_ready"), |ready| ready == 0.0).await;
    world.until(&of_gateway("keyward_envoy_restarts_total"), |count| count >= 1.0).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let gone = get(world.address(), ENVOY).await;
    assert_eq!(gone.status, 503, "{}", gone.body);
    std::fs::rename(&aside, &envoy).unwrap();
    world.until(&connected, |count| count == 1.0).await;
    world.until(&of_gateway("keyward_gateway_ready"), |ready| ready == 1.0).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(world.scrape(ENVOY).await.value("envoy_server_live"), 1.0);
}

#[tokio::test]
async fn a_filter_that_traps_and_is_started_anew_is_counted() {
    let trapping = tokio::task::spawn_blocking(artefacts::trapping_module).await.unwrap();
    let world = World::adjusted(|builder| builder.module(trapping)).await;
    let reloads = "keyward_filter_vm_reloads_total{result=\"success\"}";
    assert_eq!(world.scrape(ENVOY).await.value(reloads), 0.0);
    let agent = world.gateway.agent(Http::Two, HOST);
    let trapped = agent.send(&Request::messages().header("x-keyward-trap", "1")).await.unwrap();
    assert_eq!(trapped.status, 503);
    let end = Instant::now() + super::PATIENCE;
    while world.scrape(ENVOY).await.value(reloads) < 1.0 {
        assert!(Instant::now() < end, "no filter was started anew");
        // It is, when a request wants it.
        let _ = agent.send(&Request::messages()).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn leaves_tokens_and_requests_are_counted() {
    let world = World::start().await;
    let leaves = |result: &str| {
        format!("keyward_leaf_requests_total{{gateway=\"default/echo-bot\",result=\"{result}\"}}")
    };
    let before = world.scrape("/metrics").await;
    assert_eq!(before.value("keyward_tokens{state=\"valid\"}"), 1.0);
    assert_eq!(before.value("keyward_token_mints_total{result=\"success\"}"), 1.0);
    let now = time::OffsetDateTime::now_utc().unix_timestamp() as f64;
    let ends = before.value("keyward_token_expiry_timestamp_seconds");
    assert!(ends > now && ends < now + 86_400.0, "{ends}");
    let minted = before.value("keyward_token_oldest_mint_timestamp_seconds");
    assert!(minted <= now && minted > now - 600.0, "{minted}");
    let ends = before.value(&of_gateway("keyward_ca_expiry_timestamp_seconds"));
    assert!(ends > now + 3_600.0 * 86_400.0, "{ends}");
    // They are made ahead, within a second.
    world.until(&of_gateway("keyward_leaves"), |count| count == 3.0).await;
    world.traffic().await;
    world.until(&leaves("cached"), |count| count == 1.0).await;
    let after = world.scrape("/metrics").await;
    let ends = after.value(&of_gateway("keyward_leaf_expiry_timestamp_seconds"));
    assert!(ends > now + 20.0 * 3600.0 && ends <= now + 24.0 * 3600.0, "{ends}");
    // A name that no route has.
    let stranger = "stranger.example";
    let _ = world.gateway.agent(Http::One, stranger).send(&Request::messages()).await;
    world.until(&leaves("minted"), |count| count == 1.0).await;
    world.until(&of_gateway("keyward_leaves_minted_total"), |count| count == 4.0).await;
    // Envoy's workers hand their counts over every five seconds.
    let requests = "envoy_http_downstream_rq_xx{envoy_response_code_class=\"2\",envoy_http_conn_manager_prefix=\"mitm\"}";
    let end = Instant::now() + super::PATIENCE;
    while world.scrape(ENVOY).await.find(requests) != Some(3.0) {
        assert!(Instant::now() < end, "no three requests");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_gateway_that_is_removed_has_no_series_and_no_target_any_more() {
    let second = |builder: Builder| builder.gateways(&["default/echo-bot"]);
    let world = World::adjusted(second).await;
    let targets = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let answer = get(world.address(), "/targets").await;
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    let expected = serde_json::json!([{
        "targets": [world.address().to_string()],
        "labels": {"__metrics_path__": ENVOY, "gateway": "default/echo-bot"},
    }]);
    assert_eq!(targets(&answer.body), expected);
    let text = std::fs::read_to_string(world.gateway.manifests().join("example.yaml")).unwrap();
    world.gateway.write_manifest("example.yaml", &text.replace("name: echo-bot", "name: other-bot"));
    let end = Instant::now() + super::PATIENCE;
    while get(world.address(), ENVOY).await.status != 404 {
        assert!(Instant::now() < end, "the gateway is still there");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let scraped = world.scrape("/metrics").await;
    assert_eq!(scraped.find(&of_gateway("keyward_gateway_ready")), None);
}

#[tokio::test]
async fn no_key_stands_in_anything_that_is_served() {
    let world = World::start().await;
    let second = "sk-ant-second-0123456789";
    world.traffic().await;
    assert!(world.gateway.set_key(second).await.status.success());
    let mut needles: Vec<String> = [KEY, OTHER_KEY, second].into_iter().flat_map(spellings).collect();
    needles.extend(world.endpoint.tokens());
    needles.extend(Key::One.lines().into_iter().filter(|line| line.len() > 30).map(str::to_owned));
    assert!(world.endpoint.tokens().len() == 1 && needles.len() > 30, "{}", needles.len());
    let mut served = 0;
    for path in ["/metrics", "/targets", ENVOY, "/nothing"] {
        let answer = get(world.address(), path).await;
        served += answer.body.len();
        let whole = format!("{}{}", answer.head, answer.body);
        assert_eq!(found(whole.as_bytes(), &needles), Vec::<String>::new(), "{path}");
    }
    assert!(served > 10_000, "{served}");
    assert!(!world.provider.requests().is_empty());
}
