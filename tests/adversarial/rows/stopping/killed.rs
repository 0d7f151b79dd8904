//! A8: processes are killed. Envoy does not outlive `keyward dev`; an Envoy that is killed is replaced.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::gateway::Gateway;
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{becomes, protected, request};
use crate::processes::signal;
use crate::row::{EVERY, ONCE, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::subject::{Subject, keyward};

pub(super) fn rows() -> Vec<Row> {
    let speaks = "speaks of keyward dev";
    vec![
        Row::new(
            "A8.killed",
            "keyward dev is killed: its Envoy ends, nothing listens any more",
            ONCE,
            killed,
        )
        .only_keyward(speaks),
        Row::new(
            "A8.busy",
            "keyward dev is killed under load and with open connections: they end, nothing is unprotected",
            ONCE,
            busy,
        )
        .only_keyward(speaks),
        Row::new("A8.still", "keyward dev is killed while it stands still", ONCE, still).only_keyward(speaks),
        Row::new(
            "A8.frozen",
            "keyward dev is killed while its Envoy stands still: it ends once it wakes",
            ONCE,
            frozen,
        )
        .only_keyward(speaks),
        Row::new(
            "A8.again",
            "after a kill it starts on the same state, with the same authority",
            ONCE,
            again,
        )
        .only_keyward(speaks),
        Row::new(
            "A8.envoy",
            "Envoy is killed: it is replaced, and nothing is unprotected meanwhile",
            EVERY,
            envoy,
        )
        .under(Scenario::default().fresh())
        .only_keyward(speaks),
    ]
}

/// Nothing is left of it, and nobody listens. Envoy may take a moment to notice.
async fn is_gone(stage: &Stage, mut gateway: Gateway, ports: [SocketAddr; 2]) {
    assert_eq!(gateway.ended().await, None);
    for port in ports {
        let begin = Instant::now();
        while TcpStream::connect(port).await.is_ok() {
            assert!(begin.elapsed() < Duration::from_secs(5), "something still listens at {port}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    protected(stage);
}

/// A gateway of the case's own, an agent's stage in front of it, and its ports, which serve.
async fn serving(stage: &Stage) -> (Gateway, Vec<harness::client::Agent>, [SocketAddr; 2]) {
    let gateway = keyward::start(&Scenario::default()).await;
    assert_eq!(gateway.envoys().len(), 1, "{:?}", gateway.processes());
    let agents: Vec<_> = gateway.every_way().into_iter().map(|(_, agent)| agent).collect();
    let port = gateway.ready().transparent.port();
    let ports = [gateway.ready().proxy, SocketAddr::from(([127, 0, 0, 1], port))];
    for agent in &agents {
        let reply = stage.send(&reachable(agent, port), &request()).await;
        assert_eq!(reply.status(), 200, "the control: {reply:?}");
    }
    (gateway, agents.iter().map(|agent| reachable(agent, port)).collect(), ports)
}

/// The agent, with an address that can be dialled where the gateway listens on every one.
fn reachable(agent: &harness::client::Agent, port: u16) -> harness::client::Agent {
    let mut agent = agent.clone();
    if let harness::client::Way::Direct(address) = &mut agent.way {
        *address = SocketAddr::from(([127, 0, 0, 1], port));
    }
    agent
}

async fn killed(stage: Stage) {
    let (gateway, _, ports) = serving(&stage).await;
    gateway.signal(Signal::KILL);
    is_gone(&stage, gateway, ports).await;
}

async fn busy(stage: Stage) {
    let (gateway, agents, ports) = serving(&stage).await;
    let mut asking = JoinSet::new();
    for agent in agents.clone() {
        let stage = stage.clone();
        asking.spawn(async move {
            let end = Instant::now() + Duration::from_secs(2);
            while Instant::now() < end {
                let reply = stage.send(&agent, &request()).await;
                assert!(reply.status() == 200 || reply.is_refusal(), "{reply:?}");
            }
        });
    }
    let mut open = stage.http1_over(agents[0].open().await.expect("a connection"));
    assert_eq!(open.ask(&request().to_http1()).await.map(|answer| answer.status), Ok(200));
    tokio::time::sleep(Duration::from_millis(200)).await;
    gateway.signal(Signal::KILL);
    is_gone(&stage, gateway, ports).await;
    let (_, ended) = open.rest(Duration::from_secs(5)).await;
    assert!(ended, "a connection outlives the gateway");
    while let Some(one) = asking.join_next().await {
        one.expect("served or refused");
    }
    protected(&stage);
}

async fn still(stage: Stage) {
    let (gateway, _, ports) = serving(&stage).await;
    gateway.signal(Signal::STOP);
    gateway.signal(Signal::KILL);
    is_gone(&stage, gateway, ports).await;
}

async fn frozen(stage: Stage) {
    let (gateway, _, ports) = serving(&stage).await;
    let envoy = gateway.envoys()[0];
    signal(envoy, Signal::STOP);
    gateway.signal(Signal::KILL);
    tokio::time::sleep(Duration::from_millis(200)).await;
    signal(envoy, Signal::CONT);
    is_gone(&stage, gateway, ports).await;
}

async fn again(stage: Stage) {
    let state = tempfile::tempdir().expect("a temporary directory");
    let start = || keyward::builder(&Scenario::default()).state(state.path()).start();
    let mut first = start().await;
    let authority = first.ca();
    first.signal(Signal::KILL);
    assert_eq!(first.ended().await, None);
    let second = start().await;
    assert_eq!(second.ca(), authority, "agents would have to trust another authority");
    let stage = Stage { subject: std::sync::Arc::new(Subject::keyward(second)), ..stage };
    stage.good().await;
}

async fn envoy(stage: Stage) {
    let gateway = stage.gateway();
    for sent in [Signal::KILL, Signal::SEGV, Signal::TERM] {
        let before = gateway.envoys();
        assert_eq!(before.len(), 1, "{before:?}");
        signal(before[0], sent);
        let begin = Instant::now();
        while gateway.envoys() == before || gateway.envoys().is_empty() {
            assert!(begin.elapsed() < super::PATIENCE, "Envoy is not replaced after {sent:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        becomes(&stage, 200).await;
    }
    assert_eq!(gateway.envoys().len(), 1);
    protected(&stage);
}
