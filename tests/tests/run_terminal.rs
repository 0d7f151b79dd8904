//! `keyward run` around a shell in a real terminal.

use std::process::Command;
use std::time::{Duration, Instant};

use harness::run::Run;
use harness::scenario::KEY;

/// How long the terminal may take to show something on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal of tmux's, on a server of its own.
struct Terminal {
    folder: tempfile::TempDir,
}

impl Terminal {
    /// One in which this command runs; the terminal stays when it has ended.
    fn start(command: &Command) -> Terminal {
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

    fn tmux(&self, arguments: &[&str]) -> String {
        let socket = self.folder.path().join("socket");
        let output = Command::new("tmux").arg("-S").arg(socket).args(arguments).output();
        let output = output.expect("tmux, which the set-up installs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn keys(&self, keys: &str) {
        self.tmux(&["send-keys", keys]);
    }

    fn enter(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.keys("Enter");
    }

    /// Gives a line to a shell, and waits until it says this. What is typed before is typed to the shell's editor of
    /// lines, and not to what the shell runs.
    fn enter_and_run(&self, line: &str, says: &str) {
        self.enter(line);
        self.wait_for_line(says);
    }

    fn wait_for(&self, shown: impl Fn(&str) -> bool) -> String {
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
    fn wait_for_line(&self, line: &str) {
        self.wait_for(|screen| screen.lines().any(|shown| shown.trim_end() == line));
    }

    /// Gives a line to a `cat` that has the terminal, and waits until it has said it again: what is typed after that is
    /// surely typed to `cat`.
    fn wait_for_echo(&self, line: &str) {
        self.enter(line);
        self.wait_for(|screen| screen.lines().filter(|shown| shown.trim_end() == line).count() == 2);
    }

    /// Waits for the prompt of a shell.
    fn wait_for_prompt(&self, prompt: &str) {
        self.wait_for(|screen| screen.trim_end().ends_with(prompt));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let socket = self.folder.path().join("socket");
        let _ = Command::new("tmux").arg("-S").arg(socket).arg("kill-server").output();
    }
}

#[test]
fn a_shell_in_a_terminal_works_as_without_it() {
    for isolate in ["--isolate=auto", "--isolate=off"] {
        let run = Run::new().environment("ANTHROPIC_API_KEY", KEY).arguments(&["--quiet", isolate]);
        let shell = ["--", "env", "PS1=inner> ", "bash", "--norc", "--noprofile", "-i"];
        let terminal = Terminal::start(&run.command(&shell));
        terminal.wait_for_prompt("inner>");

        // Ctrl-C ends what the shell runs, and neither the shell nor keyward.
        terminal.enter_and_run("echo reading; cat", "reading");
        terminal.wait_for_echo("first");
        terminal.keys("C-c");
        terminal.wait_for_prompt("inner>");
        terminal.enter("echo \"code $?\"");
        terminal.wait_for_line("code 130");

        terminal.tmux(&["resize-window", "-x", "83", "-y", "24"]);
        terminal.wait_for_prompt("inner>");
        terminal.enter("stty size");
        terminal.wait_for_line("24 83");

        // Job control of the shell inside.
        terminal.enter_and_run("echo once more; cat", "once more");
        terminal.wait_for_echo("second");
        terminal.keys("C-z");
        terminal.wait_for(|screen| screen.contains("Stopped"));
        terminal.wait_for_prompt("inner>");
        terminal.enter_and_run("echo on; fg; echo \"then $?\"", "on");
        terminal.wait_for_echo("third");
        terminal.keys("C-d");
        terminal.wait_for_line("then 0");

        terminal.enter("exit 3");
        terminal.wait_for_line("ended with 3");
        terminal.wait_for_prompt("outer>");
    }
}

#[test]
fn ctrl_z_stops_a_command_and_fg_goes_on_with_it() {
    for isolate in ["--isolate=auto", "--isolate=off"] {
        let run = Run::new().environment("ANTHROPIC_API_KEY", KEY).arguments(&["--quiet", isolate]);
        let script = "echo begun; read line; echo \"read $line\"; exit 4";
        let terminal = Terminal::start(&run.command(&["--", "sh", "-c", script]));
        terminal.wait_for_line("begun");
        terminal.keys("C-z");
        terminal.wait_for(|screen| screen.contains("Stopped"));
        terminal.wait_for_prompt("outer>");
        terminal.enter_and_run("echo on; fg; echo \"then $?\"", "on");
        terminal.enter("something");
        terminal.wait_for_line("read something");
        terminal.wait_for_line("then 4");
    }
}

/// A command that types (TIOCSTI) for the shell to execute when the command has ended, in the ways there are to ask for it.
const TYPES: &str = r#"
import ctypes, fcntl
libc = ctypes.CDLL(None, use_errno=True)
refused = 0
for character in "echo typed-$((1+1))\n":
    byte = ctypes.c_char(character.encode())
    # The kernel looks at the lower half of the number alone.
    for request in (0x5412, 0x100005412):
        if libc.ioctl(0, ctypes.c_ulong(request), ctypes.byref(byte)) == 0:
            break
        refused += 1
print("refused", refused)
"#;

#[test]
fn what_a_command_types_into_its_terminal_reaches_no_shell() {
    for (isolate, refused) in [("--isolate=require", 40), ("--isolate=off", 0)] {
        let run = Run::new().environment("ANTHROPIC_API_KEY", KEY).arguments(&["--quiet", isolate]);
        std::fs::write(run.working_directory().join("types.py"), TYPES).unwrap();
        let terminal = Terminal::start(&run.command(&["--", "python3", "types.py"]));
        terminal.wait_for_line(&format!("refused {refused}"));
        terminal.wait_for_line("ended with 0");
        terminal.wait_for_prompt("outer>");
        terminal.enter("echo \"after $?\"");
        terminal.wait_for_line("after 0");
        let typed = terminal.wait_for(|_| true).lines().any(|line| line.trim_end() == "typed-2");
        assert_eq!(typed, refused == 0, "{isolate}");
    }
}
