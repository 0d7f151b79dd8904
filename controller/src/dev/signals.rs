//! The signals that end `keyward dev`.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What ended it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ended {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// The terminal is gone.
    Hangup,
}

impl Ended {
    /// 128 plus the signal's number, as shells report it.
    pub(super) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Ended::Hangup => 128 + 1,
            Ended::Interrupt => 128 + 2,
            Ended::Terminate => 128 + 15,
        })
    }
}

pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals over from their default action.
    ///
    /// # Errors
    /// The system has no room for handlers.
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    pub(super) async fn next(&mut self) -> Ended {
        tokio::select! {
            _ = self.interrupt.recv() => Ended::Interrupt,
            _ = self.terminate.recv() => Ended::Terminate,
            _ = self.hangup.recv() => Ended::Hangup,
        }
    }
}
