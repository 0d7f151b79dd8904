//! Hands jobs to workers: slow rows first, and to each worker preferably what the proxy it has ready can do.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::arguments::Arguments;
use crate::namespace;
use crate::row::{COLUMNS, Proof, Row, Variant};
use crate::scenario::Scenario;
use crate::subject::Target;
use crate::worker::{Job, Outcome, Verdict};

/// What came of each case: by row, variant and target.
pub(crate) type Outcomes = BTreeMap<(String, usize, Target), Outcome>;

/// Why nothing can be said at all.
pub(crate) type Broken = String;

/// Runs every job of these rows.
///
/// # Errors
/// What the machine lacks, by name.
pub(crate) fn run(rows: &[Row], arguments: &Arguments) -> Result<Outcomes, Broken> {
    let way = namespace::find().map_err(|refused| refused.to_string())?;
    let queue = Mutex::new(Queue {
        jobs: jobs(rows, arguments),
        ready: BTreeMap::new(),
        once: arguments.proxy.is_some(),
    });
    let (outcomes, broken) = (Mutex::new(Outcomes::new()), Mutex::new(None));
    std::thread::scope(|scope| {
        for number in 0..arguments.workers.max(1) {
            let (queue, outcomes, broken) = (&queue, &outcomes, &broken);
            scope.spawn(move || {
                if let Err(reason) = work(number, way, arguments, queue, outcomes) {
                    lock(queue).jobs.clear();
                    *lock(broken) = Some(reason);
                }
            });
        }
    });
    match broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(reason) => Err(reason),
        None => Ok(outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

/// Jobs that wait, and which proxy each worker has ready.
struct Queue {
    jobs: Vec<Queued>,
    ready: BTreeMap<usize, (Scenario, Target)>,
    /// Somebody else's proxy runs once, with the first worker: it may share files with another one of its kind.
    once: bool,
}

/// A job with what decides its order.
struct Queued {
    job: Job,
    slow: bool,
    scenario: Scenario,
}

fn jobs(rows: &[Row], arguments: &Arguments) -> Vec<Queued> {
    let mut queue = Vec::new();
    for row in rows {
        for variant in row.variants {
            for target in targets(row, *variant, arguments) {
                let place = COLUMNS.iter().position(|column| column == variant).expect("a known variant");
                let job = Job { row: row.id.into(), variant: place, target };
                queue.push(Queued { job, slow: row.slow, scenario: row.scenario.clone() });
            }
        }
    }
    queue.sort_by_key(|queued| (!queued.slow, queued.scenario.clone(), queued.job.target));
    queue
}

fn targets(row: &Row, variant: Variant, arguments: &Arguments) -> Vec<Target> {
    let given = not_applicable(row, variant, arguments).is_none().then_some(Target::Given);
    let careless = match row.proof {
        Proof::Careless(leak) => Some(Target::Careless(leak)),
        Proof::ByItself => None,
    };
    given.into_iter().chain(careless).collect()
}

/// Why a case cannot be put to what is attacked.
pub(crate) fn not_applicable(row: &Row, variant: Variant, arguments: &Arguments) -> Option<&'static str> {
    use crate::row::Port;
    arguments.proxy?;
    match (row.only_keyward, variant) {
        (Some(why), _) => Some(why),
        (None, Variant::On(_, Port::Transparent)) => Some("needs a transparent port"),
        (None, _) if !row.scenario.is_default() => Some("needs another configuration"),
        (None, _) => None,
    }
}

fn work(
    number: usize,
    way: &[&str],
    arguments: &Arguments,
    queue: &Mutex<Queue>,
    outcomes: &Mutex<Outcomes>,
) -> Result<(), Broken> {
    let mut worker: Option<Worker> = None;
    loop {
        // Not in the head of a `while let`: the lock would be held through the body.
        let next = lock(queue).take(number);
        let Some(queued) = next else { return Ok(()) };
        let ready = match &mut worker {
            Some(ready) => ready,
            None => worker.insert(Worker::start(way, arguments)?),
        };
        let outcome = ready.run(&queued.job).unwrap_or_else(|| {
            // The next job gets a fresh one.
            worker = None;
            Outcome { verdict: Verdict::Failed("the worker ended in the middle of it".into()), seconds: 0.0 }
        });
        if let Verdict::Broken(reason) = outcome.verdict {
            return Err(reason);
        }
        let Job { row, variant, target } = queued.job;
        if arguments.progress {
            let word = if matches!(outcome.verdict, Verdict::Passed) { "passed" } else { "failed" };
            eprintln!("{row} ({}) {target:?}: {word} in {:.1} s", COLUMNS[variant].label(), outcome.seconds);
        }
        lock(outcomes).insert((row, variant, target), outcome);
    }
}

impl Queue {
    /// The next job of a worker: a slow one, else one for the proxy that it has ready, else one for a proxy that no
    /// other worker has, else any.
    fn take(&mut self, worker: usize) -> Option<Queued> {
        let has = |queued: &Queued, ready: &(Scenario, Target)| {
            ready.0 == queued.scenario && ready.1 == queued.job.target
        };
        let own = self.ready.get(&worker);
        let fits = |queued: &Queued| own.is_some_and(|ready| has(queued, ready));
        let free = |queued: &Queued| !self.ready.values().any(|ready| has(queued, ready));
        let allowed = |queued: &Queued| worker == 0 || !self.once || queued.job.target != Target::Given;
        let find = |wanted: &dyn Fn(&Queued) -> bool| {
            self.jobs.iter().position(|queued| allowed(queued) && wanted(queued))
        };
        let first = find(&|_| true)?;
        let at = match &self.jobs[first] {
            queued if queued.slow => first,
            _ => find(&fits).or_else(|| find(&free)).unwrap_or(first),
        };
        let queued = self.jobs.remove(at);
        self.ready.insert(worker, (queued.scenario.clone(), queued.job.target));
        Some(queued)
    }
}

/// A worker process.
struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    fn start(way: &[&str], arguments: &Arguments) -> Result<Worker, Broken> {
        let command = namespace::worker(way, arguments);
        let mut command = command.map_err(|error| format!("this program cannot find itself: {error}"))?;
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("a worker cannot be started: {error}"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
        Ok(Worker { child, input, output: BufReader::new(output) })
    }

    /// None when it ended before it said anything.
    fn run(&mut self, job: &Job) -> Option<Outcome> {
        let line = serde_json::to_string(job).expect("a job");
        writeln!(self.input.as_mut()?, "{line}").ok()?;
        let mut answer = String::new();
        self.output.read_line(&mut answer).ok()?;
        serde_json::from_str(&answer).ok()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It stops what it started when its input ends.
        self.input = None;
        let _ = self.child.wait();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
