//! Another agent beside the attacker: asks well-behaved questions all the time, and every one must be answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use harness::client::Http;
use tokio::task::JoinHandle;

use crate::row::{Port, Variant};
use crate::stage::Stage;
use crate::wire::{Reply, Request, Transcript};

/// From the end of one request to the start of the next.
const PAUSE: Duration = Duration::from_millis(30);

/// The header that tells a neighbour's requests from an attacker's.
const MARK: &str = "x-neighbour";

/// The ways by which it comes, in turn.
const WAYS: [Variant; 4] = [
    Variant::On(Http::One, Port::Proxy),
    Variant::On(Http::Two, Port::Transparent),
    Variant::On(Http::Two, Port::Proxy),
    Variant::On(Http::One, Port::Transparent),
];

/// The other agent. It must be ended by [`Neighbour::end`], which says whether all went well.
pub(crate) struct Neighbour {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Result<usize, String>>,
    envoys: Vec<i32>,
}

impl Neighbour {
    /// Moves in, after one good request of its own.
    pub(crate) async fn start(stage: &Stage) -> Neighbour {
        let envoys = envoys(stage);
        let stage = Stage { seen: Transcript::default(), ..stage.clone() };
        ask(&stage, WAYS[0]).await.expect("a good request before the attack");
        let stop = Arc::new(AtomicBool::new(false));
        let asking = tokio::spawn(go_on(stage, Arc::clone(&stop)));
        Neighbour { stop, asking, envoys }
    }

    /// Ends it. Every request must have been served, some of them after the attack, by the same Envoy throughout.
    pub(crate) async fn end(self, stage: &Stage) -> usize {
        tokio::time::sleep(PAUSE * 4).await;
        self.stop.store(true, Ordering::SeqCst);
        let served = self.asking.await.expect("no panic");
        let served = served.unwrap_or_else(|reason| panic!("another agent was not served: {reason}"));
        assert!(served > 2, "another agent made {served} requests only");
        assert_eq!(envoys(stage), self.envoys, "Envoy was replaced");
        served
    }
}

/// Requests that reached the credentialed provider and are no neighbour's.
pub(crate) fn others(stage: &Stage) -> Vec<harness::provider::Received> {
    let requests = stage.world.anthropic.provider.requests();
    requests.into_iter().filter(|request| request.values(MARK).is_empty()).collect()
}

/// The processes of Keyward's Envoy; none where something else is attacked.
pub(crate) fn envoys(stage: &Stage) -> Vec<i32> {
    stage.subject.gateway.as_ref().map(|gateway| gateway.envoys()).unwrap_or_default()
}

async fn go_on(stage: Stage, stop: Arc<AtomicBool>) -> Result<usize, String> {
    let mut served = 0;
    while !stop.load(Ordering::SeqCst) {
        let way = WAYS[served % WAYS.len()];
        ask(&stage, way).await.map_err(|why| format!("request {served}, {}: {why}", way.label()))?;
        served += 1;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(served)
}

async fn ask(stage: &Stage, way: Variant) -> Result<(), String> {
    let stage = Stage { variant: way, ..stage.clone() };
    match stage.ask(&Request::messages().field(MARK, "1")).await {
        Reply::Answer(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    }
}
