//! How a gateway is started: the command line of `keyward dev`, and what it is given.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::manifests::Manifests;
use super::{Gateway, Ready};
use crate::artefacts;
use crate::process::Process;

/// Envoy, the module and a free port are ready within this time on a slow machine.
const START: Duration = Duration::from_secs(120);

/// A gateway to be started.
#[must_use]
pub struct Builder {
    manifests: Manifests,
    key: Option<String>,
    module: Option<PathBuf>,
    envoy: Option<PathBuf>,
    state: Option<PathBuf>,
    /// For each gateway its name in front of an address with `=`, or nothing, and the address of its proxy port.
    listen: Vec<(String, String)>,
    /// The address of each transparent port.
    transparent: String,
    inspected: bool,
    metered: bool,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Builder {
    pub(super) fn new(manifests: Manifests) -> Builder {
        let listen = vec![(String::new(), "127.0.0.1:0".to_owned())];
        Builder {
            manifests,
            key: None,
            module: None,
            envoy: None,
            state: None,
            listen,
            transparent: "127.0.0.1:0".to_owned(),
            inspected: false,
            metered: false,
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Gives the Secret of the worked example this key, by `--secret`.
    pub fn key(mut self, key: &str) -> Builder {
        self.key = Some(key.into());
        self
    }

    /// Uses another module than the one under test.
    pub fn module(mut self, path: impl Into<PathBuf>) -> Builder {
        self.module = Some(path.into());
        self
    }

    /// Uses another Envoy than the pinned one.
    pub fn envoy(mut self, path: impl Into<PathBuf>) -> Builder {
        self.envoy = Some(path.into());
        self
    }

    /// Uses a state directory that outlives the gateway.
    pub fn state(mut self, path: impl Into<PathBuf>) -> Builder {
        self.state = Some(path.into());
        self
    }

    /// Listens for each of these gateways (`namespace/name`), where there are several.
    pub fn gateways(mut self, names: &[&str]) -> Builder {
        self.listen = names.iter().map(|name| (format!("{name}="), "127.0.0.1:0".to_owned())).collect();
        self
    }

    /// Has the proxy port at this address.
    pub fn proxy_at(mut self, address: &str) -> Builder {
        self.listen = vec![(String::new(), address.to_owned())];
        self
    }

    /// Has the transparent ports at this address.
    pub fn transparent_at(mut self, address: &str) -> Builder {
        address.clone_into(&mut self.transparent);
        self
    }

    /// Serves the inspector: other tests are not about it, and see what a gateway does by itself.
    pub fn inspected(mut self) -> Builder {
        self.inspected = true;
        self
    }

    /// Reads what requests cost, as it does by itself: for other tests what is forwarded is left alone.
    pub fn metered(mut self) -> Builder {
        self.metered = true;
        self
    }

    /// Adds words to the command line.
    pub fn arguments(mut self, arguments: &[&str]) -> Builder {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Sets a variable of its environment.
    pub fn environment(mut self, name: &str, value: &str) -> Builder {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts it and waits until it is ready. Panics with its output when it does not become so.
    pub async fn start(self) -> Gateway {
        let mut gateway = self.spawn().await;
        gateway.ready = match gateway.process.first_line(START).await {
            Ok(line) => parse_ready(&line),
            Err(output) => panic!("keyward dev did not become ready:\n{output}"),
        };
        gateway
    }

    /// Starts it and does not wait: for what must not become ready.
    pub async fn spawn(self) -> Gateway {
        let owner = tempfile::Builder::new().prefix("kw").tempdir().expect("a temporary directory");
        let state = self.state.clone().unwrap_or_else(|| owner.path().to_owned());
        let folder = tempfile::tempdir().expect("a temporary directory");
        self.manifests.write_to(folder.path());
        let command = tokio::task::spawn_blocking({
            let (manifests, state) = (folder.path().to_owned(), state.clone());
            move || self.command(&manifests, &state)
        });
        let process = Process::spawn(command.await.expect("the artefacts build"));
        Gateway { process, ready: Vec::new(), manifests: folder, state, _state_owner: Some(owner) }
    }

    /// Runs it to its end on manifests of its own: for what must be refused because another one runs.
    /// Panics when it does not end within half a minute.
    pub async fn spawn_beside(self) -> std::process::Output {
        let folder = tempfile::tempdir().expect("a temporary directory");
        self.manifests.write_to(folder.path());
        let state = self.state.clone().expect("the state directory of the other one");
        let command = self.command(folder.path(), &state);
        let output = tokio::process::Command::from(command).kill_on_drop(true).output();
        let output = tokio::time::timeout(Duration::from_secs(30), output).await;
        output.expect("it ends by itself").expect("keyward starts")
    }

    fn command(&self, manifests: &std::path::Path, state: &std::path::Path) -> Command {
        let mut command = Command::new(artefacts::keyward());
        command.arg("dev").arg("--manifests").arg(manifests).arg("--state-dir").arg(state);
        command.arg("--json");
        if !self.inspected {
            command.arg("--no-inspect");
        }
        if !self.inspected && !self.metered {
            command.arg("--no-usage");
        }
        for (gateway, address) in &self.listen {
            command.arg("--listen").arg(format!("{gateway}{address}"));
            command.arg("--transparent-listen").arg(format!("{gateway}{}", self.transparent));
        }
        command.arg("--module").arg(self.module.clone().unwrap_or_else(|| artefacts::module().to_owned()));
        command.arg("--envoy").arg(self.envoy.clone().unwrap_or_else(artefacts::envoy));
        if let Some(key) = &self.key {
            command.args(["--secret", "anthropic-credentials=KEYWARD_TEST_KEY"]).env("KEYWARD_TEST_KEY", key);
        }
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

fn parse_ready(line: &str) -> Vec<Ready> {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not a JSON line: {line}"));
    assert_eq!(value["event"], "ready", "the first line is not the one that says ready: {line}");
    let gateways = value["gateways"].as_array().cloned().unwrap_or_default();
    gateways
        .iter()
        .map(|gateway| parse_gateway(gateway).unwrap_or_else(|| panic!("incomplete: {line}")))
        .collect()
}

fn parse_gateway(gateway: &Value) -> Option<Ready> {
    Some(Ready {
        key: format!("{}/{}", gateway["namespace"].as_str()?, gateway["name"].as_str()?),
        proxy: gateway["proxy"].as_str()?.strip_prefix("http://")?.parse().ok()?,
        transparent: gateway["transparent"].as_str()?.parse().ok()?,
        ca: gateway["ca"].as_str()?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::parse_ready;

    #[test]
    fn the_line_that_says_ready_is_read_whole() {
        let line = r#"{"event":"ready","gateways":[{"namespace":"default","name":"echo-bot",
            "proxy":"http://127.0.0.1:4001","transparent":"127.0.0.1:4002","ca":"/s/ca.pem"}]}"#;
        let ready = parse_ready(line);
        assert_eq!((ready[0].key.as_str(), ready[0].proxy.port()), ("default/echo-bot", 4001));
        assert_eq!((ready[0].transparent.port(), ready[0].ca.to_str()), (4002, Some("/s/ca.pem")));
    }
}
