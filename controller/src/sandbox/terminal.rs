//! The controlling terminal, and which process group has it.

use std::fs::File;

use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Pid, getpgrp};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr, tcsetpgrp};

/// The controlling terminal of this process, as it was when it was opened.
pub(super) struct Terminal {
    file: File,
    attributes: Option<Termios>,
}

impl Terminal {
    /// `None` without one.
    pub(super) fn open() -> Option<Terminal> {
        let file = File::options().read(true).write(true).open("/dev/tty").ok()?;
        let attributes = tcgetattr(&file).ok();
        Some(Terminal { file, attributes })
    }

    /// Whether this process's group has it.
    pub(super) fn is_ours(&self) -> bool {
        tcgetpgrp(&self.file).is_ok_and(|group| group == getpgrp())
    }

    /// Gives it to a process group.
    pub(super) fn give_to(&self, group: Pid) {
        quietly(|| {
            // A group that has ended meanwhile needs none.
            let _ = tcsetpgrp(&self.file, group);
        });
    }

    /// Makes it look as it did, after a program that could not do so itself.
    pub(super) fn restore(&self) {
        if let Some(attributes) = &self.attributes {
            quietly(|| {
                let _ = tcsetattr(&self.file, OptionalActions::Drain, attributes);
            });
        }
    }
}

/// Does something to the terminal from the background, which would stop this process otherwise (SIGTTOU).
fn quietly(change: impl FnOnce() + Send) {
    // In a thread of its own: the mask is a thread's, and others go on as they are.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut stopping = SigSet::empty();
            stopping.add(Signal::SIGTTOU);
            if stopping.thread_block().is_ok() {
                change();
            }
        });
    });
}
