//! `keyward dev` as a user runs it, in front of a generated world: how long it takes to serve, what it uses, and how a
//! Secret is set.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use harness::client::{Agent, Http, Way};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use super::{process, tenants};

/// How long a start may take: more than the program itself allows.
const START: Duration = Duration::from_secs(60);

/// How long a gateway may take to end after SIGTERM.
const END: Duration = Duration::from_secs(10);

/// A running gateway. Dropping it ends it and its Envoy.
pub(crate) struct Gateway {
    keyward: PathBuf,
    child: Child,
    /// Manifests.
    pub(crate) manifests: tempfile::TempDir,
    state: tempfile::TempDir,
    proxy: SocketAddr,
    ca: String,
    /// From the start of the program to its ready line.
    pub(crate) ready: Duration,
    /// When the program was started.
    pub(crate) started: Instant,
}

impl Gateway {
    /// Starts a `keyward` on manifests of this many tenants. Panics when it does not become ready.
    #[must_use]
    pub(crate) fn start(keyward: &Path, tenants: usize, upstream: SocketAddr, ca: &str) -> Gateway {
        let folder = || tempfile::Builder::new().prefix("kw").tempdir().expect("a temporary directory");
        let (manifests, state) = (folder(), folder());
        tenants::write(manifests.path(), tenants, upstream.port(), ca).expect("manifests");
        let mut command = Command::new(keyward);
        command.args(["dev", "--json", "--no-inspect", "--no-usage", "--listen", "127.0.0.1:0"]);
        command.arg("--manifests").arg(manifests.path()).arg("--state-dir").arg(state.path());
        command.arg("--module").arg(harness::artefacts::module());
        command.arg("--envoy").arg(harness::artefacts::envoy());
        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).process_group(0).spawn().expect("keyward starts");
        let ready = first_line(&mut child);
        let line = ready.recv_timeout(START);
        let ready = started.elapsed();
        let line = line.unwrap_or_else(|_| {
            end(&mut child);
            panic!("keyward dev did not become ready with {tenants} tenants")
        });
        let gateway = &serde_json::from_str::<Value>(&line).expect("a line of JSON")["gateways"][0];
        let text = |field: &str| gateway[field].as_str().unwrap_or_default().to_owned();
        let proxy = text("proxy").trim_start_matches("http://").parse().expect("an address");
        let ca = std::fs::read_to_string(text("ca")).expect("the file of the CA");
        Gateway { keyward: keyward.to_owned(), child, manifests, state, proxy, ca, ready, started }
    }

    /// An agent that wants a tenant's host.
    #[must_use]
    pub(crate) fn agent(&self, http: Http, tenant: usize) -> Agent {
        let host = tenants::host(tenant);
        Agent::new(Way::Proxy(self.proxy, format!("{host}:443")), http, &host, &self.ca)
    }

    /// The number of the controller.
    #[must_use]
    pub(crate) fn controller(&self) -> i32 {
        Pid::from_child(&self.child).as_raw_nonzero().get()
    }

    /// The number of its Envoy. Panics when there is none.
    #[must_use]
    pub(crate) fn envoy(&self) -> i32 {
        *process::children(self.controller(), "envoy").first().expect("an Envoy")
    }

    /// Bytes that its Envoy has received from the controller so far.
    #[must_use]
    pub(crate) fn pushed(&self) -> u64 {
        let admin = find(self.state.path(), "admin.sock").expect("the admin socket");
        let path = "/stats?filter=^cluster\\.xds\\.upstream_cx_rx_bytes_total$";
        let answer = harness::admin::ask(&admin, path).expect("the admin interface");
        let line = answer.lines().find(|line| line.starts_with("cluster.xds."));
        let count = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        count.unwrap_or_else(|| panic!("no count of bytes in {answer}"))
    }

    /// `keyward secret set` with a tenant's key of this generation: returns when it has. Panics when it fails.
    pub(crate) async fn set(&self, tenant: usize, generation: usize) {
        let secret = tenants::secret(tenant);
        let mut command = tokio::process::Command::new(&self.keyward);
        command.args([
            "secret",
            "set",
            &secret,
            "--from-env",
            "api-key=KEYWARD_BENCH_KEY",
            "--timeout",
            "30s",
        ]);
        command.arg("--state-dir").arg(self.state.path());
        command.env("KEYWARD_BENCH_KEY", tenants::key(tenant, generation)).kill_on_drop(true);
        let output = command.output().await.expect("keyward starts");
        assert!(output.status.success(), "secret set: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// The first line of standard output, once it is there. The rest is read and dropped.
fn first_line(child: &mut Child) -> mpsc::Receiver<String> {
    let pipe = child.stdout.take().expect("a pipe");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            // Nobody listens after the first.
            let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
        }
    });
    receiver
}

fn end(child: &mut Child) {
    let id = Pid::from_child(child);
    // It may have ended by itself.
    let _ = kill_process(id, Signal::TERM);
    let deadline = Instant::now() + END;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    if matches!(child.try_wait(), Ok(None)) {
        let _ = kill_process_group(id, Signal::KILL);
        let _ = child.wait();
    }
}

/// A file of this name somewhere below a folder.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    entries.map(|entry| entry.path()).find_map(|path| match path.is_dir() {
        true => find(&path, name),
        false => (path.file_name()?.to_str()? == name).then_some(path),
    })
}
