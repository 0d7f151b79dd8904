//! Unmodified client software as an agent: told of proxy, CA and placeholder by its environment alone.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::artefacts::{root, tool};
use crate::gateway::Ready;
use crate::process::Process;
use crate::scenario::PLACEHOLDER;

/// How long a client may take to start and answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client program that is told `plain` or `streamed`.
pub struct Software {
    /// Its name in messages.
    pub name: &'static str,
    command: fn() -> Command,
}

/// curl; it speaks HTTP/2.
pub const CURL: Software = Software { name: "curl", command: || script("sh", "curl.sh") };

/// Every client program that the set-up installs.
pub const ALL: &[Software] = &[
    CURL,
    Software { name: "curl over HTTP/1.1", command: curl_1 },
    Software { name: "anthropic 1 for Python", command: || python("anthropic-1") },
    Software { name: "anthropic 2 for Python", command: || python("anthropic-2") },
    Software { name: "@anthropic-ai/sdk on Node 24", command: node },
];

fn script(interpreter: impl AsRef<std::ffi::OsStr>, name: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(root().join("tests/clients").join(name));
    command
}

fn curl_1() -> Command {
    let mut command = script("sh", "curl.sh");
    command.env("CURL_OPTIONS", "--http1.1");
    command
}

fn python(environment: &str) -> Command {
    script(tool(&format!("{environment}/bin/python")), "anthropic_sdk.py")
}

fn node() -> Command {
    let mut command = script(tool("node/bin/node"), "anthropic_sdk.cjs");
    command.env("NODE_PATH", tool("node/node_modules")).env("NODE_USE_ENV_PROXY", "1");
    command
}

impl Software {
    /// Starts it in front of a gateway, with nothing in its environment but what an agent is given.
    #[must_use]
    pub fn start(&self, mode: &str, gateway: &Ready) -> Run {
        self.start_with(mode, &gateway.ca, gateway.proxy)
    }

    /// Starts it behind any proxy: for tests without a gateway.
    #[must_use]
    pub fn start_with(&self, mode: &str, ca: &Path, proxy: SocketAddr) -> Run {
        Run(Process::spawn(self.prepared(mode, ca, proxy)))
    }

    fn prepared(&self, mode: &str, ca: &Path, proxy: SocketAddr) -> Command {
        let mut command = (self.command)();
        let given: Vec<_> =
            command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
        command.env_clear();
        for (name, value) in given {
            command.env(name, value.unwrap_or_default());
        }
        command.arg(mode).env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C.UTF-8");
        command.env("ANTHROPIC_API_KEY", PLACEHOLDER);
        for name in ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"] {
            command.env(name, ca);
        }
        command.env("HTTPS_PROXY", format!("http://{proxy}"));
        command
    }
}

/// A running client.
pub struct Run(Process);

impl Run {
    /// Waits until it has printed a line that starts so. Panics with all it wrote when it does not.
    pub async fn wait_for(&mut self, start: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.0.output().iter().any(|line| line.starts_with(start)) {
            assert!(Instant::now() < end && !self.0.is_over(), "no {start:?}: {}", self.written());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for its end, which must be a success, and returns its standard output by line.
    pub async fn output(mut self) -> Vec<String> {
        let code = self.0.ended(PATIENCE).await.expect("the client ends");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(code, Some(0), "{}", self.written());
        self.0.output()
    }

    /// Waits for its end, whatever it is, and returns all it wrote.
    pub async fn written_at_end(mut self) -> String {
        self.0.ended(PATIENCE).await.expect("the client ends");
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.written()
    }

    /// Waits for its end, which must be a failure, and returns all it wrote.
    pub async fn failure(mut self) -> String {
        let code = self.0.ended(PATIENCE).await.expect("the client ends");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_ne!(code, Some(0), "{}", self.written());
        self.written()
    }

    /// The lines printed so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.output()
    }

    fn written(&self) -> String {
        [self.0.output(), self.0.errors()].concat().join("\n")
    }
}
