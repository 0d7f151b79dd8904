//! The stages: what starts them, and, seen from `keyward`, the socket that they are spoken to over.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;

use nix::sys::signal::{SigSet, Signal};
use rustix::process::getpid;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use super::message::{Order, Refused, Report, Way};
use super::{channel, inner, outer};
use crate::cli::Failure;

/// The hidden subcommand that becomes a stage.
pub(crate) const SUBCOMMAND: &str = "sandboxed";

/// A stage, and what it has to know before it can be told.
#[derive(clap::Args)]
pub(crate) struct Stage {
    name: Name,
    /// The process that started it
    #[arg(long)]
    parent: i32,
    #[arg(long)]
    own_network: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Name {
    Outer,
    Inner,
    Bare,
}

/// A command that becomes a stage.
pub(super) fn command(name: Name, own_network: bool) -> Command {
    let mut command = Command::new("/proc/self/exe");
    let name = match name {
        Name::Outer => "outer",
        Name::Inner => "inner",
        Name::Bare => "bare",
    };
    command.arg0("keyward").args([SUBCOMMAND, name, "--parent"]).arg(getpid().as_raw_nonzero().to_string());
    if own_network {
        command.arg("--own-network");
    }
    command.env_clear();
    command
}

/// Becomes a stage; to be called while there is one thread.
pub(crate) fn become_stage(stage: &Stage) -> Result<ExitCode, Failure> {
    close_descriptors().map_err(Failure::failed)?;
    block_signals().map_err(Failure::failed)?;
    let code = match stage.name {
        Name::Outer => outer::run(stage.parent, stage.own_network),
        Name::Inner => {
            inner::run(Way::Isolated { own_network: stage.own_network }).map_err(Failure::failed)?
        }
        Name::Bare => inner::run(Way::Bare).map_err(Failure::failed)?,
    };
    Ok(ExitCode::from(code))
}

/// Closes what came along from whoever started `keyward`: a directory among it would lead around what is hidden.
fn close_descriptors() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > 2)
        .collect();
    for descriptor in open {
        // One of them was the directory's own.
        let _ = nix::unistd::close(descriptor);
    }
    Ok(())
}

/// The terminal's signals, and those that are meant for the command, are not for the stages: `keyward` says what to
/// do. They are blocked, not ignored: the command must not inherit that.
fn block_signals() -> io::Result<()> {
    let mut blocked = SigSet::empty();
    for signal in [
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGTSTP,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
    ] {
        blocked.add(signal);
    }
    Ok(blocked.thread_block()?)
}

/// The stages as `keyward` has them. They end when this is dropped.
pub(super) struct Stages {
    socket: Arc<UnixStream>,
    reports: mpsc::Receiver<(Report, Vec<OwnedFd>)>,
    ended: oneshot::Receiver<io::Result<ExitStatus>>,
    reader: tokio::task::JoinHandle<()>,
}

impl Stages {
    pub(super) fn start(way: Way) -> Result<Stages, Refused> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(Refused::failed)?;
        ours.set_nonblocking(true).map_err(Refused::failed)?;
        let socket = Arc::new(UnixStream::from_std(ours).map_err(Refused::failed)?);
        let mut command = match way {
            Way::Isolated { own_network } => command(Name::Outer, own_network),
            Way::Bare => command(Name::Bare, false),
        };
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        let (end, ended) = oneshot::channel();
        // A thread of its own: the kernel ends the stages with the thread that started them.
        let parent = thread::Builder::new().name("sandbox-parent".to_owned()).spawn(move || {
            let child = command.spawn();
            // Ours of their socket, which would keep it open.
            drop(command);
            // Nobody may be waiting any more.
            let _ = end.send(child.and_then(|mut child| child.wait()));
        });
        parent.map_err(Refused::failed)?;
        let (reported, reports) = mpsc::channel(4);
        let reader = tokio::spawn(read(socket.clone(), reported));
        Ok(Stages { socket, reports, ended, reader })
    }

    /// What has ended needs no orders: what became of it comes [`next`](Self::next).
    pub(super) async fn order(&self, order: &Order, descriptors: &[&(dyn AsFd + Sync)]) {
        let descriptors: Vec<_> = descriptors.iter().map(|descriptor| descriptor.as_fd()).collect();
        let _ = channel::send(&self.socket, order, &descriptors).await;
    }

    /// What they say next; `None` when they have ended.
    pub(super) async fn next(&mut self) -> Option<(Report, Vec<OwnedFd>)> {
        self.reports.recv().await
    }

    /// Waits until they have ended, with all that they started; says how.
    pub(super) async fn ended(&mut self) -> String {
        match (&mut self.ended).await {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it was not started".to_owned(),
        }
    }
}

impl Drop for Stages {
    fn drop(&mut self) {
        // It holds the socket, whose end is their end.
        self.reader.abort();
    }
}

async fn read(socket: Arc<UnixStream>, reports: mpsc::Sender<(Report, Vec<OwnedFd>)>) {
    while let Ok(Some(report)) = channel::receive(&socket).await {
        if reports.send(report).await.is_err() {
            return;
        }
    }
}
