//! The signals that are the command's once it runs; before that they end the run.

use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that go on to the command. The terminal's own signals reach it without us.
///
/// One that comes is kept until it is asked for, however much later.
pub struct Signals {
    streams: [(SignalKind, Signal); 6],
}

impl Signals {
    /// Takes the signals over from their default action.
    ///
    /// # Errors
    /// The system has no room for handlers.
    pub fn new() -> io::Result<Signals> {
        let stream = |kind| Ok::<_, io::Error>((kind, signal(kind)?));
        Ok(Signals {
            streams: [
                stream(SignalKind::terminate())?,
                stream(SignalKind::hangup())?,
                stream(SignalKind::interrupt())?,
                stream(SignalKind::quit())?,
                stream(SignalKind::user_defined1())?,
                stream(SignalKind::user_defined2())?,
            ],
        })
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
