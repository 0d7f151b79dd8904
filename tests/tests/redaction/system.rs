//! One example, whole: a provider that gives everything away, a real collector, a real gateway that tells all it can.

use std::process::Command;

use harness::artefacts;
use harness::client::{Failure, Http, Request, Response};
use harness::collector::Collector;
use harness::examples::Example;
use harness::gateway::Gateway;
use harness::google::TokenEndpoint;
use harness::provider::{Echo, Provider};
use serde_json::Value;

use super::requests::{Case, Served};
use super::secrets::{FIRST, key_file, value};

/// What the examples say of telemetry.
const OTLP: &str = "otlp: {captureBody: {maxBytes: 65536}}";

pub(crate) struct System {
    pub(crate) case: &'static Case,
    pub(crate) provider: Provider,
    pub(crate) endpoint: TokenEndpoint,
    pub(crate) collector: Collector,
    pub(crate) gateway: Gateway,
}

impl System {
    pub(crate) async fn start(case: &'static Case) -> System {
        let (hosts, example) = (case.hosts(), case.example());
        let (provider, endpoint) = (Example::provider(&hosts).await, TokenEndpoint::start().await);
        provider.behave(|behaviour| behaviour.echo = Echo::ALL.to_vec());
        let collector = Collector::start().await;
        let told = format!("otlp: {{endpoint: '{}', captureBody: {{}}}}", collector.endpoint());
        let manifests = example.manifests(&hosts, &provider).replace(OTLP, &told);
        let builder = example.builder(manifests).inspected().environment("KEYWARD_LOG", "trace");
        let builder = builder.arguments(&["--metrics-listen", "127.0.0.1:0"]);
        let given = example.variables();
        let builder = given.iter().fold(builder, |builder, variable| {
            builder.environment(variable, &given_value(&endpoint, variable, FIRST))
        });
        let gateway = builder.start().await;
        System { case, provider, endpoint, collector, gateway }
    }

    /// Sends a request; what comes back may be a refusal of the tunnel.
    pub(crate) async fn send(&self, http: Http, host: &str, request: &Request) -> Result<Response, Failure> {
        match self.gateway.agent(http, host).send(request).await {
            Err(Failure::Refused(refusal)) => Ok(refusal),
            other => other,
        }
    }

    /// The lines of the access log that the filter wrote a record into, so far.
    pub(crate) fn records(&self) -> Vec<Value> {
        let lines = self.gateway.events("access").into_iter().map(|mut line| line["entry"].take());
        lines.filter(|entry| entry["record"]["decision"].is_string()).collect()
    }

    /// The value of a variable: one of them is another in the second generation.
    pub(crate) fn value(&self, variable: &str, generation: &str) -> String {
        let changed = variable == self.case.rotated.2;
        given_value(&self.endpoint, variable, if changed { generation } else { FIRST })
    }

    /// `keyward` with these words, beside it: all that it would be given where it runs.
    pub(crate) fn command(&self, words: &[&str], generation: &str) -> Command {
        let mut command = Command::new(artefacts::keyward());
        command.args(words).env("KEYWARD_LOG", "trace");
        for variable in self.case.example().variables() {
            command.env(&variable, self.value(&variable, generation));
        }
        command
    }

    /// What an agent that found out the credential of a request would write of it: of an account, its last token.
    pub(crate) fn noted(&self, served: &Served, generation: &str) -> String {
        let values = served.variables.iter().map(|variable| match *variable {
            "KEY_FILE" => self.endpoint.tokens().last().cloned().unwrap_or_default(),
            _ => self.value(variable, generation),
        });
        values.collect::<Vec<_>>().join(" ")
    }
}

fn given_value(endpoint: &TokenEndpoint, variable: &str, generation: &str) -> String {
    match variable {
        "KEY_FILE" => key_file(endpoint, generation),
        _ => value(variable, generation),
    }
}
