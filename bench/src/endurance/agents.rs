//! Agents of the mixed load: streams, names that nobody asked for before, keys that rotate, hosts that come and go.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use harness::client::{Agent, Http2};
use tokio::task::JoinHandle;

use crate::scale::load::{Connection, Sample, generation, request};
use crate::scale::{tenants, upstream};

/// How long a change of the manifests may take until requests see it.
const SEEN: Duration = Duration::from_secs(10);

/// How long an attempt to open a connection for a new name may take.
const OPENED: Duration = Duration::from_secs(10);

/// Events of a stream.
const EVENTS: usize = 20;

/// Something that agents do over and over, until it is stopped.
pub(super) struct Activity {
    pub(super) name: &'static str,
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Activity {
    /// Does something every `period`, or as soon as it is done where it takes longer.
    pub(super) fn start<F, D>(name: &'static str, period: Duration, mut act: F) -> Activity
    where
        F: FnMut(usize) -> D + Send + 'static,
        D: Future<Output = Result<(), String>> + Send,
    {
        let (samples, stop) = (Arc::<Mutex<Vec<Sample>>>::default(), Arc::<AtomicBool>::default());
        let (kept, stopped) = (samples.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            for number in 1.. {
                ticks.tick().await;
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let due = Instant::now();
                let failure = act(number).await.err();
                let sample = Sample { due, latency: due.elapsed(), failure };
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
            }
        });
        Activity { name, samples, stop, task }
    }

    /// Ends it; what came of it.
    pub(super) async fn stop(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.expect("no panic");
        std::mem::take(&mut *self.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Opens a stream and reads it to its end: every event must come.
pub(super) async fn stream(agent: Agent) -> Result<(), String> {
    let text = |failure| format!("{failure:?}");
    let mut connection = agent.open_http2().await.map_err(text)?;
    let host = agent.handshake.sni.clone().unwrap_or_default();
    let request = request(&host).header(upstream::EVENTS, &EVENTS.to_string());
    let (head, mut body) = connection.open(&request).await.map_err(text)?;
    if head.status != 200 {
        return Err(format!("status {}, {}", head.status, head.reason()));
    }
    let mut events = 0;
    while let Some(part) = Http2::part(&mut body).await.map_err(text)? {
        events += part.iter().filter(|byte| **byte == b'\n').count() / 2;
    }
    if events == EVENTS { Ok(()) } else { Err(format!("{events} of {EVENTS} events")) }
}

/// Shakes hands as a name that nobody has asked for before.
pub(super) async fn new_name(agent: Agent) -> Result<(), String> {
    match tokio::time::timeout(OPENED, agent.open()).await {
        Ok(opened) => opened.map(drop).map_err(|failure| format!("{failure:?}")),
        Err(_) => Err(format!("no handshake within {OPENED:?}")),
    }
}

/// Writes a new key into the manifests, and asks until it is used.
pub(super) async fn rotate(folder: &Path, agent: Agent, number: usize) -> Result<(), String> {
    tenants::rotate(folder, 0, number).map_err(|error| error.to_string())?;
    until(&agent, |used| used == Some(number)).await
}

/// Adds a host, asks until it gets a credential, removes it, and asks until it gets none.
pub(super) async fn guest(folder: &Path, agent: Agent) -> Result<(), String> {
    tenants::add(folder, tenants::GUEST).map_err(|error| error.to_string())?;
    let added = until(&agent, |used| used.is_some()).await;
    tenants::remove(folder, tenants::GUEST).map_err(|error| error.to_string())?;
    added?;
    until(&agent, |used| used.is_none()).await
}

/// Asks until the answer says that this generation of a key was used. Failures on the way are the other agents' to
/// count.
async fn until(agent: &Agent, wanted: impl Fn(Option<usize>) -> bool) -> Result<(), String> {
    let host = agent.handshake.sni.clone().unwrap_or_default();
    let (request, started) = (request(&host), Instant::now());
    let mut connection = None;
    while started.elapsed() < SEEN {
        if connection.is_none() {
            connection = Connection::open(agent).await.ok();
        }
        let answer = match &mut connection {
            Some(open) => open.send(&request).await.ok().filter(|answer| answer.status == 200),
            None => None,
        };
        match answer {
            Some(answer) if wanted(generation(&answer)) => return Ok(()),
            Some(_) => {}
            None => connection = None,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(format!("not seen within {SEEN:?}"))
}
