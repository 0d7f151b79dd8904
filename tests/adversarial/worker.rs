//! A worker: sits in namespaces of its own, takes one job at a time, says what came of it.
//!
//! Jobs come as lines of JSON on standard input, verdicts go as lines of JSON to standard output. When the input ends
//! it stops whatever it started and ends too, so that nothing outlives whoever started it.

use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::arguments::Arguments;
use crate::row::{COLUMNS, Row};
use crate::rows;
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::subject::{Subject, Target};
use crate::wire::Transcript;
use crate::world::World;

/// How long one case may take, whatever it waits for.
const LIMIT: Duration = Duration::from_secs(120);

/// How many proxies stay ready for other rows.
const KEPT: usize = 2;

/// One case to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The row's id.
    pub(crate) row: String,
    /// The place of the variant among [`COLUMNS`].
    pub(crate) variant: usize,
    pub(crate) target: Target,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Verdict {
    Passed,
    Failed(String),
    /// The worker itself cannot go on; why.
    Broken(String),
}

/// A verdict and how long it took, seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) seconds: f64,
}

type Kept = Vec<((Target, Scenario), Arc<Subject>)>;

/// Serves until standard input ends.
pub(crate) fn serve(arguments: &Arguments) -> ExitCode {
    note_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(arguments)),
        Err(error) => say(&Outcome { verdict: Verdict::Broken(error.to_string()), seconds: 0.0 }),
    }
    ExitCode::SUCCESS
}

async fn run(arguments: &Arguments) {
    // Signals for the whole group reach a worker as well. It ends by its input alone, so that it can clean up.
    let heard = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    if heard.iter().any(Result::is_err) {
        return say(&Outcome { verdict: Verdict::Broken("signals cannot be caught".into()), seconds: 0.0 });
    }
    let world = match World::start().await {
        Ok(world) => Arc::new(world),
        Err(reason) => return say(&Outcome { verdict: Verdict::Broken(reason), seconds: 0.0 }),
    };
    let (mut jobs, rows, mut kept) = (jobs(), rows::all(), Kept::new());
    let Some(mut next) = jobs.recv().await else { return };
    loop {
        let begin = Instant::now();
        let row = rows.iter().find(|row| row.id == next.row).expect("a row of this program");
        let verdict = tokio::select! {
            verdict = one(row, &next, &world, &mut kept, arguments) => verdict,
            // Whoever gave the job is gone, or gives none while one is under way.
            _ = jobs.recv() => return,
        };
        say(&Outcome { verdict, seconds: begin.elapsed().as_secs_f64() });
        match jobs.recv().await {
            Some(job) => next = job,
            None => return,
        }
    }
}

/// How rows begin that leave much behind which a proxy still works on afterwards.
const FLOODS: &str = "A2.";

/// Runs a case. What somebody else's proxy still does of an earlier one must not be held against it in this one.
async fn one(row: &Row, job: &Job, world: &Arc<World>, kept: &mut Kept, arguments: &Arguments) -> Verdict {
    let mut verdict = attempt(row, job, world, kept, arguments).await;
    if arguments.proxy.is_none() || job.target != Target::Given {
        return verdict;
    }
    if matches!(&verdict, Verdict::Failed(how) if how.starts_with("before: ")) {
        kept.clear();
        verdict = attempt(row, job, world, kept, arguments).await;
    }
    if matches!(verdict, Verdict::Failed(_)) && row.id.starts_with(FLOODS) {
        kept.clear();
    }
    verdict
}

async fn attempt(
    row: &Row,
    job: &Job,
    world: &Arc<World>,
    kept: &mut Kept,
    arguments: &Arguments,
) -> Verdict {
    let subject = match subject(row, job.target, world, kept, arguments).await {
        Ok(subject) => subject,
        Err(reason) => return Verdict::Failed(reason),
    };
    world.reset();
    let stage = Stage {
        world: Arc::clone(world),
        subject,
        variant: COLUMNS[job.variant],
        seen: Transcript::default(),
    };
    let mut verdict = Verdict::Passed;
    if row.control {
        verdict = judge("before: ", {
            let stage = stage.clone();
            async move { drop(stage.good().await) }
        })
        .await;
        world.reset();
    }
    if matches!(verdict, Verdict::Passed) {
        verdict = judge("", row.case(stage.clone())).await;
    }
    if matches!(verdict, Verdict::Passed) {
        verdict = judge("after: ", async move { stage.no_key_is_loose().await }).await;
    }
    verdict
}

/// The proxy for a row: one that is ready, or a fresh one.
async fn subject(
    row: &Row,
    target: Target,
    world: &Arc<World>,
    kept: &mut Kept,
    arguments: &Arguments,
) -> Result<Arc<Subject>, String> {
    // Only Keyward is told what a scenario says: of the others one serves all.
    let given = target == Target::Given && arguments.proxy.is_none();
    let scenario = if given { row.scenario.clone() } else { Scenario::default() };
    let key = (target, scenario);
    // What a case changed for good serves no other, nor does what has ended.
    kept.retain(|((_, scenario), subject)| !scenario.fresh && !subject.has_ended());
    if let Some(at) = kept.iter().position(|(known, _)| *known == key) {
        let found = kept.remove(at);
        kept.push(found.clone());
        return Ok(found.1);
    }
    while kept.len() >= KEPT {
        drop(kept.remove(0));
    }
    let (starting, around, arguments) = (key.clone(), Arc::clone(world), arguments.clone());
    let started = tokio::spawn(async move {
        Subject::start(starting.0, &starting.1, &around, &arguments).await.map(Arc::new)
    });
    let subject = started.await.map_err(|_| format!("it does not start: {}", last_panic()))??;
    kept.push((key, Arc::clone(&subject)));
    Ok(subject)
}

/// Runs a part of a case to its end, or to the limit.
async fn judge(part: &str, case: impl Future<Output = ()> + Send + 'static) -> Verdict {
    let mut running = tokio::spawn(case);
    match tokio::time::timeout(LIMIT, &mut running).await {
        Ok(Ok(())) => Verdict::Passed,
        Ok(Err(_)) => Verdict::Failed(format!("{part}{}", last_panic())),
        Err(_) => {
            running.abort();
            Verdict::Failed(format!("{part}not over after {} s", LIMIT.as_secs()))
        }
    }
}

/// What the last panic said, and where. Cases run one at a time.
static PANIC: Mutex<String> = Mutex::new(String::new());

fn note_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("a panic without a text");
        let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = format!("{text}{place}");
    }));
}

fn last_panic() -> String {
    std::mem::take(&mut PANIC.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Jobs as they are read. The channel ends with standard input.
fn jobs() -> mpsc::Receiver<Job> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let Ok(job) = serde_json::from_str(&line) else { return };
            if sender.blocking_send(job).is_err() {
                return;
            }
        }
    });
    receiver
}

fn say(outcome: &Outcome) {
    let mut output = std::io::stdout().lock();
    // Whoever listened may be gone; then the input ends as well.
    let _ = writeln!(output, "{}", serde_json::to_string(outcome).expect("a verdict"));
    let _ = output.flush();
}
