//! What a request costs an Envoy: time on the CPU of the whole process over a counted load, pair by pair, with two
//! gateways that differ in one thing and run beside each other.

use std::time::Duration;

use harness::client::Http;

use super::gateway::Gateway;
use super::load::{Connection, request};
use super::{process, tenants};

/// Requests of one measurement.
const REQUESTS: u32 = 300;

/// Microseconds of Envoy for a request, pair by pair: this gateway's, and the other's.
pub(crate) async fn pairs(one: &Gateway, other: &Gateway, pairs: usize) -> (Vec<f64>, Vec<f64>) {
    let mut connections = [open(one).await, open(other).await];
    let mut costs = [Vec::new(), Vec::new()];
    for pair in 0..=pairs {
        for turn in 0..2 {
            let which = (pair + turn) % 2;
            let cost = cost([one, other][which].envoy(), &mut connections[which]).await;
            // The first pair warms up.
            if pair > 0 {
                costs[which].push(cost);
            }
        }
    }
    let [one, other] = costs;
    (one, other)
}

async fn open(gateway: &Gateway) -> Connection {
    Connection::open(&gateway.agent(Http::Two, 0)).await.expect("a connection")
}

async fn cost(envoy: i32, connection: &mut Connection) -> f64 {
    let request = request(&tenants::host(0));
    let before = process::cpu(envoy);
    for _ in 0..REQUESTS {
        let answer = connection.send(&request).await.expect("an answer");
        assert_eq!(answer.status, 200);
    }
    let spent: Duration = process::cpu(envoy) - before;
    spent.as_secs_f64() * 1e6 / f64::from(REQUESTS)
}
