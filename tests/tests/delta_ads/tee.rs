//! A socket between Envoy and the controller: it keeps every message, and can cut the line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use controller::state::socket;
use controller::xds::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::wire::{Decoder, Said, What};

/// Long enough for a busy machine and Envoy's pause before it connects anew.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A name that was sent or removed, with its type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sent {
    /// New or changed.
    Update(Kind, String),
    /// Gone.
    Removal(Kind, String),
}

/// Every message so far.
pub(super) type Log = watch::Sender<Vec<Said>>;

/// The tee. It stops when dropped.
pub(super) struct Tee {
    log: Log,
    line: watch::Sender<bool>,
    /// How many connections there are.
    open: watch::Sender<usize>,
    task: JoinHandle<()>,
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tee {
    /// Listens at `own`, and passes everything on to and from `controller`.
    pub(super) fn start(own: &Path, controller: &Path) -> Tee {
        let listener = socket::bind(own).expect("a socket");
        let (log, line) = (watch::Sender::new(Vec::new()), watch::Sender::new(true));
        let open = watch::Sender::new(0);
        let wiring = Wiring { log: log.clone(), line: line.clone(), open: open.clone() };
        let task = tokio::spawn(accept(listener, controller.to_owned(), wiring));
        Tee { log, line, open, task }
    }

    /// Cuts every connection, and takes no new one.
    pub(super) async fn cut(&self) {
        self.line.send_replace(false);
        self.open.subscribe().wait_for(|open| *open == 0).await.expect("the tee runs");
    }

    /// Takes connections again.
    pub(super) fn mend(&self) {
        self.line.send_replace(true);
    }

    /// How many messages there are so far.
    pub(super) fn len(&self) -> usize {
        self.log.borrow().len()
    }

    /// What these messages come to, from number `from` on.
    pub(super) fn read<T>(&self, from: usize, look: impl FnOnce(&[Said]) -> T) -> T {
        look(&self.log.borrow()[from..])
    }

    /// Waits until a message from number `from` on is as wanted; returns its number. Panics when none comes.
    pub(super) async fn seen(&self, from: usize, what: &str, wanted: impl Fn(&Said) -> bool) -> usize {
        let mut log = self.log.subscribe();
        let mut looked = from;
        let found = log.wait_for(|log| {
            let next = log[looked..].iter().position(&wanted);
            looked = next.map_or(log.len(), |at| looked + at);
            next.is_some()
        });
        let found = tokio::time::timeout(PATIENCE, found).await;
        assert!(found.is_ok(), "not on the wire within {PATIENCE:?}: {what}");
        drop(found);
        looked
    }

    /// Waits until, from message number `from` on, this name was sent and answered.
    pub(super) async fn answered(&self, from: usize, kind: Kind, name: &str) -> usize {
        let sent = |said: &Said| said.sends(kind, name) || said.removes(kind, name);
        let at = self.seen(from, &format!("{kind:?} {name}"), sent).await;
        let nonce =
            self.read(at, |log| log[0].response(kind).map(|it| it.nonce.clone())).expect("a response");
        let connection = self.read(at, |log| log[0].connection);
        let answer = |said: &Said| said.connection == connection && said.answers(kind, &nonce);
        self.seen(at, &format!("an answer to {kind:?} {name}"), answer).await
    }

    /// Waits until Envoy has said on a connection that began after message number `from` what it has of every type.
    pub(super) async fn introduced(&self, from: usize) {
        for kind in Kind::ALL {
            let first = |said: &Said| said.request(kind).is_some_and(|it| it.response_nonce.is_empty());
            self.seen(from, &format!("the first request for {kind:?}"), first).await;
        }
    }

    /// Everything that the controller sent from message number `from` on.
    pub(super) fn sent(&self, from: usize) -> BTreeSet<Sent> {
        self.read(from, |log| log.iter().flat_map(sent).collect())
    }
}

fn sent(said: &Said) -> Vec<Sent> {
    let What::Response(response) = &said.what else { return Vec::new() };
    let Some(kind) = Kind::from_url(&response.type_url) else { return Vec::new() };
    let updates = response.resources.iter().map(|it| Sent::Update(kind, it.name.clone()));
    let removals = response.removed_resources.iter().map(|name| Sent::Removal(kind, name.clone()));
    updates.chain(removals).collect()
}

/// What the connections share.
#[derive(Clone)]
struct Wiring {
    log: Log,
    line: watch::Sender<bool>,
    open: watch::Sender<usize>,
}

async fn accept(listener: UnixListener, controller: PathBuf, wiring: Wiring) {
    let mut connections = tokio::task::JoinSet::new();
    for connection in 0.. {
        let Ok((envoy, _)) = listener.accept().await else { return };
        // Where nobody is there, Envoy is to find that out at once.
        let Ok(controller) = UnixStream::connect(&controller).await else { continue };
        wiring.open.send_modify(|open| *open += 1);
        let wiring = wiring.clone();
        connections.spawn(async move {
            relay(connection, envoy, controller, &wiring).await;
            wiring.open.send_modify(|open| *open -= 1);
        });
    }
}

/// Passes everything on between two ends, until either ends or the line is cut.
async fn relay(connection: usize, envoy: UnixStream, controller: UnixStream, wiring: &Wiring) {
    let (from_envoy, to_envoy) = envoy.into_split();
    let (from_controller, to_controller) = controller.into_split();
    let mut line = wiring.line.subscribe();
    let note = |what| wiring.log.send_modify(|log| log.push(Said { connection, what }));
    let mut requests = Decoder::of_client();
    let mut responses = Decoder::of_server();
    let requests = pass(from_envoy, to_controller, |bytes| {
        requests.take(bytes).into_iter().map(Box::new).map(What::Request).for_each(note);
    });
    let responses = pass(from_controller, to_envoy, |bytes| {
        responses.take(bytes).into_iter().map(What::Response).for_each(note);
    });
    tokio::select! {
        biased;
        _ = line.wait_for(|line| !line) => {}
        () = requests => {}
        () = responses => {}
    }
}

/// Passes bytes on, each after it was looked at, until either side ends.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut look: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        look(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
