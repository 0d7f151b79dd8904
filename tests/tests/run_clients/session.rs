//! Many clients under one `keyward run`: its command is a shell that runs what it reads from a named pipe, one after the
//! other, each in a folder of its own. What the shell has for an environment is what each client has.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::artefacts::root;
use harness::process::Process;
use harness::run::Run;
use harness::scenario::{KEY, PLACEHOLDER};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::world::{GIT_BASIC, OPENAI_KEY, World, path};

/// A client on a busy machine is done within this time, and so is a run that starts.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `NUMBER/recipe.sh`; leaves its environment, both outputs, and at last its exit code.
const SHELL: &str = r#"while read -r number; do
  cd "$number"
  env >environment
  sh ./recipe.sh >output 2>errors
  echo $? >code.new
  mv code.new code
  cd ..
done <steps"#;

/// A running session.
pub(crate) struct Session {
    steps: File,
    number: usize,
    process: Process,
    /// Last: its processes are to be gone before it looks.
    run: Run,
}

/// What a client came to.
#[derive(Debug)]
pub(crate) struct Done {
    code: String,
    /// Its standard output.
    pub(crate) output: String,
    errors: String,
    /// The folder in which it ran.
    pub(crate) folder: PathBuf,
}

impl Session {
    /// Starts one.
    pub(crate) fn start(run: Run) -> Session {
        let pipe = run.working_directory().join("steps");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a named pipe");
        let process = run.spawn(&["sh", "-c", SHELL]);
        // Opened for reading too, it waits for no reader; the shell reads to the end when this one is gone.
        let steps = File::options().read(true).write(true).open(&pipe).expect("the named pipe");
        Session { steps, number: 0, process, run }
    }

    /// Runs a command there, these folders of `.tools` first in the search for programs.
    pub(crate) async fn client(&mut self, recipe: &str, first: &[&str]) -> Done {
        use std::io::Write as _;
        self.number += 1;
        let folder = self.run.working_directory().join(self.number.to_string());
        std::fs::create_dir(&folder).expect("a folder");
        std::os::unix::fs::symlink(root().join("tests"), folder.join("tests")).expect("a link");
        let modules = root().join(".tools/node/node_modules");
        let script =
            format!("PATH='{}' NODE_PATH='{}'\nexport PATH NODE_PATH\n", path(first), modules.display());
        std::fs::write(folder.join("recipe.sh"), script + recipe).expect("a script");
        writeln!(self.steps, "{}", self.number).expect("the shell reads");
        self.wait_for(&folder.join("code")).await;
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert_without_keys(&read("environment"));
        Done { code: read("code"), output: read("output"), errors: read("errors"), folder }
    }

    async fn wait_for(&mut self, file: &Path) {
        let end = Instant::now() + PATIENCE;
        while !file.exists() {
            let said = || [self.process.output(), self.process.errors()].concat().join("\n");
            assert!(Instant::now() < end, "a client takes too long; keyward run said:\n{}", said());
            let over = self.process.is_over();
            assert!(!over, "keyward run ended:\n{}", self.process.errors().join("\n"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it; what `keyward run` said. Panics unless it ends well.
    pub(crate) async fn ended(mut self) -> String {
        drop(self.steps);
        let code = self.process.ended(PATIENCE).await.expect("keyward run ends");
        let said = self.process.errors().join("\n");
        assert_eq!(code, Some(0), "{said}");
        self.run.gone().await;
        said
    }
}

impl Done {
    /// Itself, which was a success.
    #[track_caller]
    pub(crate) fn well(self, client: &str) -> Done {
        assert_eq!(self.code, "0\n", "{client}: {}{}", self.output, self.errors);
        self
    }
}

/// Asserts that an environment, as `env` prints it, has placeholders and no key.
#[track_caller]
fn assert_without_keys(environment: &str) {
    for variable in ["ANTHROPIC_API_KEY", "OPENAI_API_KEY"] {
        let line = format!("{variable}={PLACEHOLDER}");
        assert!(environment.lines().any(|other| other == line), "no placeholder in {variable}");
    }
    for key in [KEY, OPENAI_KEY, GIT_BASIC] {
        assert!(!environment.contains(key), "a key is in the environment of a client");
    }
}

/// A session in a world, with its objects as they are.
pub(crate) async fn in_a_world() -> (World, Session) {
    let world = World::start().await;
    let run = world.run(&world.manifests());
    (world, Session::start(run))
}
