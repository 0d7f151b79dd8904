//! A real terminal, around a shell and what it runs.

use std::process::Command;
use std::time::{Duration, Instant};

/// How long the terminal may take to show something on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal of tmux's, on a server of its own.
pub struct Terminal {
    folder: tempfile::TempDir,
}

impl Terminal {
    /// One in which this command runs; the terminal stays when it has ended. Panics where tmux is not there.
    #[must_use]
    pub fn start(command: &Command) -> Terminal {
        let terminal = Terminal { folder: tempfile::tempdir().unwrap() };
        // A shell as it is around any program, which says how it ended.
        let mut words = vec!["env".to_owned(), "-i".to_owned(), "TERM=screen".to_owned()];
        let pairs = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        words.extend(pairs.map(|(name, value)| format!("{}={}", name.display(), value.display())));
        let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.display());
        let line: Vec<String> =
            std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
        let shell = "bash --norc --noprofile -i";
        let folder = command.get_current_dir().unwrap().display().to_string();
        let environment: Vec<String> = words.iter().map(|word| quoted(word.as_ref())).collect();
        let outer = format!("{} PS1='outer> ' {shell}", environment.join(" "));
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "100",
            "-y",
            "30",
            "-c",
            &folder,
            &outer,
        ]);
        let line = line.join(" ");
        let script = terminal.folder.path().join("start");
        std::fs::write(&script, format!("{line}; echo \"ended with $?\"\n")).unwrap();
        terminal.wait_for(|screen| screen.trim_end().ends_with("outer>"));
        terminal.enter(&format!(". {}", script.display()));
        terminal
    }

    /// What tmux says to this, of the terminal's server. Panics where it refuses.
    pub fn tmux(&self, arguments: &[&str]) -> String {
        let socket = self.folder.path().join("socket");
        let output = Command::new("tmux").arg("-S").arg(socket).args(arguments).output();
        let output = output.expect("tmux, which the set-up installs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Presses keys, by tmux's names for them.
    pub fn keys(&self, keys: &str) {
        self.tmux(&["send-keys", keys]);
    }

    /// Types a line.
    pub fn enter(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.keys("Enter");
    }

    /// Gives a line to a shell, and waits until it says this. What is typed before is typed to the shell's editor of
    /// lines, and not to what the shell runs.
    pub fn enter_and_run(&self, line: &str, says: &str) {
        self.enter(line);
        self.wait_for_line(says);
    }

    /// Waits until the screen is as it should be, and returns it.
    pub fn wait_for(&self, shown: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.tmux(&["capture-pane", "-p"]);
            if shown(&screen) {
                return screen;
            }
            assert!(Instant::now() < end, "the screen shows:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for a line that is this.
    pub fn wait_for_line(&self, line: &str) {
        self.wait_for(|screen| screen.lines().any(|shown| shown.trim_end() == line));
    }

    /// Gives a line to a `cat` that has the terminal, and waits until it has said it again: what is typed after that is
    /// surely typed to `cat`.
    pub fn wait_for_echo(&self, line: &str) {
        self.enter(line);
        self.wait_for(|screen| screen.lines().filter(|shown| shown.trim_end() == line).count() == 2);
    }

    /// Waits for the prompt of a shell.
    pub fn wait_for_prompt(&self, prompt: &str) {
        self.wait_for(|screen| screen.trim_end().ends_with(prompt));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let socket = self.folder.path().join("socket");
        let _ = Command::new("tmux").arg("-S").arg(socket).arg("kill-server").output();
    }
}
