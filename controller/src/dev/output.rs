//! Standard output of `keyward dev`: events as JSON lines, or as lines for people.

use std::io::{self, Write};

use super::event::{ConditionLine, Event, GatewayAddress, GatewayState};
use super::summary::Summary;
use crate::terminal::{Looks, plain};

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
    Text(Looks),
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
        if let (Format::Text(_), Event::Access { entry, .. }) = (self.format, &event) {
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
        let lines = self.summary.lines();
        lines.iter().try_for_each(|line| self.say(line))?;
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
        let mut output = Output { before_ready: None, ..Output::new(Format::Text(Looks::Plain), to) };
        self.before_ready.take().unwrap_or_default().iter().try_for_each(|event| output.write(event))
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        match self.format {
            Format::Json => {
                serde_json::to_writer(&mut self.to, event)?;
                self.to.write_all(b"\n")?;
            }
            Format::Text(looks) => self.write_text(event, looks)?,
        }
        self.to.flush()
    }

    fn write_text(&mut self, event: &Event, looks: Looks) -> io::Result<()> {
        match event {
            Event::Ready { gateways, metrics, inspector } => {
                self.say("ready")?;
                gateways.iter().try_for_each(|gateway| self.address(gateway))?;
                metrics.iter().try_for_each(|url| self.say(&format!("metrics {url}")))?;
                inspector.iter().try_for_each(|url| self.say(&format!("inspector {url}")))
            }
            Event::Gateway { namespace, name, state, .. } => {
                let state = match state {
                    GatewayState::Started => "serves",
                    GatewayState::Restarting => "Envoy ended, starting it again",
                    GatewayState::Removed => "removed",
                };
                self.say(&format!("EgressGateway {namespace}/{name}: {state}"))
            }
            Event::Conditions { kind, namespace, name, conditions } => {
                self.say(&format!("{kind} {namespace}/{name}"))?;
                conditions.iter().try_for_each(|condition| self.condition(condition))
            }
            Event::Problem { message } => self.say(&format!("problem: {message}")),
            Event::Access { line: Some(line), .. } => writeln!(self.to, "{}", line.shown(looks)),
            Event::Access { line: None, .. } => Ok(()),
        }
    }

    /// Writes a line. Whatever stands in it, it is one line.
    fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.to, "{}", plain(line))
    }

    fn address(&mut self, gateway: &GatewayAddress) -> io::Result<()> {
        let GatewayAddress { namespace, name, proxy, transparent, ca } = gateway;
        self.say(&format!("EgressGateway {namespace}/{name}"))?;
        self.say(&format!("  HTTPS_PROXY={proxy}"))?;
        self.say(&format!("  SSL_CERT_FILE={ca}  (Node: NODE_EXTRA_CA_CERTS, curl: CURL_CA_BUNDLE)"))?;
        match transparent {
            Some(transparent) => self.say(&format!("  transparent TLS port {transparent}")),
            None => Ok(()),
        }
    }

    fn condition(&mut self, condition: &ConditionLine) -> io::Result<()> {
        let ConditionLine { of, r#type, status, reason, message } = condition;
        let of = of.as_ref().map(|of| format!("{of}: ")).unwrap_or_default();
        self.say(&format!("  {of}{type}={status} ({reason}) {message}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::{Line, Tone};

    const TEXT: Format = Format::Text(Looks::Plain);

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
        assert_eq!(written(TEXT, vec![ready()]), format!("ready\nmetrics {url}\n"));
        assert!(written(Format::Json, vec![ready()]).contains(&format!("\"metrics\":\"{url}\"")));
    }

    #[test]
    fn what_an_agent_chose_is_one_line_of_the_colour_of_its_outcome() {
        let line = Line::new(Tone::Refused, "403 GET a.test/\u{1b}[2J\nready denied".into());
        let entry = serde_json::json!({"log": "request", "authority": "a.test\u{1b}[2J",
            "record": {"decision": "denied", "reason": "endpoint_not_listed"}});
        let access = Event::Access { namespace: "n".into(), name: "g".into(), entry, line: Some(line) };
        let mut output = Output::new(Format::Text(Looks::Coloured), Vec::new());
        output.emit(access).expect("written");
        output.end().expect("written");
        assert_eq!(
            String::from_utf8(output.to).expect("text"),
            "\u{1b}[31m403 GET a.test/\\u{1b}[2J\\u{a}ready denied\u{1b}[0m\n\
             a.test\\u{1b}[2J: 1 denied (endpoint_not_listed 1)\n"
        );
    }

    #[test]
    fn people_are_told_at_the_end_what_it_came_to() {
        let access = || Event::Access {
            namespace: "default".into(),
            name: "echo-bot".into(),
            entry: serde_json::json!({"log": "request", "authority": "a.test",
                "record": {"decision": "injected", "model": "m", "input_tokens": 12, "output_tokens": 6}}),
            line: None,
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
        assert_eq!(ended(TEXT), "a.test: 2 injected\nm: 2 requests, 24 tokens in, 12 out\n");
        assert_eq!(ended(Format::Json), "");
    }

    #[test]
    fn people_see_problems_before_it_is_ready() {
        let text = written(TEXT, vec![Event::Problem { message: "a.yaml:1: x".into() }, ready()]);
        assert!(text.starts_with("problem: a.yaml:1: x\nready\n"), "{text}");
        assert!(text.contains("HTTPS_PROXY=http://127.0.0.1:1"), "{text}");
    }
}
