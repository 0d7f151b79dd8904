//! What takes longer than a second says so, in a terminal and nowhere else.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::artefacts;
use harness::run::Run;
use harness::scenario::KEY;

/// Wipes out the line.
const WIPED: &str = "\r\u{1b}[K";

/// Runs a command in a terminal of its own, and returns what that shows.
fn in_a_terminal(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let line: Vec<_> = words.map(|word| format!("'{}'", word.display())).collect();
    let mut script = Command::new("script");
    script.args(["--quiet", "--flush", "--command", &line.join(" "), "/dev/null"]);
    script.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    script.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null());
    let output = script.output().expect("script, of util-linux");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// An Envoy that takes its time.
fn slow_envoy(folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("envoy");
    let script = "#!/bin/sh\ncase \"$*\" in *--version*) ;; *) sleep 2 ;; esac\nexec";
    std::fs::write(&path, format!("{script} '{}' \"$@\"\n", artefacts::envoy().display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_gateway_that_starts_slowly_is_waited_for_in_a_line_that_goes_away() {
    let run = Run::new().environment("ANTHROPIC_API_KEY", KEY);
    let command = |arguments: &[&str]| {
        let mut command = run.keyward();
        command.arg("run").arg("--module").arg(artefacts::module());
        command.arg("--envoy").arg(slow_envoy(&run.working_directory()));
        command.args(arguments).args(["echo", "ran"]);
        command
    };
    let line = "keyward: starting the gateway, 1 s ";
    let shown = in_a_terminal(&command(&[]));
    let (before, after) = shown.split_once(line).unwrap_or_else(|| panic!("{shown}"));
    assert!(!before.contains("ran\r\n") && after.contains("ran\r\n"), "{shown}");
    assert!(after.find(WIPED) < after.find("ran\r\n"), "{shown}");
    assert_eq!(in_a_terminal(&command(&["--quiet"])).trim_end(), "ran");
    let elsewhere = command(&[]).output().unwrap();
    assert!(elsewhere.status.success() && !String::from_utf8_lossy(&elsewhere.stderr).contains("starting"));
}

#[test]
fn a_secret_that_is_not_in_use_at_once_is_waited_for_in_a_line_that_goes_away() {
    let state = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(state.path().join("control.sock")).unwrap();
    let gateway = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        connection.read_exact(&mut [0]).unwrap();
        // It goes away without an answer.
        std::thread::sleep(Duration::from_millis(2500));
    });
    let run = Run::new().environment("NEW_KEY", KEY);
    let mut command = run.keyward();
    command.args(["secret", "set", "anthropic", "--from-env", "api-key=NEW_KEY", "--state-dir"]);
    command.arg(state.path());
    let shown = in_a_terminal(&command);
    gateway.join().unwrap();
    assert!(shown.contains("\rwaiting until every Envoy uses it, 1 s "), "{shown}");
    assert!(shown.contains(WIPED) && !shown.contains(KEY), "{shown}");
}
