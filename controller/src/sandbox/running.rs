//! A command that runs, seen from `keyward`: signals go to it, and the terminal comes back from it.

use std::io;
use std::time::Duration;

use rustix::process::{Signal, getpgrp, kill_current_process_group};
use tokio::signal::unix::SignalKind;
use tokio::time::sleep;

use super::message::{Order, Report};
use super::stage::Stages;
use super::terminal::Terminal;
use crate::signals::Signals;

/// The signals that are the command's once it runs; before that they end the run. The terminal's own signals reach it
/// without us.
pub const SIGNALS: [SignalKind; 6] = [
    SignalKind::terminate(),
    SignalKind::hangup(),
    SignalKind::interrupt(),
    SignalKind::quit(),
    SignalKind::user_defined1(),
    SignalKind::user_defined2(),
];

/// How long the kernel gets to stop this process once it was asked.
const STOP: Duration = Duration::from_millis(50);

/// A running command. Dropping it ends the command, and all that it started.
pub struct Running {
    stages: Stages,
    terminal: Option<Terminal>,
    /// The command was given the terminal.
    foreground: bool,
}

impl Running {
    pub(super) fn new(stages: Stages, terminal: Option<Terminal>, foreground: bool) -> Running {
        Running { stages, terminal, foreground }
    }

    /// Waits until the command has ended, and with it all that it started. Meanwhile these signals go
    /// to the command, and when the command stops (Ctrl-Z) so does this process's group.
    ///
    /// Returns its exit code, or 128 and the number of the signal that ended it.
    ///
    /// # Errors
    /// When it is not known how it ended.
    pub async fn wait(&mut self, signals: &mut Signals) -> io::Result<u8> {
        loop {
            tokio::select! {
                report = self.stages.next() => match report {
                    Some((Report::Stopped { signal }, _)) => self.stop(signal).await?,
                    Some((Report::Ended { code, by_signal }, _)) => {
                        self.stages.ended().await;
                        self.take_terminal_back();
                        if let Some(terminal) = self.terminal.as_ref().filter(|_| by_signal && self.foreground) {
                            terminal.restore();
                        }
                        return Ok(code);
                    }
                    Some(_) => {}
                    None => {
                        let how = self.stages.ended().await;
                        self.take_terminal_back();
                        return Err(io::Error::other(format!("what ran the command ended first: {how}")));
                    }
                },
                signal = signals.next() => self.stages.order(&Order::Signal(signal.as_raw_value()), &[]).await,
            }
        }
    }

    /// Stops as the command did, and goes on with it.
    async fn stop(&mut self, signal: i32) -> io::Result<()> {
        self.take_terminal_back();
        let terminal = [Signal::TTIN, Signal::TTOU].into_iter().find(|terminal| terminal.as_raw() == signal);
        kill_current_process_group(terminal.unwrap_or(Signal::TSTP))?;
        // A group without a shell that could continue it is not stopped; then the command goes on at once.
        sleep(STOP).await;
        self.foreground = self.terminal.as_ref().is_some_and(Terminal::is_ours);
        self.stages.order(&Order::Continue { foreground: self.foreground }, &[]).await;
        Ok(())
    }

    fn take_terminal_back(&self) {
        take_back(self.terminal.as_ref(), self.foreground);
    }
}

/// Gives the terminal back to our own group, where the command was given it.
pub(super) fn take_back(terminal: Option<&Terminal>, foreground: bool) {
    if let Some(terminal) = terminal.filter(|_| foreground) {
        terminal.give_to(getpgrp());
    }
}
