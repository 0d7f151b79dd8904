//! F3: the controller stands still, is slow, or is not there when Envoy starts.

use std::time::{Duration, Instant};

use harness::admin;
use harness::gateway::Gateway;
use harness::process::Process;
use rustix::process::Signal;

use super::{OWN_FILE, assert_protected, becomes, own_secret, request};
use crate::neighbour::Neighbour;
use crate::processes::{admin_socket, kill};
use crate::row::{EVERY, ONCE, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;

pub(super) fn rows() -> Vec<Row> {
    let speaks = "speaks of Keyward's controller";
    vec![
        Row::new(
            "F3.stopped",
            "the controller stands still: the last good configuration serves, new names are refused",
            EVERY,
            stopped,
        )
        .under(own_secret())
        .only_keyward(speaks),
        Row::new(
            "F3.slow",
            "the controller is slow while manifests change: every request is served",
            ONCE,
            slow,
        )
        .under(Scenario::default().fresh())
        .only_keyward(speaks),
        Row::new("F3.fresh", "an Envoy that starts without a controller refuses", ONCE, fresh)
            .under(Scenario::default().fresh())
            .only_keyward(speaks),
    ]
}

/// A controller that stands still for as long as this lives.
pub(super) struct Still<'a>(&'a Gateway);

impl Still<'_> {
    pub(super) fn stand(gateway: &Gateway) -> Still<'_> {
        gateway.signal(Signal::STOP);
        Still(gateway)
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}

async fn stopped(stage: Stage) {
    let gateway = stage.gateway();
    let still = Still::stand(gateway);
    gateway.remove_manifest(OWN_FILE);
    for _ in 0..3 {
        stage.good().await;
    }
    // A name without a leaf, that a running controller would mint one for.
    let name = "never-asked-for.example";
    stage.world.zone.set(name, &[crate::world::ip(3)]);
    let agent = stage.agent_for(name);
    let asked =
        tokio::time::timeout(Duration::from_secs(3), stage.send(&agent, &request().authority(name))).await;
    assert!(asked.is_err() || asked.is_ok_and(|reply| reply.is_refusal()), "a new name was served");
    stage.good().await;
    stage.nothing_upstream().await;
    drop(still);
    // Awake, it sees what was withdrawn meanwhile.
    becomes(&stage, 503).await;
}

async fn slow(stage: Stage) {
    let gateway = stage.gateway();
    let neighbour = Neighbour::start(&stage).await;
    let example = std::fs::read_to_string(gateway.manifests().join("example.yaml")).expect("the example");
    for round in 0..20 {
        let still = Still::stand(gateway);
        let more = format!("/v1/complete, /v1/round-{round}]");
        gateway.write_manifest("example.yaml", &example.replace("/v1/complete]", &more));
        tokio::time::sleep(Duration::from_millis(60)).await;
        drop(still);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    neighbour.end(&stage).await;
    assert_protected(&stage);
    // What was written last is what serves.
    let begin = Instant::now();
    loop {
        stage.world.anthropic.forget();
        stage.ask(&request().path("/v1/round-19")).await;
        if stage.world.anthropic.only_request().values("x-api-key") == [harness::scenario::KEY] {
            return;
        }
        assert!(begin.elapsed() < super::PATIENCE, "the last change is not served");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// The command of a running process, to be run again with the same environment.
fn again(number: i32) -> std::process::Command {
    let read = |file: &str| std::fs::read(format!("/proc/{number}/{file}")).expect("a running process");
    let words = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).expect("UTF-8");
        text.split_terminator('\0').map(str::to_owned).collect::<Vec<_>>()
    };
    let line = words(read("cmdline"));
    let mut command = std::process::Command::new(&line[0]);
    command.args(&line[1..]).env_clear();
    command.envs(words(read("environ")).iter().filter_map(|pair| pair.split_once('=')));
    command
}

async fn fresh(stage: Stage) {
    let gateway = stage.gateway();
    let envoy = *gateway.envoys().first().expect("an Envoy");
    let command = again(envoy);
    let socket = admin_socket(gateway.state());
    let still = Still::stand(gateway);
    kill(envoy);
    let _ = std::fs::remove_file(&socket);
    let mut orphan = Process::spawn(command);
    let begin = Instant::now();
    let mut answered = 0;
    while begin.elapsed() < Duration::from_secs(3) {
        assert!(!orphan.is_over(), "the fresh Envoy ended: {:?}", orphan.errors());
        answered += usize::from(admin::ask(&socket, "/ready").is_ok());
        let reply = stage.ask(&request()).await;
        assert!(reply.is_refusal(), "an Envoy without a configuration serves: {reply:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(answered > 0, "the fresh Envoy never came up: {:?}", orphan.errors());
    stage.nothing_upstream().await;
    orphan.signal(Signal::KILL);
    orphan.stop();
    drop(still);
    becomes(&stage, 200).await;
    assert_protected(&stage);
}
