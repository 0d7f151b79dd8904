//! A sign of life on standard error, for people, when something takes longer than a second.

use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long nothing is said, and how often the time is said anew.
const SECOND: Duration = Duration::from_secs(1);

/// Says what is waited for as long as it lives. Silent where standard error is no terminal.
pub(super) struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    /// Begins.
    pub(super) fn of(what: &'static str) -> Progress {
        if !std::io::stderr().is_terminal() {
            return Progress(None);
        }
        let (end, ended) = mpsc::channel();
        let teller = std::thread::spawn(move || {
            let started = Instant::now();
            let mut said = false;
            while ended.recv_timeout(SECOND) == Err(RecvTimeoutError::Timeout) {
                let line = format!("\r{what}, {} s ", started.elapsed().as_secs());
                // Nobody misses what a closed terminal does not show.
                let _ = std::io::stderr().write_all(line.as_bytes());
                said = true;
            }
            if said {
                let _ = std::io::stderr().write_all(b"\r\x1b[K");
            }
        });
        Progress(Some((end, teller)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, teller)) = self.0.take() {
            drop(end);
            let _ = teller.join();
        }
    }
}
