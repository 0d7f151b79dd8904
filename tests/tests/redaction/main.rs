//! What is shown of a credential: nothing. Snapshots of every example say what a request leaves behind, and a canary
//! searches whatever the whole system puts out, after everything that an agent and a provider can do with all examples.

mod canary;
mod golden;
mod outputs;
mod requests;
mod secrets;
mod state;
mod system;

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use requests::{CASES, Case};

/// Gateways at a time: each takes seconds to start and stop, and needs little of the machine for it.
const AT_A_TIME: usize = 4;

/// How long something may take until it is seen, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Does this with every example, and gives what came of each, in their order.
async fn with_every_example<Done, Result>(done: fn(&'static Case) -> Done) -> Vec<Result>
where
    Done: Future<Output = Result> + Send + 'static,
    Result: Send + 'static,
{
    let mut results = Vec::new();
    for cases in CASES.chunks(AT_A_TIME) {
        let mut running = JoinSet::new();
        for (index, case) in cases.iter().enumerate() {
            running.spawn(async move { (index, done(case).await) });
        }
        let mut finished = running.join_all().await;
        finished.sort_by_key(|(index, _)| *index);
        results.extend(finished.into_iter().map(|(_, result)| result));
    }
    results
}

/// Waits until something is so. Panics with its name when it does not become so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
