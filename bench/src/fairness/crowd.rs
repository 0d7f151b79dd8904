//! The agents that could be in the way: a thousand slow requests, or names that nobody has asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use harness::client::{Agent, Http};
use rustix::process::setpriority_process;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::contender::{Contender, HOST};
use crate::load::PATH;
use crate::upstream::HOLD;

/// Slow requests: half with a body that trickles, half with an answer that does not end.
const SLOW: usize = 1000;
/// Streams on one connection: Envoy's own limit is above it.
const STREAMS: usize = 100;
/// Time between two bytes of a body that trickles.
const TRICKLE: Duration = Duration::from_secs(2);
/// How long a handshake for a new name may take before its agent gives up.
const GIVE_UP: Duration = Duration::from_secs(3);
/// The lowest priority that there is.
const LAST: i32 = 19;

/// A crowd at work. Dropping it ends every request of it.
///
/// Its agents are on other machines, really. Here they have a thread of their own, which the system runs last: what
/// their half of a handshake costs is not to be taken for something that the gateway does to the agent measured.
pub(super) struct Crowd {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    count: Arc<AtomicU64>,
}

impl Crowd {
    /// A thousand slow requests, all under way when this returns. Panics when they are not within ten seconds.
    pub(super) async fn slow(contender: &Contender) -> Crowd {
        let under_way = Arc::new(AtomicU64::new(0));
        let agent = contender.agent(Http::Two, HOST);
        let counted = Arc::clone(&under_way);
        let crowd = Crowd::apart(Arc::clone(&under_way), async move {
            let connections =
                (0..SLOW / STREAMS).map(|_| slow_connection(agent.clone(), Arc::clone(&counted)));
            connections.collect::<JoinSet<()>>().join_all().await;
        });
        let all = async {
            while under_way.load(Ordering::Relaxed) < SLOW as u64 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(10), all).await.expect("a thousand requests under way");
        crowd
    }

    /// Handshakes for `rate` new names a second, each on a connection of its own; `names` numbers them.
    pub(super) fn of_names(contender: &Contender, rate: u32, names: &Arc<AtomicU64>) -> Crowd {
        let agent = contender.agent(Http::Two, HOST);
        let finished = Arc::new(AtomicU64::new(0));
        let (names, counted) = (Arc::clone(names), Arc::clone(&finished));
        Crowd::apart(finished, async move {
            let mut handshakes = JoinSet::new();
            let mut ticks = interval(Duration::from_secs(1) / rate);
            loop {
                ticks.tick().await;
                let host = format!("r{:x}.bench.example", names.fetch_add(1, Ordering::Relaxed));
                handshakes.spawn(handshake(for_host(&agent, &host), Arc::clone(&counted)));
                while handshakes.try_join_next().is_some() {}
            }
        })
    }

    fn apart(count: Arc<AtomicU64>, work: impl Future<Output = ()> + Send + 'static) -> Crowd {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            // The calling thread's alone (setpriority(2), "C library/kernel differences").
            let _ = setpriority_process(None, LAST);
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! { () = work => {}, _ = stopped => {} }
            });
        });
        Crowd { stop: Some(stop), thread: Some(thread), count }
    }

    /// Slow requests under way, or handshakes that succeeded.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // What it panicked with was printed; `count` tells that it did nothing.
            let _ = thread.join();
        }
    }
}

/// The same agent, wanting another host.
fn for_host(agent: &Agent, host: &str) -> Agent {
    let mut agent = agent.clone().sni(Some(host));
    if let harness::client::Way::Proxy(_, target) = &mut agent.way {
        *target = format!("{host}:443");
    }
    agent
}

async fn handshake(agent: Agent, finished: Arc<AtomicU64>) {
    if let Ok(Ok(_)) = timeout(GIVE_UP, agent.open()).await {
        finished.fetch_add(1, Ordering::Relaxed);
    }
}

async fn slow_connection(agent: Agent, under_way: Arc<AtomicU64>) {
    let stream = agent.open().await.expect("a connection");
    let (sender, connection) = h2::client::handshake(stream).await.expect("an HTTP/2 preface");
    let mut tasks = JoinSet::new();
    for number in 0..STREAMS {
        let (sender, under_way) = (sender.clone(), Arc::clone(&under_way));
        match number % 2 {
            0 => tasks.spawn(trickling(sender, under_way)),
            _ => tasks.spawn(held(sender, under_way)),
        };
    }
    // It lasts until the crowd is dropped.
    let _ = connection.await;
}

/// A request whose body comes byte by byte and does not end.
async fn trickling(sender: SendRequest<Bytes>, under_way: Arc<AtomicU64>) {
    let (_answer, mut body) = begin(sender, PATH).await;
    under_way.fetch_add(1, Ordering::Relaxed);
    // Not all at the same moment.
    let share = TRICKLE * (body.stream_id().as_u32() % 256) / 256;
    tokio::time::sleep(share).await;
    let mut ticks = interval(TRICKLE);
    loop {
        ticks.tick().await;
        if body.send_data(Bytes::from_static(b" "), false).is_err() {
            return;
        }
    }
}

/// A request whose answer begins, and does not end.
async fn held(sender: SendRequest<Bytes>, under_way: Arc<AtomicU64>) {
    let (answer, mut body) = begin(sender, &format!("{PATH}?{HOLD}")).await;
    body.send_data(Bytes::from_static(b"{}"), true).expect("an open stream");
    let answer = answer.await.expect("an answer");
    assert_eq!(answer.status(), 200, "{:?}", answer.headers());
    under_way.fetch_add(1, Ordering::Relaxed);
    let mut body = answer.into_body();
    while let Some(Ok(_)) = body.data().await {}
}

async fn begin(
    sender: SendRequest<Bytes>,
    path: &str,
) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let mut sender = sender.ready().await.expect("an open connection");
    let request =
        http::Request::post(format!("https://{HOST}{path}")).header("x-api-key", crate::load::PLACEHOLDER);
    sender.send_request(request.body(()).expect("a request"), false).expect("a stream")
}
