//! Unmodified client software as an agent: told of proxy, CA and placeholder by its environment alone.

mod catalogue;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::gateway::Ready;
use crate::process::Process;

pub use catalogue::{
    ALL, AZURE_KEY, AZURE_TOKEN, BEDROCK, CURL, DYNAMODB, GEMINI, GIT, HTTP, OPENAI_CHAT, OPENAI_EMBEDDINGS,
    OPENAI_RESPONSES, S3, STS, VERTEX, every,
};

/// How long a client may take to start and answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What stands in the environment of a client for the file of the CA, for the URL of the proxy, and for options of Java
/// that name a trust store with the CA.
const CA: &str = "{the file of the CA}";
const PROXY: &str = "{the URL of the proxy}";
const TRUST_STORE: &str = "{the trust store of the CA}";

/// Variables that have to do with this machine and the scripts, not with what a client needs.
const OURS: &[&str] = &[
    "AWS_CONFIG_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_SHARED_CREDENTIALS_FILE",
    "CURL_OPTIONS",
    "LC_ALL",
    "NODE_PATH",
    "PATH",
];

/// A client program that is told its mode: `plain`, `streamed`, or what else its script knows.
pub struct Software {
    /// Its name in messages: the client, and after a comma what is asked of it.
    pub name: &'static str,
    /// Its command, with every variable that it needs and no other.
    command: fn() -> Command,
}

impl Software {
    /// The client, as the table of docs/clients.md names it.
    #[must_use]
    pub fn client(&self) -> &'static str {
        self.name.split(',').next().unwrap_or_default()
    }

    /// The variables that it is given.
    #[must_use]
    pub fn variables(&self) -> BTreeSet<String> {
        let command = (self.command)();
        let names = command.get_envs().map(|(name, _)| name.to_string_lossy().into_owned());
        names.filter(|name| !OURS.contains(&name.as_str())).collect()
    }

    /// Starts it in front of a gateway, with nothing in its environment but what an agent is given.
    #[must_use]
    pub fn start(&self, mode: &str, gateway: &Ready) -> Run {
        self.start_with(mode, &gateway.ca, gateway.proxy)
    }

    /// Starts it behind any proxy: for tests without a gateway.
    #[must_use]
    pub fn start_with(&self, mode: &str, ca: &Path, proxy: SocketAddr) -> Run {
        self.start_given(mode, ca, proxy, &[])
    }

    /// Starts it behind any proxy, with other values in its environment: for a server that is tested by itself.
    #[must_use]
    pub fn start_given(&self, mode: &str, ca: &Path, proxy: SocketAddr, given: &[(&str, String)]) -> Run {
        let mut command = (self.command)();
        let environment: Vec<_> = command
            .get_envs()
            .map(|(name, value)| (name.to_owned(), value.unwrap_or_default().to_owned()))
            .collect();
        command.env_clear().arg(mode);
        let folder = tempfile::tempdir().expect("a temporary directory");
        for (name, value) in environment {
            match value.to_str() {
                Some(CA) => command.env(name, ca),
                Some(PROXY) => command.env(name, format!("http://{proxy}")),
                Some(TRUST_STORE) => command.env(name, trust_store(ca, folder.path())),
                _ => command.env(name, value),
            };
        }
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C.UTF-8");
        command.envs(given.iter().map(|(name, value)| (name, value)));
        Run { process: Process::spawn(command), _folder: folder }
    }
}

/// Makes a trust store with the CA, and returns the options by which Java takes it.
fn trust_store(ca: &Path, folder: &Path) -> String {
    let store = folder.join("trust.p12");
    let mut keytool = Command::new("keytool");
    keytool.args(["-importcert", "-noprompt", "-storepass", "changeit", "-file"]).arg(ca);
    let output = keytool.arg("-keystore").arg(&store).output().expect("keytool of a JDK");
    assert!(output.status.success(), "{output:?}");
    format!("-Djavax.net.ssl.trustStore={} -Djavax.net.ssl.trustStorePassword=changeit", store.display())
}

/// A running client.
pub struct Run {
    process: Process,
    /// What it needs beside the CA's own file.
    _folder: TempDir,
}

impl Run {
    /// Waits until it has printed a line that starts so. Panics with all it wrote when it does not.
    pub async fn wait_for(&mut self, start: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.process.output().iter().any(|line| line.starts_with(start)) {
            assert!(Instant::now() < end && !self.process.is_over(), "no {start:?}: {}", self.written());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for its end, which must be a success, and returns its standard output by line.
    pub async fn output(mut self) -> Vec<String> {
        let code = self.process.ended(PATIENCE).await.expect("the client ends");
        assert_eq!(code, Some(0), "{}", self.written());
        self.process.output()
    }

    /// Waits for its end: its standard output by line if that is a success, else all it wrote.
    ///
    /// # Errors
    /// All it wrote, when it fails.
    pub async fn ended(mut self) -> Result<Vec<String>, String> {
        let code = self.process.ended(PATIENCE).await.expect("the client ends");
        if code == Some(0) { Ok(self.process.output()) } else { Err(self.written()) }
    }

    /// Waits for its end, whatever it is, and returns all it wrote.
    pub async fn written_at_end(mut self) -> String {
        self.process.ended(PATIENCE).await.expect("the client ends");
        self.written()
    }

    /// Waits for its end, which must be a failure, and returns all it wrote.
    pub async fn failure(mut self) -> String {
        let code = self.process.ended(PATIENCE).await.expect("the client ends");
        assert_ne!(code, Some(0), "{}", self.written());
        self.written()
    }

    /// The lines printed so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.process.output()
    }

    fn written(&self) -> String {
        [self.process.output(), self.process.errors()].concat().join("\n")
    }
}
