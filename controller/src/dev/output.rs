//! Standard output of `keyward dev`: events as JSON lines, or as lines for people.

use std::io::{self, Write};

use super::event::{ConditionLine, Event, GatewayAddress, GatewayState};
use super::summary::Summary;

/// Where events go.
pub(crate) trait Sink {
    /// Takes one event.
    ///
    /// # Errors
    /// It can be written no longer, which ends everything.
    fn emit(&mut self, event: Event) -> io::Result<()>;

    /// There will be no further event.
    ///
    /// # Errors
    /// What is still to be said cannot be written.
    fn end(&mut self) -> io::Result<()>;
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON object a line.
    Json,
    /// One readable line or block each.
    Text,
}

/// Writes events; the first is always [`Event::Ready`], what comes before it waits.
pub(super) struct Output<W> {
    format: Format,
    to: W,
    before_ready: Option<Vec<Event>>,
    /// What is said at the end. Programs count for themselves.
    summary: Summary,
}

impl<W: Write> Sink for Output<W> {
    /// Writes one event. People see problems at once; programs get `ready` first.
    fn emit(&mut self, event: Event) -> io::Result<()> {
        if let (Format::Text, Event::Access { entry, .. }) = (self.format, &event) {
            self.summary.count(entry);
        }
        match (&mut self.before_ready, &event, self.format) {
            (Some(waiting), Event::Ready { .. }, _) => {
                let waiting = std::mem::take(waiting);
                self.before_ready = None;
                self.write(&event)?;
                waiting.iter().try_for_each(|event| self.write(event))
            }
            (Some(waiting), _, Format::Json) => {
                waiting.push(event);
                Ok(())
            }
            _ => self.write(&event),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        self.say_unsaid(io::stderr())?;
        self.summary.lines().iter().try_for_each(|line| writeln!(self.to, "{line}"))?;
        self.to.flush()
    }
}

impl<W: Write> Output<W> {
    pub(super) fn new(format: Format, to: W) -> Self {
        Output { format, to, before_ready: Some(Vec::new()), summary: Summary::default() }
    }

    /// Says, for people, what waited for a `ready` that never came.
    ///
    /// # Errors
    /// `to` is closed.
    fn say_unsaid(&mut self, to: impl Write) -> io::Result<()> {
        let mut output = Output { before_ready: None, ..Output::new(Format::Text, to) };
        self.before_ready.take().unwrap_or_default().iter().try_for_each(|event| output.write(event))
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        match self.format {
            Format::Json => {
                serde_json::to_writer(&mut self.to, event)?;
                self.to.write_all(b"\n")?;
            }
            Format::Text => self.write_text(event)?,
        }
        self.to.flush()
    }

    fn write_text(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Ready { gateways, metrics, inspector } => {
                writeln!(self.to, "ready")?;
                gateways.iter().try_for_each(|gateway| self.address(gateway))?;
                metrics.iter().try_for_each(|url| writeln!(self.to, "metrics {url}"))?;
                inspector.iter().try_for_each(|url| writeln!(self.to, "inspector {url}"))
            }
            Event::Gateway { namespace, name, state, .. } => {
                let state = match state {
                    GatewayState::Started => "serves",
                    GatewayState::Restarting => "Envoy ended, starting it again",
                    GatewayState::Removed => "removed",
                };
                writeln!(self.to, "EgressGateway {namespace}/{name}: {state}")
            }
            Event::Conditions { kind, namespace, name, conditions } => {
                writeln!(self.to, "{kind} {namespace}/{name}")?;
                conditions.iter().try_for_each(|condition| self.condition(condition))
            }
            Event::Problem { message } => writeln!(self.to, "problem: {message}"),
            Event::Access { line: Some(line), .. } => writeln!(self.to, "{line}"),
            Event::Access { line: None, .. } => Ok(()),
        }
    }

    fn address(&mut self, gateway: &GatewayAddress) -> io::Result<()> {
        let GatewayAddress { namespace, name, proxy, transparent, ca } = gateway;
        writeln!(self.to, "EgressGateway {namespace}/{name}")?;
        writeln!(self.to, "  HTTPS_PROXY={proxy}")?;
        writeln!(self.to, "  SSL_CERT_FILE={ca}  (Node: NODE_EXTRA_CA_CERTS, curl: CURL_CA_BUNDLE)")?;
        match transparent {
            Some(transparent) => writeln!(self.to, "  transparent TLS port {transparent}"),
            None => Ok(()),
        }
    }

    fn condition(&mut self, condition: &ConditionLine) -> io::Result<()> {
        let ConditionLine { of, r#type, status, reason, message } = condition;
        let of = of.as_ref().map(|of| format!("{of}: ")).unwrap_or_default();
        writeln!(self.to, "  {of}{type}={status} ({reason}) {message}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Event {
        Event::Ready {
            gateways: vec![GatewayAddress {
                namespace: "default".into(),
                name: "echo-bot".into(),
                proxy: "http://127.0.0.1:1".into(),
                transparent: None,
                ca: "/ca.crt".into(),
            }],
            inspector: None,
            metrics: None,
        }
    }

    fn written(format: Format, events: Vec<Event>) -> String {
        let mut output = Output::new(format, Vec::new());
        for event in events {
            output.emit(event).expect("written");
        }
        String::from_utf8(output.to).expect("text")
    }

    #[test]
    fn ready_is_the_first_json_line_and_nothing_is_lost() {
        let text = written(Format::Json, vec![Event::Problem { message: "a.yaml:1: x".into() }, ready()]);
        assert_eq!(
            text,
            "{\"event\":\"ready\",\"gateways\":[{\"namespace\":\"default\",\"name\":\"echo-bot\",\
             \"proxy\":\"http://127.0.0.1:1\",\"transparent\":null,\"ca\":\"/ca.crt\"}]}\n\
             {\"event\":\"problem\",\"message\":\"a.yaml:1: x\"}\n"
        );
    }

    #[test]
    fn what_waited_for_ready_is_said_when_it_never_comes() {
        let mut output = Output::new(Format::Json, Vec::new());
        output.emit(Event::Problem { message: "a.yaml:1: x".into() }).expect("kept");
        let mut said = Vec::new();
        output.say_unsaid(&mut said).expect("written");
        assert_eq!(String::from_utf8(said).expect("text"), "problem: a.yaml:1: x\n");
        assert!(output.to.is_empty());
    }

    #[test]
    fn people_and_programs_are_told_where_metrics_are() {
        let url = "http://127.0.0.1:9464/metrics";
        let ready = || Event::Ready { gateways: vec![], metrics: Some(url.to_owned()), inspector: None };
        assert_eq!(written(Format::Text, vec![ready()]), format!("ready\nmetrics {url}\n"));
        assert!(written(Format::Json, vec![ready()]).contains(&format!("\"metrics\":\"{url}\"")));
    }

    #[test]
    fn people_are_told_at_the_end_what_it_came_to() {
        let access = || Event::Access {
            namespace: "default".into(),
            name: "echo-bot".into(),
            entry: serde_json::json!({"log": "request", "authority": "a.test",
                "record": {"decision": "injected", "model": "m", "input_tokens": 12, "output_tokens": 6}}),
            line: Some("a line".into()),
        };
        let ended = |format| {
            let mut output = Output::new(format, Vec::new());
            for event in [ready(), access(), access()] {
                output.emit(event).expect("written");
            }
            output.to.clear();
            output.end().expect("written");
            String::from_utf8(output.to).expect("text")
        };
        assert_eq!(ended(Format::Text), "a.test: 2 injected\nm: 2 requests, 24 tokens in, 12 out\n");
        assert_eq!(ended(Format::Json), "");
    }

    #[test]
    fn people_see_problems_before_it_is_ready() {
        let text = written(Format::Text, vec![Event::Problem { message: "a.yaml:1: x".into() }, ready()]);
        assert!(text.starts_with("problem: a.yaml:1: x\nready\n"), "{text}");
        assert!(text.contains("HTTPS_PROXY=http://127.0.0.1:1"), "{text}");
    }
}
