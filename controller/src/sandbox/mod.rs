//! Running a command that must not get at Keyward's keys by way of the machine that both run on.
//!
//! On Linux the command gets a user, a PID, a mount and an IPC namespace of its own, and, where asked for, a network
//! namespace with a loopback interface only. It has the same user id as before, no capability, and no way to get one. Between
//! this process and the command stand two others of ours:
//!
//! ```text
//! keyward ── outer: makes the namespaces ── inner: PID 1 in them; hides, starts, reaps, forwards ── the command
//!    └──────────────── a socket: settings, the program, signals; what became of it ──┘
//! ```
//!
//! Nothing that matters goes by a command line or an environment that the command could read. When this process ends,
//! however that ends, so does everything inside.

mod channel;
mod confine;
mod doors;
mod inner;
mod loopback;
mod masks;
mod message;
mod outer;
mod privileges;
mod root;
mod running;
mod runtime;
mod stage;
mod terminal;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::timeout;

use self::message::{Command, Hidden, Order, Report, Way};
use self::stage::Stages;
use self::terminal::Terminal;

pub use self::message::Refused;
pub use self::running::{Running, SIGNALS};
pub(crate) use self::stage::{SUBCOMMAND, Stage, become_stage};

/// How long making the namespaces may take; it takes milliseconds.
const START: Duration = Duration::from_secs(20);

/// Whether the command is isolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Isolation {
    /// Where the kernel allows it; else what the command can reach is said
    #[default]
    Auto,
    /// Or the command is not started
    Require,
    /// Not at all
    Off,
}

/// Which network the command has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Network {
    /// `gateway` where the gateway denies by default, else `host`
    #[default]
    Auto,
    /// A network of its own, with the gateway and nothing else
    Gateway,
    /// The machine's
    Host,
}

/// What the command must not see or reach.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Directories and files. Each must exist. They are hidden wherever their file system is mounted, and so are
    /// the sockets by which others run commands for this user.
    pub hidden: Vec<PathBuf>,
    /// A network namespace of its own, with a loopback interface only.
    pub own_network: bool,
}

/// A command to run.
#[derive(Debug, Clone)]
pub struct Program {
    /// The command, looked for on its own `PATH`, and its arguments.
    pub argv: Vec<OsString>,
    /// All of its environment.
    pub environment: BTreeMap<OsString, OsString>,
}

/// Why a command does not run.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// There is none of that name.
    #[error("{}: command not found", .0.display())]
    NotFound(OsString),
    /// There is one, and it cannot be executed.
    #[error("{}: cannot be executed: {cause}", program.display())]
    NotExecutable {
        /// What was to be run.
        program: OsString,
        /// What the system says.
        cause: io::Error,
    },
    /// Something else went wrong.
    #[error("the command cannot be started: {0}")]
    Other(io::Error),
}

impl ProgramError {
    /// The exit code that shells give it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            ProgramError::NotFound(_) => 127,
            ProgramError::NotExecutable { .. } => 126,
            ProgramError::Other(_) => 1,
        }
    }
}

/// A place for one command to run in. Dropping it ends what was made for it.
pub struct Sandbox {
    /// Absent until the command runs where nothing is to be made before.
    stages: Option<Stages>,
    listener: Option<TcpListener>,
}

/// Makes the namespaces. To be called before anything else is started.
///
/// # Errors
/// [`Refused`], in one line.
pub async fn open(settings: Settings) -> Result<Sandbox, Refused> {
    let runtime = doors::runtime();
    let temporary = std::env::temp_dir();
    if let Some(runtime) = runtime.as_ref().filter(|runtime| temporary.starts_with(&runtime.directory)) {
        let cause = "files for the command are to lie in it; set TMPDIR to another directory".to_owned();
        return Err(Refused::Hidden { path: runtime.directory.display().to_string(), cause });
    }
    let mut stages = Stages::start(Way::Isolated { own_network: settings.own_network })?;
    let paths = settings.hidden.into_iter().chain(doors::doors()).map(OsString::from).collect();
    let hidden = Hidden { paths, runtime };
    stages.order(&Order::Hide(hidden), &[]).await;
    match timeout(START, stages.next()).await {
        Ok(Some((Report::Ready, descriptors))) => {
            let listener = descriptors.into_iter().next().map(TcpListener::from);
            Ok(Sandbox { stages: Some(stages), listener })
        }
        Ok(Some((Report::Refused(refused), _))) => Err(refused),
        Ok(Some(_)) => Err(Refused::Failed { cause: "it answered out of turn".to_owned() }),
        Ok(None) => Err(Refused::Failed { cause: stages.ended().await }),
        Err(_) => Err(Refused::Failed { cause: format!("no answer after {START:?}") }),
    }
}

/// A place without namespaces: the command ends with this process and shares its terminal as in [`open`], but nothing
/// is hidden from it.
#[must_use]
pub fn none() -> Sandbox {
    Sandbox { stages: None, listener: None }
}

impl Sandbox {
    /// The listening socket inside, with a network of its own; once. It listens on a free port of 127.0.0.1 there.
    pub fn listener(&mut self) -> Option<TcpListener> {
        self.listener.take()
    }

    /// Runs a command with our standard streams and, where we are in its foreground, our terminal.
    ///
    /// # Errors
    /// [`ProgramError`]
    pub async fn run(self, program: Program) -> Result<Running, ProgramError> {
        let other = |refused: Refused| ProgramError::Other(io::Error::other(refused.to_string()));
        let mut stages = match self.stages {
            Some(stages) => stages,
            None => Stages::start(Way::Bare).map_err(other)?,
        };
        let Some(name) = program.argv.first().cloned() else {
            return Err(ProgramError::NotFound(OsString::new()));
        };
        let terminal = Terminal::open();
        let foreground = terminal.as_ref().is_some_and(Terminal::is_ours);
        let command = Command {
            argv: program.argv,
            environment: program.environment.into_iter().collect(),
            foreground,
        };
        stages.order(&Order::Run(command), &[&io::stdin()]).await;
        match stages.next().await {
            Some((Report::Started, _)) => Ok(Running::new(stages, terminal, foreground)),
            Some((Report::NotStarted { code }, _)) => {
                // Its processes are gone by then.
                let _ = stages.ended().await;
                running::take_back(terminal.as_ref(), foreground);
                Err(not_started(name, code))
            }
            _ => Err(ProgramError::Other(io::Error::other(stages.ended().await))),
        }
    }
}

fn not_started(program: OsString, code: i32) -> ProgramError {
    use rustix::io::Errno;
    let cause = io::Error::from_raw_os_error(code);
    match Errno::from_io_error(&cause) {
        Some(Errno::NOENT) => ProgramError::NotFound(program),
        Some(Errno::ACCESS | Errno::NOEXEC | Errno::ISDIR | Errno::NOTDIR | Errno::PERM | Errno::LOOP) => {
            ProgramError::NotExecutable { program, cause }
        }
        _ => ProgramError::Other(cause),
    }
}

/// What a command can reach that runs as the same user without isolation. Tests hold that each of these is so.
pub const REACHABLE: &[&str] = &[
    "the manifests, and the state directory with the CA's key and the sealing keys",
    "Envoy's environment and memory, with the sealing keys and the credentials that it sends",
    "the sockets that control `keyward`, and Envoy's",
    "every server on this machine, and every address that it can route to",
];
