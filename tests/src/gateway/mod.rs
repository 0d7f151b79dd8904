//! The gateway under test: `keyward dev` with a real Envoy, on manifests of the test's own, as a process.

mod builder;
mod envoy;
mod manifests;
pub(crate) mod survivors;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::artefacts;
use crate::client::{Agent, Http, Way, every_way};

use crate::process::Process;
pub use builder::Builder;
pub use manifests::Manifests;

/// The host that the worked example puts a credential in for.
pub const HOST: &str = "api.anthropic.com";

/// The name of the worked example's gateway.
pub const NAME: &str = "echo-bot";

/// One gateway, as the line that says `ready` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// `namespace/name`.
    pub key: String,
    /// Its proxy port.
    pub proxy: SocketAddr,
    /// Its transparent port.
    pub transparent: SocketAddr,
    /// The file with its CA certificate.
    pub ca: PathBuf,
}

/// A running `keyward dev`. Dropping it stops it, and fails the test when a process of it stays behind.
pub struct Gateway {
    process: Process,
    ready: Vec<Ready>,
    manifests: tempfile::TempDir,
    state: PathBuf,
    /// Keeps a state directory that the test did not bring alive until the end.
    _state_owner: Option<tempfile::TempDir>,
}

impl Gateway {
    /// Configures one.
    pub fn builder(manifests: Manifests) -> Builder {
        Builder::new(manifests)
    }

    /// The gateway; the first, where there are several.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        self.ready.first().expect("a gateway")
    }

    /// The gateway of this `namespace/name`.
    #[must_use]
    #[track_caller]
    pub fn named(&self, key: &str) -> &Ready {
        self.ready.iter().find(|ready| ready.key == key).unwrap_or_else(|| panic!("no gateway {key}"))
    }

    /// The certificate of its CA, PEM.
    #[must_use]
    pub fn ca(&self) -> String {
        self.ready().ca_text()
    }

    /// An agent for each port and protocol, that wants the credentialed host.
    #[must_use]
    pub fn every_way(&self) -> Vec<(String, Agent)> {
        every_way(self.ready().proxy, self.ready().transparent, HOST, &self.ca())
    }

    /// An agent that uses the proxy port.
    #[must_use]
    pub fn agent(&self, http: Http, host: &str) -> Agent {
        self.ready().agent(http, host)
    }

    /// An agent that uses the transparent port.
    #[must_use]
    pub fn transparent_agent(&self, http: Http, host: &str) -> Agent {
        Agent::new(Way::Direct(self.ready().transparent), http, host, &self.ca())
    }

    /// What it wrote to standard output so far, by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.process.output()
    }

    /// What it wrote to standard error so far, by line.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        self.process.errors()
    }

    /// The JSON lines of this `event` so far.
    #[must_use]
    pub fn events(&self, event: &str) -> Vec<Value> {
        let lines = self.lines();
        let values = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        values.filter(|value| value["event"] == event).collect()
    }

    /// Waits until a line of standard output holds all of these words. Panics after half a minute.
    pub async fn wait_for_line(&self, words: &[&str]) -> String {
        let found = |line: &String| words.iter().all(|word| line.contains(word));
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(line) = self.lines().into_iter().find(found) {
                return line;
            }
            assert!(
                Instant::now() < end,
                "no line with {words:?}; standard output:\n{}",
                self.lines().join("\n")
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Replaces a manifest at once, as an editor that renames does.
    pub fn write_manifest(&self, name: &str, text: &str) {
        manifests::write(self.manifests.path(), name, text);
    }

    /// Removes a manifest.
    pub fn remove_manifest(&self, name: &str) {
        std::fs::remove_file(self.manifests.path().join(name)).expect("a manifest to remove");
    }

    /// Runs `keyward secret set anthropic-credentials` with a new `api-key`; returns when it has.
    pub async fn set_key(&self, key: &str) -> Output {
        let arguments =
            ["secret", "set", "anthropic-credentials", "--from-env", "api-key=KEYWARD_TEST_NEW_KEY"];
        let mut command = Command::new(artefacts::keyward());
        command.args(arguments).arg("--state-dir").arg(&self.state).env("KEYWARD_TEST_NEW_KEY", key);
        tokio::task::spawn_blocking(move || command.output().expect("keyward starts"))
            .await
            .expect("no panic")
    }

    /// Its state directory.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The folder of its manifests.
    #[must_use]
    pub fn manifests(&self) -> &Path {
        self.manifests.path()
    }

    /// The processes that belong to it, `keyward` included: number and command line.
    #[must_use]
    pub fn processes(&self) -> Vec<(i32, String)> {
        survivors::of(&self.state)
    }

    /// The numbers of its Envoy processes.
    #[must_use]
    pub fn envoys(&self) -> Vec<i32> {
        let all = self.processes();
        let is_envoy =
            |command: &str| command.split(' ').next().is_some_and(|program| program.ends_with("/envoy"));
        all.into_iter().filter(|(_, command)| is_envoy(command)).map(|(id, _)| id).collect()
    }

    /// Sends a signal to `keyward` alone.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until `keyward` has ended and nothing of it is left; its exit code, None when a signal ended it.
    /// Panics when either takes too long.
    pub async fn ended(&mut self) -> Option<i32> {
        let code = self.process.ended(Duration::from_secs(30)).await.expect("keyward ends");
        survivors::gone(&self.state, Duration::from_secs(5)).await.expect("no process left");
        code
    }
}

impl Ready {
    /// The certificate of its CA, PEM.
    #[must_use]
    pub fn ca_text(&self) -> String {
        std::fs::read_to_string(&self.ca).expect("the file of the CA")
    }

    /// An agent that uses the proxy port.
    #[must_use]
    pub fn agent(&self, http: Http, host: &str) -> Agent {
        Agent::new(Way::Proxy(self.proxy, format!("{host}:443")), http, host, &self.ca_text())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.stop();
        let left = survivors::end(&self.state);
        assert!(left.is_empty() || std::thread::panicking(), "left behind by keyward: {left:?}");
    }
}
