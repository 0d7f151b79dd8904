//! The agent that must not notice: requests at a fixed rate over connections that are open, each timed from the moment
//! at which it was due, so that a stall is counted for every request that it delayed.

use std::time::Duration;

use harness::client::Http;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::contender::{Contender, HOST};
use crate::load::Connection;
use crate::stats::percentile;

/// Its open connections. Each has at most one request under way.
pub(super) struct Agent {
    connections: Vec<Connection>,
}

impl Agent {
    pub(super) async fn open(contender: &Contender, connections: usize) -> Agent {
        let agent = contender.agent(Http::Two, HOST);
        let mut opened = Vec::new();
        for _ in 0..connections {
            opened.push(Connection::open(&agent, HOST).await);
        }
        Agent { connections: opened }
    }

    /// The p99 of a window, milliseconds. Panics when a request is not answered with 200.
    pub(super) async fn p99(&mut self, rate: u32, window: Duration) -> f64 {
        let count = u32::try_from(self.connections.len()).expect("a handful");
        let period = Duration::from_secs(1) * count / rate;
        let begin = Instant::now();
        let mut running = JoinSet::new();
        for (connection, offset) in self.connections.drain(..).zip(0_u32..) {
            let first = begin + period * offset / count;
            running.spawn(paced(connection, first, period, begin + window));
        }
        let mut times = Vec::new();
        while let Some(done) = running.join_next().await {
            let (connection, more) = done.expect("every request is answered");
            self.connections.push(connection);
            times.extend(more);
        }
        percentile(&times, 0.99)
    }
}

/// Milliseconds from when each request was due until its answer was whole.
async fn paced(
    mut connection: Connection,
    first: Instant,
    period: Duration,
    end: Instant,
) -> (Connection, Vec<f64>) {
    tokio::time::sleep_until(first).await;
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut times = Vec::new();
    loop {
        let due = ticks.tick().await;
        if due >= end {
            return (connection, times);
        }
        connection.ask("").await;
        times.push(due.elapsed().as_secs_f64() * 1e3);
    }
}
