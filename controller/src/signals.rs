//! Signals that are taken over from their default action.

use std::io;
use std::process::ExitCode;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C, a request to end, and a terminal that is gone.
pub const ENDING: [SignalKind; 3] = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];

/// Signals that came, each kept until it is asked for, however much later.
pub struct Signals {
    streams: Vec<(SignalKind, Signal)>,
}

impl Signals {
    /// Takes these over.
    ///
    /// # Errors
    /// The system has no room for handlers.
    pub fn new(kinds: &[SignalKind]) -> io::Result<Signals> {
        let streams = kinds.iter().map(|kind| Ok((*kind, signal(*kind)?)));
        Ok(Signals { streams: streams.collect::<io::Result<_>>()? })
    }

    /// The next one that came.
    pub async fn next(&mut self) -> SignalKind {
        std::future::poll_fn(|context| {
            for (kind, stream) in &mut self.streams {
                if stream.poll_recv(context).is_ready() {
                    return Poll::Ready(*kind);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// What a program ends with that a signal ended: 128 plus its number, as shells report it.
#[must_use]
pub fn exit_code(kind: SignalKind) -> ExitCode {
    ExitCode::from(u8::try_from(128 + kind.as_raw_value()).unwrap_or(u8::MAX))
}
