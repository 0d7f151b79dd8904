//! The inner stage: PID 1 of the namespaces, or, without them, the parent of the command.
//!
//! It hides what is to be hidden, gives every privilege up, starts the command in a process group of its own, reaps
//! what nobody else does, and does what `keyward` says. When `keyward` is gone it ends, and with PID 1 the kernel ends
//! all others.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;
use std::sync::Arc;

use nix::sys::signal::SigSet;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpgid, getpgrp, kill_process, kill_process_group,
    set_child_subreaper, set_parent_process_death_signal, setpgid, wait,
};
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::sync::mpsc;

use super::message::{Command, Hidden, LANDLOCK, Order, Refused, Report, SECCOMP, Way};
use super::terminal::Terminal;
use super::{channel, confine, loopback, masks, privileges};
use crate::hardening;

/// Runs the stage; returns the exit code.
pub(super) fn run(way: Way) -> io::Result<u8> {
    let socket = StdUnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    socket.set_nonblocking(true)?;
    // One thread: capabilities are a thread's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { serve(way, UnixStream::from_std(socket)?).await })
}

async fn serve(way: Way, socket: UnixStream) -> io::Result<u8> {
    let socket = Arc::new(socket);
    match way {
        Way::Bare => {
            hardening::close_to_others();
            set_child_subreaper(Some(rustix::process::getpid()))?;
        }
        Way::Isolated { own_network } => {
            let Some((Order::Hide(hidden), _)) = channel::receive(&socket).await? else { return Ok(1) };
            match isolate(&hidden, own_network) {
                Ok(listener) => {
                    let descriptors: Vec<_> = listener.iter().map(|listener| listener.as_fd()).collect();
                    channel::send(&socket, &Report::Ready, &descriptors).await?;
                }
                Err(refused) => {
                    channel::send(&socket, &Report::Refused(refused), &[]).await?;
                    return Ok(1);
                }
            }
        }
    }
    let Some((Order::Run(command), descriptors)) = channel::receive(&socket).await? else { return Ok(1) };
    let mut children = signal(SignalKind::child())?;
    let terminal = Terminal::open();
    let child = match start(command, descriptors, terminal.as_ref()) {
        Ok(child) => child,
        Err(error) => {
            let code = error.raw_os_error().unwrap_or_default();
            channel::send(&socket, &Report::NotStarted { code }, &[]).await?;
            return Ok(1);
        }
    };
    channel::send(&socket, &Report::Started, &[]).await?;
    let mut running = Running { child, orders: orders(socket.clone()), socket, terminal };
    let code = running.until_it_ends(&mut children).await?;
    if way == Way::Bare {
        end_descendants();
    }
    Ok(code)
}

/// Does something in a thread with the mask of signals that programs expect: what is started inherits it.
fn with_no_signal_blocked<T: Send>(start: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let unblocked = || {
        SigSet::empty().thread_set_mask()?;
        start()
    };
    let done = std::thread::scope(|scope| scope.spawn(unblocked).join());
    done.unwrap_or_else(|_| Err(io::Error::other("the thread that starts it ended early")))
}

/// What `keyward` orders, until it is gone.
fn orders(socket: Arc<UnixStream>) -> mpsc::Receiver<Order> {
    let (ordered, orders) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Ok(Some((order, _))) = channel::receive(&socket).await {
            if ordered.send(order).await.is_err() {
                return;
            }
        }
    });
    orders
}

/// A command that was started.
struct Running {
    child: Pid,
    socket: Arc<UnixStream>,
    orders: mpsc::Receiver<Order>,
    terminal: Option<Terminal>,
}

impl Running {
    async fn until_it_ends(&mut self, children: &mut SignalStream) -> io::Result<u8> {
        loop {
            // First what there is: it may have ended before anyone listened.
            while let Some((process, status)) =
                wait(WaitOptions::NOHANG | WaitOptions::UNTRACED).ok().flatten()
            {
                if process != self.child {
                    continue;
                }
                if let Some(signal) = status.stopping_signal() {
                    self.report(&Report::Stopped { signal }).await;
                } else if let Some((code, by_signal)) = code(status) {
                    self.report(&Report::Ended { code, by_signal }).await;
                    return Ok(code);
                }
            }
            tokio::select! {
                _ = children.recv() => {}
                order = self.orders.recv() => match order {
                    Some(order) => self.carry_out(&order),
                    None => return Ok(1),
                },
            }
        }
    }

    /// Where `keyward` is gone its end is noticed elsewhere.
    async fn report(&self, report: &Report) {
        let _ = channel::send(&self.socket, report, &[]).await;
    }

    /// What cannot be done to a process that has ended meanwhile need not be done.
    fn carry_out(&self, order: &Order) {
        match order {
            Order::Signal(number) => {
                if let Some(signal) = Signal::from_named_raw(*number) {
                    let _ = kill_process(self.child, signal);
                }
            }
            Order::Continue { foreground } => {
                let group = getpgid(Some(self.child));
                if let (Some(terminal), true, Ok(group)) = (&self.terminal, *foreground, group) {
                    terminal.give_to(group);
                }
                if let Ok(group) = group {
                    let _ = kill_process_group(group, Signal::CONT);
                }
            }
            Order::Hide(_) | Order::Run(_) => {}
        }
    }
}

/// As shells report it, and whether a signal ended it.
fn code(status: WaitStatus) -> Option<(u8, bool)> {
    let exited = status.exit_status().map(|code| (code, false));
    let (code, by_signal) =
        exited.or_else(|| status.terminating_signal().map(|signal| (signal + 128, true)))?;
    Some((u8::try_from(code).unwrap_or(u8::MAX), by_signal))
}

/// Ends all that the command has left behind: as their reaper this process is the parent of each in the end.
fn end_descendants() {
    loop {
        for child in children_of_this_process() {
            let _ = kill_process(child, Signal::KILL);
        }
        // Without a list there is nothing to wait for.
        let options =
            if children_of_this_process().is_empty() { WaitOptions::NOHANG } else { WaitOptions::empty() };
        if !matches!(wait(options), Ok(Some(_))) {
            return;
        }
    }
}

fn children_of_this_process() -> Vec<Pid> {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let lists =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let lists: Vec<String> = lists.collect();
    let ids = lists.iter().flat_map(|list| list.split_ascii_whitespace());
    ids.filter_map(|id| Pid::from_raw(id.parse().ok()?)).collect()
}

/// Makes everything that the command has of its own, and gives up what that took.
fn isolate(hidden: &Hidden, own_network: bool) -> Result<Option<TcpListener>, Refused> {
    masks::put(hidden)?;
    let listener = match own_network {
        false => None,
        true => {
            loopback::up().map_err(Refused::kernel("a loopback interface in a network namespace"))?;
            Some(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Refused::failed)?)
        }
    };
    privileges::give_up().map_err(Refused::kernel("to take capabilities away"))?;
    confine::system_calls()
        .map_err(|error| Refused::kernel("a filter of system calls")(error).for_want_of(SECCOMP))?;
    confine::sockets().map_err(|error| Refused::kernel("a Landlock ruleset")(error).for_want_of(LANDLOCK))?;
    hardening::close_to_others();
    // Not before: the kernel forgets it when capabilities change. If the outer stage has ended meanwhile, so has the
    // socket's other end.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(Refused::failed)?;
    Ok(listener)
}

fn start(command: Command, descriptors: Vec<OwnedFd>, terminal: Option<&Terminal>) -> io::Result<Pid> {
    let Some((program, arguments)) = command.argv.split_first() else {
        return Err(io::Error::from_raw_os_error(rustix::io::Errno::NOENT.raw_os_error()));
    };
    // The command and this stage are a process group of their own, so that the command cannot signal `keyward`'s.
    setpgid(None, None)?;
    if let Some(terminal) = terminal.filter(|_| command.foreground) {
        terminal.give_to(getpgrp());
    }
    let mut child = std::process::Command::new(program);
    child.args(arguments).env_clear().envs(command.environment);
    if let Some(stdin) = descriptors.into_iter().next() {
        child.stdin(Stdio::from(stdin));
    }
    let id = with_no_signal_blocked(|| child.spawn())?.id();
    i32::try_from(id).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no process id"))
}
