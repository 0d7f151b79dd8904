//! A command that tries to get at the keys by way of the machine: under `keyward run` it finds none, and no way out but
//! the gateway. Without isolation it finds what `sandbox::REACHABLE` and SECURITY.md say.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use harness::artefacts;
use harness::gateway::Manifests;
use harness::scenario::KEY;

/// An ordinary user: the kernel's own for what is nobody's.
const NOBODY: u32 = 65534;

const PYTHON: &str = "/usr/bin/python3";

/// A secret that lies in a manifest.
const IN_A_MANIFEST: &str = "sk-ant-in-a-manifest-7Rk2vXw9Qm";

/// Everything that a run needs, in one directory that its user can read.
struct World {
    folder: tempfile::TempDir,
    user: u32,
    environment: Vec<(&'static str, String)>,
}

impl World {
    fn new(user: u32) -> World {
        let folder = tempfile::Builder::new().prefix("escape").tempdir_in("/var/tmp").unwrap();
        let world = World { folder, user, environment: Vec::new() };
        for name in ["manifests", "work", "home", "bin"] {
            fs::create_dir(world.path(name)).unwrap();
        }
        for (name, text) in Manifests::worked_example().files() {
            fs::write(world.path("manifests").join(name), text).unwrap();
        }
        fs::write(world.path("manifests/note.txt"), IN_A_MANIFEST).unwrap();
        fs::write(world.path("work/.env"), format!("ANTHROPIC_API_KEY={KEY}\n")).unwrap();
        let clients = artefacts::root().join("tests/clients");
        for (from, to) in [
            (artefacts::keyward().to_owned(), "bin/keyward"),
            (artefacts::module().to_owned(), "bin/keyward.wasm"),
            (artefacts::envoy(), "bin/envoy"),
            (clients.join("escape.py"), "bin/escape.py"),
            (clients.join("escape_world.py"), "bin/escape_world.py"),
            (clients.join("doors.py"), "bin/doors.py"),
        ] {
            fs::copy(from, world.path(to)).unwrap();
        }
        let owner = format!("{user}:{user}");
        let changed = Command::new("chown").arg("-R").arg(owner).arg(world.folder.path()).status();
        assert!(user == rustix::process::geteuid().as_raw() || changed.unwrap().success());
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command under `keyward run`, in namespaces with something to reach.
    fn run(&self, arguments: &[&str], command: &[&str], input: &str) -> Output {
        let mut whole = Command::new("unshare");
        let is_root = rustix::process::geteuid().is_root();
        let ways: &[&str] = if is_root { &[] } else { &["--user", "--map-current-user", "--keep-caps"] };
        whole
            .args(ways)
            .args(["--net", "--mount", "--ipc"])
            .arg(PYTHON)
            .arg(self.path("bin/escape_world.py"))
            .arg(self.user.to_string());
        whole.arg(self.path("bin/keyward")).arg("run").args(arguments);
        whole.arg("--manifests").arg(self.path("manifests")).arg("--state-dir").arg(self.path("state"));
        whole.args(["--secret", "anthropic-credentials=ANTHROPIC_API_KEY"]);
        whole.arg("--envoy").arg(self.path("bin/envoy")).arg("--module").arg(self.path("bin/keyward.wasm"));
        whole.arg("--").args(command).current_dir(self.path("work"));
        whole.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("ANTHROPIC_API_KEY", KEY);
        whole.env("HOME", self.path("home"));
        whole.envs(self.environment.iter().map(|(name, value)| (name, value)));
        whole.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = whole.spawn().expect("unshare, of util-linux");
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// What the escape finds. The state directory is there already, so that what to look for is known.
    fn escape(&self, arguments: &[&str]) -> BTreeSet<String> {
        let first = self.run(&["--isolate=off"], &["true"], "");
        assert!(first.status.success(), "{first:?}");
        let (state, manifests) = (self.path("state"), self.path("manifests"));
        let escape = self.path("bin/escape.py");
        let words = [PYTHON, text(&escape), text(&state), text(&manifests), "LOCAL", "OUTSIDE"];
        let output = self.run(arguments, &words, &self.needles());
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let found: BTreeSet<String> = lines.lines().map(str::to_owned).collect();
        assert!(output.status.success() && found.contains("done"), "{lines}\n{errors}");
        found
    }

    /// What is looked for, each value in complement.
    fn needles(&self) -> String {
        let keyring = fs::read_to_string(self.path("state/keyring")).unwrap();
        let sealing = keyring.trim().split_once(':').unwrap().1;
        let ca = harness::search::files_under(&self.path("state"))
            .into_iter()
            .find(|file| file.ends_with("ca.key"));
        let ca = fs::read_to_string(ca.expect("the CA's key")).unwrap();
        let ca = ca.lines().nth(1).expect("a line of the CA's key");
        let needles = [("key", KEY), ("sealing-key", sealing), ("ca-key", ca), ("manifest", IN_A_MANIFEST)];
        let hidden = |value: &str| value.bytes().map(|byte| format!("{:02x}", !byte)).collect::<String>();
        needles.iter().map(|(name, value)| format!("{name}={}\n", hidden(value))).collect()
    }
}

/// Sockets that listen, and the variables that name some of them; then those that the command is to have.
fn doors(world: &World) -> (Vec<String>, Vec<(&'static str, String)>, Vec<String>) {
    let runtime = format!("/run/user/{}", world.user);
    let of_home = |name: &str| world.path("home").join(name).display().to_string();
    let mut doors: Vec<String> = [
        "/run/docker.sock",
        "/run/podman/podman.sock",
        "/run/containerd/containerd.sock",
        "/run/systemd/private",
        "/run/dbus/system_bus_socket",
        "/tmp/.X11-unix/X7",
        "/tmp/dbus-x7Rk2vXw9Q",
        "/tmp/vscode-ipc-7.sock",
        // Without a file: a display and a session bus.
        "@/tmp/.X11-unix/X7",
        "@/tmp/dbus-x7Rk2vXw9Q",
    ]
    .map(str::to_owned)
    .into();
    doors.extend(
        [
            "bus",
            "systemd/private",
            "docker.sock",
            "wayland-0",
            "sway-ipc.7.sock",
            "emacs/server",
            "gnupg/S.gpg-agent",
        ]
        .map(|name| format!("{runtime}/{name}")),
    );
    doors.push(format!("/tmp/tmux-{}/default", world.user));
    doors.extend([".docker/run/docker.sock", ".gnupg/S.gpg-agent", "engine", "tmux", "code"].map(of_home));
    let agent = format!("{runtime}/keyring/ssh");
    let kept = vec![agent.clone(), "/run/postgresql/.s.PGSQL.5432".to_owned()];
    let variables = vec![
        ("DOCKER_HOST", format!("unix://{}", of_home("engine"))),
        ("TMUX", format!("{},7,0", of_home("tmux"))),
        ("VSCODE_IPC_HOOK_CLI", of_home("code")),
        ("XDG_RUNTIME_DIR", runtime),
        ("SSH_AUTH_SOCK", agent),
    ];
    (doors, variables, kept)
}

/// With the machine's network, where more is in reach.
#[test]
fn no_other_program_of_the_user_is_reached_that_runs_commands_for_it() {
    for user in users() {
        let mut world = World::new(user);
        let (doors, variables, kept) = doors(&world);
        let all: Vec<_> = doors.iter().chain(&kept).cloned().collect();
        world.environment = variables;
        world.environment.push(("DOORS", all.join("\n")));
        let client = world.path("bin/doors.py");
        let tried = |isolate: &str| {
            let output = world.run(&[isolate, "--network=host"], &[PYTHON, text(&client)], "");
            let lines = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{isolate}: {lines}{}", String::from_utf8_lossy(&output.stderr));
            lines.lines().map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let connected = |doors: &[String]| doors.iter().map(|door| format!("connected {door}")).collect();
        let mut expected: BTreeSet<String> = connected(&kept);
        expected.insert("done".to_owned());
        assert_eq!(tried("--isolate=require"), expected, "user {user}");
        // The control: they listen, and there is something to find.
        let others = ["done", "found a key of the session", "found shared memory", "opened a queue"];
        let expected: BTreeSet<String> = connected(&all);
        assert_eq!(
            tried("--isolate=off"),
            expected.into_iter().chain(others.map(str::to_owned)).collect(),
            "user {user}"
        );
    }
}

/// `keyward dev` keeps the key of `--secret` out of its environment too.
#[tokio::test]
async fn the_key_is_in_no_initial_environment_of_keyward_dev() {
    let gateway = harness::gateway::Gateway::builder(Manifests::worked_example()).key(KEY).start().await;
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let ours = |path: &PathBuf| {
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(text(gateway.state()))
    };
    let environments: Vec<Vec<u8>> =
        processes.filter(ours).map(|path| fs::read(path.join("environ")).unwrap_or_default()).collect();
    // `keyward` and Envoy at least, and one of them with the sealing keys.
    assert!(environments.len() >= 2);
    for environment in environments {
        assert!(!String::from_utf8_lossy(&environment).contains(KEY));
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Root and an ordinary user, where the tests run as root; else who they run as.
fn users() -> Vec<u32> {
    match rustix::process::geteuid().as_raw() {
        0 => vec![0, NOBODY],
        user => vec![user],
    }
}

#[test]
fn a_command_with_a_network_of_its_own_finds_no_key_and_no_way_out_but_the_gateway() {
    for user in users() {
        let found = World::new(user).escape(&["--isolate=require", "--network=gateway"]);
        let expected =
            ["descriptors 0 1 2", "done", "listening 1", "mounted something", "reached the gateway"];
        assert_eq!(found, expected.map(str::to_owned).into(), "user {user}");
    }
}

#[test]
fn on_the_machines_network_it_finds_no_key_and_no_socket_of_ours() {
    for user in users() {
        let mut found = World::new(user).escape(&["--isolate=require", "--network=host"]);
        found.retain(|line| !line.starts_with("listening"));
        let expected = [
            "descriptors 0 1 2",
            "done",
            "mounted something",
            "reached the gateway",
            "reached the server on this machine",
            "reached the server outside",
        ];
        assert_eq!(found, expected.map(str::to_owned).into(), "user {user}");
    }
}

/// The control of both: each attempt succeeds where nothing keeps it from succeeding.
#[test]
fn without_isolation_it_finds_what_the_documents_say() {
    for user in users() {
        let found = World::new(user).escape(&["--isolate=off"]);
        let expected = [
            "found manifest in the manifests",
            "found ca-key in the state directory",
            "found sealing-key in the state directory",
            "found key in .env",
            "found sealing-key in an environment",
            "found sealing-key in memory",
            "found key in memory",
            "copied memory",
            "traced a process",
            "connected admin",
            "answered admin",
            "connected control",
            "reached the server on this machine",
            "reached the server outside",
            "reached the gateway",
        ];
        for line in expected {
            assert!(found.contains(line), "user {user}: {line} is missing among {found:?}");
        }
        // The keys left every environment all the same, and Envoy's own socket serves Envoy alone.
        for line in ["found key in an environment", "answered xds", "connected abstract"] {
            assert!(!found.contains(line), "user {user}: {line}");
        }
    }
}
