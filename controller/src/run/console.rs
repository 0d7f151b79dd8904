//! What `keyward run` says: on standard error, in one line each. Standard output is the command's.

use std::collections::BTreeSet;
use std::io::{self, Write as _};

use tokio::sync::oneshot;

use crate::dev::Sink;
use crate::dev::event::{ConditionLine, Event, GatewayAddress, GatewayState};
use crate::dev::summary::{Outcome, Summary};
use crate::terminal::{Line, plain};

/// Refusals that are told apart. Beyond, they are counted only.
const MOST: usize = 1000;

/// What is said where the gateway was not used at all.
const NOTHING: &str =
    "no request came through the gateway; if one should have, docs/troubleshooting.md says why it may not";

/// Says one line, unless it is to be quiet.
pub(super) fn say(quiet: bool, line: &str) {
    if !quiet {
        // One write for the line: the command writes there too. Where nobody reads it there is nobody to tell.
        let _ = io::stderr().write_all(format!("keyward: {}\n", plain(line)).as_bytes());
    }
}

/// Takes the events of what `keyward run` has started.
pub(super) struct Console {
    quiet: bool,
    ready: Option<oneshot::Sender<Vec<GatewayAddress>>>,
    summary: Summary,
    /// What was said already of hosts: a client that tries again and again says nothing new.
    said: BTreeSet<(String, String)>,
}

impl Console {
    /// Tells `ready` where the gateways are, once they serve.
    pub(super) fn new(quiet: bool, ready: oneshot::Sender<Vec<GatewayAddress>>) -> Console {
        Console { quiet, ready: Some(ready), summary: Summary::default(), said: BTreeSet::new() }
    }

    fn access(&mut self, entry: &serde_json::Value, line: Option<Line>) {
        let hint = entry.get("hint").and_then(serde_json::Value::as_str).unwrap_or_default();
        let found = self.summary.count(entry);
        let said = match &found {
            Some((host, Outcome::Denied(reason))) => Some((host.clone(), reason.clone())),
            Some((host, Outcome::Distrusted)) => Some((host.clone(), String::new())),
            Some(_) => None,
            None => {
                let host = entry.get("authority").and_then(serde_json::Value::as_str).unwrap_or_default();
                (!hint.is_empty()).then(|| (host.to_owned(), String::new()))
            }
        };
        if let Some((said, line)) = said.zip(line)
            && self.said.len() < MOST
            && self.said.insert(said)
        {
            say(self.quiet, &line.text);
        }
    }
}

impl Sink for Console {
    fn emit(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Ready { gateways, inspector, .. } => {
                if let Some(url) = inspector {
                    say(self.quiet, &format!("inspector at {url}"));
                }
                // Whoever waited is gone only when everything ends.
                let _ = self.ready.take().map(|ready| ready.send(gateways));
            }
            Event::Gateway { namespace, name, state, .. } => {
                let state = match state {
                    GatewayState::Started => "serves again",
                    GatewayState::Restarting => "Envoy ended, starting it again",
                    GatewayState::Removed => "removed",
                };
                say(self.quiet, &format!("EgressGateway {namespace}/{name}: {state}"));
            }
            Event::Conditions { kind, namespace, name, conditions } => {
                let refused = conditions.iter().filter(|condition| condition.status == "False");
                for ConditionLine { r#type, reason, message, .. } in refused {
                    say(self.quiet, &format!("{kind} {namespace}/{name}: {type}=False ({reason}) {message}"));
                }
            }
            Event::Problem { message } => say(self.quiet, &format!("problem: {message}")),
            Event::Access { entry, line, .. } => self.access(&entry, line),
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        let lines = self.summary.lines();
        // Where it never served, why not is said already.
        if lines.is_empty() && self.ready.is_none() {
            say(self.quiet, NOTHING);
        }
        for line in lines {
            say(self.quiet, &line);
        }
        Ok(())
    }
}
