//! `keyward dev` from start to end: ready when it says so, reloads on change, leaves nothing behind.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use harness::client::{Http, Request};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::{Authority, Provider};
use harness::scenario::{KEY, PLACEHOLDER, worked_example};
use harness::software;
use rustix::process::Signal;

#[tokio::test]
async fn what_it_says_is_ready_is_ready() {
    let (provider, gateway) = worked_example().await;
    assert_eq!(gateway.ready().key, "default/echo-bot");
    assert!(gateway.ca().contains("BEGIN CERTIFICATE") && !gateway.ca().contains("PRIVATE KEY"));
    for (way, agent) in gateway.every_way() {
        assert_eq!(
            agent.send(&Request::messages()).await.expect(&way).status,
            200,
            "{way}: the first request"
        );
    }
    assert_eq!(provider.take_requests().len(), 4);
}

#[tokio::test]
async fn every_line_with_json_is_json_and_each_request_has_one() {
    let (_provider, gateway) = worked_example().await;
    gateway
        .agent(Http::Two, HOST)
        .send(&Request::messages().path("/v1/messages?secret-looking=1"))
        .await
        .unwrap();
    let line = gateway.wait_for_line(&["\"event\":\"access\"", "api.anthropic.com"]).await;
    assert!(line.contains("200") && line.contains("injected"), "{line}");
    for line in gateway.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "not JSON: {line}");
    }
}

#[tokio::test]
async fn the_conditions_of_every_object_are_printed() {
    let (_provider, gateway) = worked_example().await;
    for words in [
        ["EgressGateway", "Accepted", "True"],
        ["AIProviderRoute", "Accepted", "True"],
        ["CredentialInjectionPolicy", "ResolvedRefs", "True"],
        ["EgressGateway", "PartiallySupported", "otlp"],
    ] {
        gateway.wait_for_line(&words).await;
    }
}

#[tokio::test]
async fn interrupt_and_terminate_leave_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM] {
        let (_provider, mut gateway) = worked_example().await;
        gateway.signal(signal);
        let started = Instant::now();
        gateway.ended().await;
        assert!(started.elapsed() < Duration::from_secs(5), "{signal:?} took {:?}", started.elapsed());
        assert_ports_closed(&gateway, signal, Duration::ZERO).await;
        let left: Vec<_> = files_under(gateway.state()).into_iter().filter(|path| is_socket(path)).collect();
        assert!(left.is_empty(), "{signal:?} left {left:?}");
    }
}

#[tokio::test]
async fn a_kill_leaves_no_process_and_no_listening_port_behind() {
    let (_provider, mut gateway) = worked_example().await;
    gateway.signal(Signal::KILL);
    assert_eq!(gateway.ended().await, None);
    // The kernel tells Envoy that its parent is gone, and Envoy ends as on any SIGTERM.
    assert_ports_closed(&gateway, Signal::KILL, Duration::from_secs(2)).await;
}

#[tokio::test]
async fn a_kill_in_the_first_moment_of_an_envoy_leaves_none_behind() {
    let provider = Provider::accepting(KEY).await.unwrap();
    for _ in 0..10 {
        let mut gateway = Gateway::builder(Manifests::example(&provider)).key(KEY).spawn().await;
        let end = Instant::now() + Duration::from_secs(30);
        // Its child appears before it is Envoy.
        while gateway.processes().len() < 2 {
            assert!(Instant::now() < end, "no child: {:?}", gateway.errors());
            tokio::task::yield_now().await;
        }
        gateway.signal(Signal::KILL);
        assert_eq!(gateway.ended().await, None);
    }
}

#[tokio::test]
async fn neither_keyward_nor_envoy_leaves_a_core_dump() {
    let (_provider, gateway) = worked_example().await;
    let processes = gateway.processes();
    assert_eq!(processes.len(), 2, "{processes:?}");
    for (number, command) in processes {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{number}/{file}")).unwrap();
        let limits = read("limits");
        let limit = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(limit.split_whitespace().skip(4).collect::<Vec<_>>(), ["0", "0", "bytes"], "{command}");
        assert_eq!(read("coredump_filter").trim(), "00000000", "{command}");
    }
}

/// Nothing listens any more, at once or, where Envoy has to notice by itself, within a moment.
async fn assert_ports_closed(gateway: &Gateway, signal: Signal, within: Duration) {
    let (ready, started) = (gateway.ready(), Instant::now());
    for address in [ready.proxy, ready.transparent] {
        while TcpStream::connect(address).is_ok() {
            assert!(started.elapsed() < within, "{signal:?}: {address} still listens after {within:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn files_under(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] }).collect()
}

fn is_socket(path: &std::path::Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

#[tokio::test]
async fn a_run_after_a_kill_starts_on_the_same_state_with_the_same_authority() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let start = || Gateway::builder(Manifests::example(&provider)).key(KEY).state(state.path()).start();
    let mut first = start().await;
    let authority = first.ca();
    first.signal(Signal::KILL);
    first.ended().await;
    let second = start().await;
    assert_eq!(second.ca(), authority, "agents would have to trust another CA");
    assert_eq!(second.agent(Http::One, HOST).send(&Request::messages()).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_changed_manifest_is_served_without_a_restart() {
    let (provider, gateway) = worked_example().await;
    let before = gateway.processes();
    let agent = gateway.agent(Http::Two, HOST);
    let request = || Request::messages().path("/v1/messages/count_tokens").header("x-api-key", PLACEHOLDER);
    agent.send(&request()).await.unwrap();
    assert!(provider.only_request().values("x-api-key").is_empty());

    let text = std::fs::read_to_string(gateway.manifests().join("example.yaml")).unwrap();
    gateway.write_manifest("example.yaml", &text.replace("/v1/complete]", "/v1/complete, /v1/messages/*]"));
    let end = Instant::now() + Duration::from_secs(2);
    loop {
        agent.send(&request()).await.unwrap();
        if provider.only_request().values("x-api-key") == [KEY] {
            break;
        }
        assert!(Instant::now() < end, "the change is not served");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(gateway.processes(), before);
}

#[tokio::test]
async fn a_gateway_that_is_refused_after_a_change_serves_on_and_still_rotates() {
    let (provider, gateway) = worked_example().await;
    let before = gateway.processes();
    let text = std::fs::read_to_string(gateway.manifests().join("example.yaml")).unwrap();
    gateway.write_manifest(
        "example.yaml",
        &text.replace("  defaultPolicy:", "  requestTimeout: soon\n  defaultPolicy:"),
    );
    gateway.wait_for_line(&["EgressGateway", "requestTimeout", "False"]).await;
    let agent = gateway.agent(Http::Two, HOST);
    assert_eq!(agent.send(&Request::messages()).await.unwrap().status, 200);
    provider.behave(|behaviour| behaviour.key = Some("sk-ant-second-0123456789".into()));
    let set = gateway.set_key("sk-ant-second-0123456789").await;
    assert!(set.status.success(), "{set:?}");
    assert_eq!(agent.send(&Request::messages()).await.unwrap().status, 200);
    assert_eq!(gateway.processes(), before);
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_authority_makes_it_say_so_with_the_remedy() {
    let (_provider, gateway) = worked_example().await;
    let mut agent = gateway.agent(Http::One, HOST);
    agent.handshake.ca = Authority::new("a stranger").pem().to_owned();
    agent.send(&Request::messages()).await.unwrap_err();
    let ca = gateway.ready().ca.display().to_string();
    gateway.wait_for_line(&["api.anthropic.com", &ca]).await;
}

#[tokio::test]
async fn each_client_that_does_not_trust_the_authority_makes_it_say_so() {
    for client in software::ALL {
        let (provider, gateway) = worked_example().await;
        let failed = client.start_with("plain", &provider.ca_file(), gateway.ready().proxy).failure().await;
        let line =
            gateway.wait_for_line(&["api.anthropic.com", "does not trust", "NODE_EXTRA_CA_CERTS"]).await;
        assert!(!failed.is_empty(), "{}: {line}", client.name);
        assert!(provider.requests().is_empty(), "{}", client.name);
    }
}
