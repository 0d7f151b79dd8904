//! What is missing after a VM was killed: requests of its worker that no span tells of.

use std::time::Duration;

use harness::artefacts;
use harness::client::{Http, Http2, Request};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{SETTLE, WORKERS};
use crate::contender::{self, HOST, Kind, Parts};
use crate::report::{Limit, Report};
use crate::upstream::Upstream;

/// The longest gap, in seconds of one worker's requests.
const GATE: f64 = 1.0;
const KILLS: u32 = 20;
/// Requests on each side of a kill.
const REQUESTS: u32 = 300;
/// How many more there are before each kill than before the last: batches are sent every 500 ms, and each kill is to come at
/// another time after one.
const SHIFT: u32 = 5;
/// Between two requests. One connection sends them, so they are one worker's.
const PERIOD: Duration = Duration::from_millis(5);

/// Seconds of requests around one kill.
#[derive(Default)]
struct Gap {
    /// Of those that were answered, and that no span tells of.
    untold: f64,
    /// Of those that were refused, since there was no VM: the access log has them, without a record.
    refused: f64,
}

/// Kills a VM again and again, and adds to the report what was missing each time. Panics when it cannot be measured.
pub(super) async fn add(report: &mut Report, parts: &Parts, upstream: &Upstream) {
    let trapping = tokio::task::spawn_blocking(artefacts::trapping_module).await.expect("a module");
    let parts = Parts { module: Some(trapping.to_owned()), ..parts.clone() };
    let mut contender = contender::start(&[Kind::Telling], &parts, WORKERS, upstream).await.remove(0);
    let collector = contender.told.take().expect("who is told").into_collector().await;
    let mut connection = contender.agent(Http::Two, HOST).open_http2().await.expect("a connection");
    let mut gaps = Vec::new();
    for kill in 0..KILLS {
        sleep(SETTLE).await;
        let before = collector.received();
        let mut answers = ask(&mut connection, REQUESTS + kill * SHIFT).await;
        let trap = Request::messages().header("x-keyward-trap", "1");
        answers.push(connection.send(&trap).await.expect("an answer").status);
        answers.extend(ask(&mut connection, REQUESTS).await);
        sleep(SETTLE).await;
        let told = collector.received() - before;
        let answered = answers.iter().filter(|status| **status == 200).count();
        gaps.push(Gap {
            untold: seconds(answered as u64 - told),
            refused: seconds((answers.len() - answered) as u64),
        });
    }
    let longest = |of: fn(&Gap) -> f64| gaps.iter().map(of).fold(0.0, f64::max);
    let (untold, refused) = (longest(|gap| gap.untold), longest(|gap| gap.refused));
    report.notes.push(format!(
        "{KILLS} times a VM was killed: at most {untold:.2} s of its worker's requests have no span, and {refused:.2} s \
         were refused"
    ));
    let what = "seconds of a worker's requests that a killed VM did not tell of".to_owned();
    report.limits.push(Limit { what, value: untold, at_most: GATE });
    report.data["untold after a kill, s"] = gaps.iter().map(|gap| gap.untold).collect();
    report.data["refused after a kill, s"] = gaps.iter().map(|gap| gap.refused).collect();
}

/// What so many requests are answered, one after the other.
async fn ask(connection: &mut Http2, requests: u32) -> Vec<u16> {
    let (mut answers, mut ticks) = (Vec::new(), interval(PERIOD));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..requests {
        ticks.tick().await;
        answers.push(connection.send(&Request::messages()).await.expect("an answer").status);
    }
    answers
}

#[expect(clippy::cast_precision_loss, reason = "a count of requests")]
fn seconds(requests: u64) -> f64 {
    requests as f64 * PERIOD.as_secs_f64()
}
