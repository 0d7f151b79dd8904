//! `keyward run` around a shell in a real terminal.

use harness::run::Run;
use harness::scenario::KEY;
use harness::terminal::Terminal;

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
