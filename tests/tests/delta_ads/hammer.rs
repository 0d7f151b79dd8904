//! Requests without a pause while something changes; each has to be answered with 200.

use std::time::Duration;

use harness::client::{Agent, Failure, Http, Response};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::rig::{Rig, request};
use super::tee::PATIENCE;

/// A request of each agent begins this long after the one before, or when that is answered.
const PERIOD: Duration = Duration::from_millis(10);

/// Two agents at work: one with a fresh HTTP/1.1 connection for each request, one with HTTP/2 over one connection.
pub(super) struct Hammer {
    answered: watch::Sender<usize>,
    stop: watch::Sender<bool>,
    agents: Vec<JoinHandle<Vec<String>>>,
}

impl Hammer {
    /// Begins.
    pub(super) async fn start(rig: &Rig, host: &'static str) -> Hammer {
        let (answered, stop) = (watch::Sender::new(0), watch::Sender::new(false));
        let mut agents = Vec::new();
        for http in [Http::One, Http::Two] {
            let agent = rig.agent(http, host).await;
            agents.push(tokio::spawn(work(agent, host, answered.clone(), stop.subscribe())));
        }
        Hammer { answered, stop, agents }
    }

    /// Waits until so many more requests were answered.
    pub(super) async fn more(&self, count: usize) {
        let mut answered = self.answered.subscribe();
        let goal = *answered.borrow() + count;
        let reached = tokio::time::timeout(PATIENCE, answered.wait_for(|answered| *answered >= goal)).await;
        assert!(reached.is_ok(), "{count} requests were not answered in {PATIENCE:?}");
    }

    /// Ends. Panics when a request was not answered with 200.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        for agent in self.agents {
            let failures = agent.await.expect("no panic");
            assert!(failures.is_empty(), "{} requests failed, first: {}", failures.len(), failures[0]);
        }
    }
}

async fn work(
    agent: Agent,
    host: &str,
    answered: watch::Sender<usize>,
    stop: watch::Receiver<bool>,
) -> Vec<String> {
    let mut pace = tokio::time::interval(PERIOD);
    let mut failures = Vec::new();
    let mut kept = match agent.http {
        Http::One => None,
        Http::Two => Some(agent.open_http2().await.expect("a connection")),
    };
    while !*stop.borrow() {
        pace.tick().await;
        let answer = match &mut kept {
            Some(connection) => connection.send(&request(host)).await,
            None => agent.send(&request(host)).await,
        };
        failures.extend(failure(answer));
        answered.send_modify(|answered| *answered += 1);
    }
    failures
}

fn failure(answer: Result<Response, Failure>) -> Option<String> {
    match answer {
        Ok(answer) if answer.status == 200 => None,
        Ok(answer) => Some(format!("{} {}", answer.status, answer.reason())),
        Err(failure) => Some(format!("{failure:?}")),
    }
}
