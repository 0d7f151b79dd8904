//! What `keyward run` does where the kernel refuses, and what a command cannot leave behind.

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::process::Process;
use harness::run::Run;
use harness::scenario::KEY;

fn run(isolate: &str) -> Run {
    Run::new().environment("ANTHROPIC_API_KEY", KEY).arguments(&[&format!("--isolate={isolate}")])
}

/// Its command line with this in front.
fn behind(words: &[&str], run: &Run, command: &[&str]) -> Command {
    let keyward = run.command(command);
    let mut whole = Command::new(words[0]);
    whole.args(&words[1..]).arg(keyward.get_program()).args(keyward.get_args());
    whole.env_clear().envs(keyward.get_envs().filter_map(|(name, value)| Some((name, value?))));
    whole.current_dir(keyward.get_current_dir().unwrap());
    whole
}

/// Runs it where the kernel allows no further user namespace.
fn refused(run: &Run, command: &[&str]) -> (Option<i32>, String, String) {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let mut whole = behind(&["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"], run, command);
    let output = whole.output().expect("unshare, of util-linux");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn where_the_kernel_refuses_it_is_said_in_one_line_or_the_command_does_not_run() {
    let (code, output, errors) = refused(&run("auto"), &["echo", "ran"]);
    assert_eq!((code, output.as_str()), (Some(0), "ran\n"), "{errors}");
    let lines: Vec<_> = errors.lines().filter(|line| line.contains("not isolated")).collect();
    assert_eq!(lines.len(), 1, "{errors}");
    for part in ["refuses a user namespace", "user.max_user_namespaces", "Envoy's environment and memory"] {
        assert!(lines[0].contains(part), "{part}: {errors}");
    }
    for required in [run("require"), run("auto").arguments(&["--network=gateway"])] {
        let (code, output, errors) = refused(&required, &["echo", "ran"]);
        assert_eq!((code, output.as_str()), (Some(1), ""), "{errors}");
        assert!(errors.contains("refuses a user namespace"), "{errors}");
    }
}

/// Refuses further filters of system calls, as a kernel does that has none, and becomes what follows.
const WITHOUT_FILTERS: &str = "
import ctypes, os, platform, struct, sys
number = {'x86_64': 317, 'aarch64': 277}[platform.machine()]
LOAD, EQUAL, RETURN, INVALID, ALLOW = 0x20, 0x15, 0x06, 0x00050016, 0x7fff0000
steps = [(LOAD, 0, 0, 0), (EQUAL, 0, 1, number), (RETURN, 0, 0, INVALID), (RETURN, 0, 0, ALLOW)]
program = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
filters = struct.pack('HxxxxxxP', len(steps), ctypes.addressof(program))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filters, 0, 0) == 0, ctypes.get_errno()
os.execvp(sys.argv[1], sys.argv[1:])
";

#[test]
fn where_system_calls_cannot_be_filtered_the_remedy_is_about_that() {
    let run = run("auto");
    let output =
        behind(&["python3", "-c", WITHOUT_FILTERS], &run, &["echo", "ran"]).output().expect("python3");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"ran\n"[..]), "{errors}");
    let line = errors.lines().find(|line| line.contains("not isolated")).expect(&errors);
    for part in ["refuses a filter of system calls (", "CONFIG_SECCOMP_FILTER", "the system call seccomp"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!line.contains("user namespaces"), "{line}");
}

#[tokio::test]
async fn what_a_command_leaves_behind_ends_with_it() {
    for isolate in ["require", "off"] {
        let run = run(isolate);
        // Away from its parent, its process group and its terminal.
        let ended = run.ended(&["sh", "-c", "setsid setsid sleep 1000 >/dev/null 2>&1 & exit 5"]).await;
        assert_eq!(ended.code, Some(5), "{isolate}: {ended:?}");
        run.gone().await;
    }
}

#[tokio::test]
async fn a_killed_keyward_leaves_no_process_and_no_listening_socket() {
    for arguments in [&["--isolate=require"][..], &["--isolate=off"], &["--network=gateway"]] {
        let run = Run::new().environment("ANTHROPIC_API_KEY", KEY).arguments(arguments);
        // Away from its parent, its process group and its terminal.
        let script =
            "setsid setsid sleep 1000 >/dev/null 2>&1 & sleep 1; echo ${HTTPS_PROXY##*:}; exec sleep 2000";
        let mut process = run.spawn(&["sh", "-c", script]);
        let line = process.first_line(Duration::from_secs(60)).await.expect("it starts");
        let port: u16 = line.trim().trim_end_matches('/').parse().expect("a port");
        let has = |program: &str| run.processes().iter().any(|process| process.1.starts_with(program));
        assert!(has("sleep 1000") && has("sleep 2000"), "{arguments:?}: {:?}", run.processes());
        let connects = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        // With a network of its own the port is one there.
        assert_eq!(connects(), arguments != ["--network=gateway"], "{arguments:?}");
        let started = Instant::now();
        process.signal(rustix::process::Signal::KILL);
        run.gone().await;
        // A process loses its command line a little before its sockets.
        while connects() && started.elapsed() < Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "{arguments:?}: {took:?}");
    }
}

/// Connections to the way out, more than may be carried where few files may be open, take nothing from anybody else.
#[tokio::test]
async fn a_command_that_takes_every_connection_harms_only_itself() {
    let run = Run::new().environment("ANTHROPIC_API_KEY", KEY).arguments(&["--network=gateway"]);
    // No more than wait in a listening socket: a kernel forgets some of those.
    let script = "\
import os, socket, time
host, port = os.environ['HTTPS_PROXY'].removeprefix('http://').rstrip('/').split(':')
held = []
for _ in range(900):
    held.append(socket.socket())
    held[-1].setblocking(False)
    held[-1].connect_ex((host, int(port)))
print('held', flush=True)
while not os.path.exists('go'):
    time.sleep(0.05)
for one in held[:800]:
    one.close()
with socket.create_connection((host, int(port)), 60) as last:
    last.sendall(b'CONNECT localhost:443 HTTP/1.1\\r\\nHost: localhost:443\\r\\n\\r\\n')
    assert last.recv(100).startswith(b'HTTP/1.1 '), 'no answer'
";
    let few = ["sh", "-c", "ulimit -n 1024 && exec \"$@\"", "sh"];
    let mut process = Process::spawn(behind(&few, &run, &["python3", "-c", script]));
    let held = process.first_line(Duration::from_secs(60)).await.expect("it starts");
    assert_eq!(held, "held");
    // Two for each connection that is carried, of 256.
    let files = |(id, command): (i32, String)| match command.contains("keyward run") {
        true => std::fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count),
        false => 0,
    };
    let most = || run.processes().into_iter().map(files).max().unwrap_or_default();
    let says = |line: &&String| line.contains("the command has all its connections to the gateway");
    let started = Instant::now();
    while !process.errors().iter().any(|line| says(&line)) {
        assert!(started.elapsed() < Duration::from_secs(60), "{} files", most());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(most() < 600, "{} files", most());
    let status = run.keyward().arg("status").output().unwrap();
    assert_eq!(status.status.code(), Some(0), "{}", String::from_utf8_lossy(&status.stderr));
    std::fs::write(run.working_directory().join("go"), "").unwrap();
    let ended = process.ended(Duration::from_secs(60)).await.unwrap();
    let errors = process.errors();
    assert_eq!(ended, Some(0), "{}", errors.join("\n"));
    assert_eq!(errors.iter().filter(says).count(), 1, "{}", errors.join("\n"));
    run.gone().await;
}

/// What is hidden of a directory's file is the file: SECURITY.md says so.
#[tokio::test]
async fn a_dot_env_that_is_there_at_the_start_is_hidden_and_one_that_comes_later_is_not() {
    let run = run("require");
    let path = |name: &str| run.working_directory().join(name);
    let line = format!("ANTHROPIC_API_KEY={KEY}\n");
    std::fs::write(path(".env"), &line).unwrap();
    let script = "echo \"first $(cat .env)\"; until [ -e go ]; do sleep 0.1; done; cat .env .env.local";
    let command = ["sh", "-c", script];
    let ending = run.ended(&command);
    let replaced = async {
        // As editors do it, and git; once the command runs.
        while !run.processes().iter().any(|process| process.1.starts_with("sleep 0.1")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for name in [".env", ".env.local"] {
            std::fs::write(path("saved"), &line).unwrap();
            std::fs::rename(path("saved"), path(name)).unwrap();
        }
        std::fs::write(path("go"), "").unwrap();
    };
    let (ended, ()) = tokio::join!(ending, replaced);
    assert_eq!(ended.output, format!("first \n{line}{line}"), "{ended:?}");
}

#[tokio::test]
async fn a_command_cannot_signal_what_runs_it() {
    let ended = run("require").ended(&["sh", "-c", "trap '' TERM; kill -TERM 0; kill -KILL 1; exit 6"]).await;
    assert_eq!(ended.code, Some(6), "{ended:?}");
}

#[tokio::test]
async fn no_program_gives_the_command_a_privilege() {
    let script = "grep -E '^(Cap|NoNewPrivs)' /proc/self/status; unshare --mount true && echo mounts";
    let ended = run("require").ended(&["sh", "-c", script]).await;
    let lines: Vec<_> = ended.output.lines().collect();
    assert_eq!(lines.len(), 6, "{ended:?}");
    for line in lines {
        let (name, value) = line.split_once(":\t").unwrap();
        assert_eq!(value, if name == "NoNewPrivs" { "1" } else { "0000000000000000" }, "{name}");
    }
}
