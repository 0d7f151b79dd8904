//! A sign of life on standard error, for people, when something takes longer than a second.

use std::io::{IsTerminal as _, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long nothing is said, and how often the time is said anew.
const SECOND: Duration = Duration::from_secs(1);

/// Says what is waited for as long as it lives. Silent where standard error is no terminal.
pub(crate) struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    /// Begins.
    pub(crate) fn of(what: &'static str) -> Progress {
        match std::io::stderr().is_terminal() {
            true => Progress::on(std::io::stderr(), what, SECOND),
            false => Progress(None),
        }
    }

    fn on(mut terminal: impl Write + Send + 'static, what: &'static str, interval: Duration) -> Progress {
        let (end, ended) = mpsc::channel();
        let teller = std::thread::spawn(move || {
            let started = Instant::now();
            let mut said = false;
            while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let line = format!("\r{what}, {} s ", started.elapsed().as_secs());
                // Nobody misses what a closed terminal does not show.
                let _ = terminal.write_all(line.as_bytes());
                said = true;
            }
            if said {
                let _ = terminal.write_all(b"\r\x1b[K");
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Terminal(Arc<Mutex<Vec<u8>>>);

    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Terminal {
        fn shown(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn what_takes_long_is_said_again_and_again_and_wiped_out_at_its_end() {
        let terminal = Terminal::default();
        let progress = Progress::on(terminal.clone(), "waiting", Duration::from_millis(1));
        let end = Instant::now() + Duration::from_secs(10);
        while terminal.shown().matches("\rwaiting, 0 s ").count() < 2 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(progress);
        let shown = terminal.shown();
        assert!(shown.starts_with("\rwaiting, ") && shown.ends_with("\r\x1b[K"), "{shown:?}");
        assert!(shown.matches("waiting").count() >= 2, "{shown:?}");
    }

    #[test]
    fn what_is_over_soon_is_not_said() {
        let terminal = Terminal::default();
        drop(Progress::on(terminal.clone(), "waiting", Duration::from_secs(60)));
        assert_eq!(terminal.shown(), "");
    }
}
