//! `keyward run` as a process, in an environment and with directories of its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::artefacts;
use crate::gateway::{Manifests, survivors};
use crate::process::Process;

/// A run takes no longer on a slow machine, unless its command does.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `keyward run` to be started. Dropping it fails the test when a process of it stays behind.
#[must_use]
pub struct Run {
    manifests: Option<tempfile::TempDir>,
    /// Home, temporary and working directory.
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// What a run came to.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; None when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub errors: String,
}

impl Run {
    /// One without `--manifests`.
    pub fn new() -> Run {
        let folder = tempfile::Builder::new().prefix("kr").tempdir().expect("a temporary directory");
        for name in ["home", "tmp", "work"] {
            std::fs::create_dir(folder.path().join(name)).expect("a directory");
        }
        Run { manifests: None, folder, arguments: Vec::new(), environment: Vec::new() }
    }

    /// One with these manifests.
    pub fn with(manifests: &Manifests) -> Run {
        let folder = tempfile::tempdir().expect("a temporary directory");
        manifests.write_to(folder.path());
        let mut run = Run::new().arguments(&["--manifests", &folder.path().display().to_string()]);
        run.manifests = Some(folder);
        run
    }

    /// Adds words to the command line, before the command.
    pub fn arguments(mut self, arguments: &[&str]) -> Run {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Sets a variable of its environment.
    pub fn environment(mut self, name: &str, value: &str) -> Run {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The directory of its manifests. Panics where it has none.
    #[must_use]
    pub fn manifests(&self) -> &Path {
        self.manifests.as_ref().expect("a run with manifests").path()
    }

    /// The directory in which the command runs.
    #[must_use]
    pub fn working_directory(&self) -> std::path::PathBuf {
        self.folder.path().join("work")
    }

    /// The directories that its runs made, and have not removed: those of their states, and temporary ones.
    #[must_use]
    pub fn left(&self) -> Vec<std::path::PathBuf> {
        let parents = ["home/.local/state/keyward/runs", "tmp"].map(|parent| self.folder.path().join(parent));
        let entries = parents.into_iter().filter_map(|parent| std::fs::read_dir(parent).ok()).flatten();
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// The processes that belong to it: number and command line.
    #[must_use]
    pub fn processes(&self) -> Vec<(i32, String)> {
        survivors::of(self.folder.path())
    }

    /// Waits until no process of it is left. Panics when that takes more than five seconds.
    pub async fn gone(&self) {
        survivors::gone(self.folder.path(), Duration::from_secs(5)).await.expect("no process left");
    }

    /// The whole command line, for whoever starts it.
    #[must_use]
    pub fn command(&self, command: &[&str]) -> Command {
        let mut keyward = self.keyward();
        keyward.arg("run").arg("--module").arg(artefacts::module()).arg("--envoy").arg(artefacts::envoy());
        keyward.args(&self.arguments).args(command);
        keyward
    }

    /// `keyward` without an argument, as the same user would type it beside the run.
    #[must_use]
    pub fn keyward(&self) -> Command {
        let path = |name: &str| self.folder.path().join(name);
        let mut keyward = Command::new(artefacts::keyward());
        keyward.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        keyward.env("HOME", path("home")).env("TMPDIR", path("tmp")).env("LC_ALL", "C.UTF-8");
        keyward.envs(self.environment.iter().map(|(name, value)| (name, value)));
        keyward.current_dir(path("work"));
        keyward
    }

    /// Starts it.
    #[must_use]
    pub fn spawn(&self, command: &[&str]) -> Process {
        Process::spawn(self.command(command))
    }

    /// Runs it to its end. Panics when that takes more than a minute.
    pub async fn ended(&self, command: &[&str]) -> Ended {
        let command = tokio::process::Command::from(self.command(command))
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(PATIENCE, command).await.expect("it ends").expect("it starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended { code: output.status.code(), output: text(&output.stdout), errors: text(&output.stderr) }
    }
}

impl Default for Run {
    fn default() -> Run {
        Run::new()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let left = survivors::end(self.folder.path());
        assert!(left.is_empty() || std::thread::panicking(), "left behind by keyward run: {left:?}");
    }
}
