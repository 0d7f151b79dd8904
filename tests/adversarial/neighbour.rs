//! Another agent beside the attacker: asks well-behaved questions all the time, and every one must be answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    served: Arc<AtomicUsize>,
    asking: JoinHandle<Result<(), String>>,
    envoys: Vec<i32>,
}

/// What an attack may do to the upstream that both share.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Upstream {
    Goes,
    MayEndConnections,
}

/// How many requests must be served after the attack: one by each way, and one of which part was during it.
const AFTERWARDS: usize = WAYS.len() + 1;

impl Neighbour {
    /// Moves in, after one good request of its own.
    pub(crate) async fn start(stage: &Stage) -> Neighbour {
        Neighbour::move_in(stage, Upstream::Goes).await
    }

    /// The same where the attack is forwarded, and some of it is nothing that the upstream's HTTP/2 takes for long: agents share
    /// its connections, so when the upstream ends one, a neighbour's request under way may end with it.
    pub(crate) async fn start_beside_what_upstreams_refuse(stage: &Stage) -> Neighbour {
        Neighbour::move_in(stage, Upstream::MayEndConnections).await
    }

    async fn move_in(stage: &Stage, upstream: Upstream) -> Neighbour {
        let envoys = envoys(stage);
        let stage = Stage { seen: Transcript::default(), ..stage.clone() };
        ask(&stage, WAYS[0]).await.expect("a good request before the attack");
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let asking = tokio::spawn(go_on(stage, upstream, Arc::clone(&stop), Arc::clone(&served)));
        Neighbour { stop, served, asking, envoys }
    }

    /// Ends it. Every request must have been served, several of them after the attack, by the same Envoy throughout.
    pub(crate) async fn end(mut self, stage: &Stage) {
        let enough = self.served.load(Ordering::SeqCst) + AFTERWARDS;
        while self.served.load(Ordering::SeqCst) < enough && !self.asking.is_finished() {
            tokio::time::sleep(PAUSE).await;
        }
        self.stop.store(true, Ordering::SeqCst);
        let asked = (&mut self.asking).await.expect("no panic");
        asked.unwrap_or_else(|reason| panic!("another agent was not served: {reason}"));
        assert_eq!(envoys(stage), self.envoys, "Envoy was replaced");
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // A row that failed leaves nobody behind who would disturb the next one.
        self.asking.abort();
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

async fn go_on(
    stage: Stage,
    upstream: Upstream,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
) -> Result<(), String> {
    for (number, way) in WAYS.iter().cycle().enumerate() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        match ask(&stage, *way).await {
            Ok(()) => drop(served.fetch_add(1, Ordering::SeqCst)),
            Err(why) if upstream == Upstream::MayEndConnections && why.contains("\"upstream_refused\"") => {}
            Err(why) => return Err(format!("request {number}, {}: {why}", way.label())),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn ask(stage: &Stage, way: Variant) -> Result<(), String> {
    let stage = Stage { variant: way, ..stage.clone() };
    match stage.ask(&Request::messages().field(MARK, "1")).await {
        Reply::Answer(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    }
}
