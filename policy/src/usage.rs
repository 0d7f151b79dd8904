//! What a model was asked and what the answer cost in tokens, read from bodies as they pass.
//!
//! Memory does not grow with a body: JSON is followed, not held; only a message of AWS's event stream is held whole, up
//! to 128 KiB. A body that cannot be read gives unknown usage and nothing else.

mod aws;
mod json;
mod places;
mod sse;

use crate::header_map::HeaderMap;
use json::{Malformed, Scalar, Scanner};
use places::{ANSWER, Field, HEAD, REQUEST};
use sse::{Events, Part};

/// What ends OpenAI's streams, and those of others who speak its format. It is no JSON.
const DONE: &[u8] = b"[DONE]";

/// Events that end a stream: Anthropic's, and those of OpenAI's Responses.
const LAST: &[&str] = &["message_stop", "response.completed", "response.incomplete", "response.failed"];

/// Tokens, as the provider reports them. `None`: it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// The model that answered.
    pub model: Option<String>,
    /// Tokens of the prompt, with those that a cache served or took
    /// (<https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/>).
    pub input: Option<u64>,
    /// Tokens of the answer, reasoning included.
    pub output: Option<u64>,
    /// Of `input`, those that were read from a cache.
    pub cache_read: Option<u64>,
    /// Of `input`, those that were written to a cache.
    pub cache_write: Option<u64>,
    /// Of `output`, those of reasoning.
    pub reasoning: Option<u64>,
}

/// Why the usage of an answer is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Its body is encoded in a way that is not decoded here, or wrongly, or decodes to too much.
    Encoding,
    /// Its body is not what its type says, or was broken off.
    Malformed,
}

impl Unknown {
    /// Its name in a span.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Unknown::Encoding => "encoding",
            Unknown::Malformed => "malformed",
        }
    }
}

/// Counts as they stand in an answer, before what a provider counts apart is added up.
#[derive(Clone, Default)]
struct Counts {
    model: Option<String>,
    input: Option<u64>,
    input_too: Option<u64>,
    output: Option<u64>,
    reasoning: Option<u64>,
    reasoning_too: Option<u64>,
    cache_read: Option<u64>,
    cache_read_too: Option<u64>,
    cache_write: Option<u64>,
    cache_write_too: Option<u64>,
    /// Whether it was said that nothing follows.
    ended: bool,
}

impl Counts {
    /// Takes what was found. Of a value that is said again, in a later event of a stream, the last one counts.
    fn take(&mut self, field: Field, value: Scalar<'_>) {
        let place = match field {
            Field::Model => return self.model = text(value).or(self.model.take()),
            Field::Kind => {
                return self.ended |= text(value).is_some_and(|kind| LAST.contains(&kind.as_str()));
            }
            Field::Stream => return,
            Field::Input => &mut self.input,
            Field::InputToo => &mut self.input_too,
            Field::Output => &mut self.output,
            Field::Reasoning => &mut self.reasoning,
            Field::ReasoningToo => &mut self.reasoning_too,
            Field::CacheRead => &mut self.cache_read,
            Field::CacheReadToo => &mut self.cache_read_too,
            Field::CacheWrite => &mut self.cache_write,
            Field::CacheWriteToo => &mut self.cache_write_too,
        };
        *place = count(value).or(*place);
    }

    /// What another part of the same stream says goes before what is known.
    fn update(&mut self, later: Counts) {
        self.model = later.model.or(self.model.take());
        self.ended |= later.ended;
        for (place, later) in [
            (&mut self.input, later.input),
            (&mut self.input_too, later.input_too),
            (&mut self.output, later.output),
            (&mut self.reasoning, later.reasoning),
            (&mut self.reasoning_too, later.reasoning_too),
            (&mut self.cache_read, later.cache_read),
            (&mut self.cache_read_too, later.cache_read_too),
            (&mut self.cache_write, later.cache_write),
            (&mut self.cache_write_too, later.cache_write_too),
        ] {
            *place = later.or(*place);
        }
    }

    fn usage(self) -> Usage {
        let sum = |counts: &[Option<u64>]| counts.iter().flatten().copied().reduce(u64::saturating_add);
        Usage {
            model: self.model,
            input: sum(&[self.input, self.input_too, self.cache_read_too, self.cache_write_too]),
            output: sum(&[self.output, self.reasoning_too]),
            cache_read: self.cache_read.or(self.cache_read_too),
            cache_write: self.cache_write.or(self.cache_write_too),
            reasoning: self.reasoning.or(self.reasoning_too),
        }
    }
}

/// A text with its escapes undone; `None` where it is no name of anything, since it would reach terminals.
fn text(value: Scalar<'_>) -> Option<String> {
    let Scalar::Text(escaped) = value else { return None };
    let quoted = [b"\"", escaped, b"\""].concat();
    serde_json::from_slice(&quoted).ok().filter(|text: &String| !text.contains(char::is_control))
}

fn count(value: Scalar<'_>) -> Option<u64> {
    let Scalar::Word(digits) = value else { return None };
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What a request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The model that it names.
    pub model: Option<String>,
    /// Whether it wants a stream.
    pub stream: bool,
}

/// Reads what a request asks for, as its body passes.
pub struct AskedReader {
    scanner: Option<Scanner>,
    asked: Asked,
}

impl Default for AskedReader {
    fn default() -> Self {
        AskedReader { scanner: Some(Scanner::new(&REQUEST)), asked: Asked::default() }
    }
}

impl AskedReader {
    /// Takes a piece of the body.
    pub fn feed(&mut self, piece: &[u8]) {
        let asked = &mut self.asked;
        let mut found = |field, value: Scalar<'_>| match field {
            Field::Model => asked.model = text(value),
            Field::Stream => asked.stream = value == Scalar::Word(b"true"),
            _ => {}
        };
        if self.scanner.as_mut().is_some_and(|scanner| scanner.feed(piece, &mut found).is_err()) {
            *self = AskedReader { scanner: None, asked: Asked::default() };
        }
    }

    /// What was found.
    #[must_use]
    pub fn end(self) -> Asked {
        self.asked
    }
}

/// Reads the usage of an answer, as its body passes.
pub struct Meter {
    framing: Framing,
    /// What the answer's head says, which counts where the body says nothing.
    head: Counts,
    counts: Counts,
    malformed: bool,
}

enum Framing {
    /// The body is one JSON text.
    Whole(Text),
    /// Each event is one.
    Events { events: Events, event: Text },
    /// Each line is one.
    Lines(Text),
    /// Messages of AWS, each of which holds one, or holds one encoded.
    Aws(aws::Messages),
}

impl Meter {
    /// For an answer of this `content-type`; `None`: it is of none that usage is read from.
    #[must_use]
    pub fn of(content_type: &[u8]) -> Option<Meter> {
        let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let framing = match essence.to_ascii_lowercase().as_slice() {
            b"application/json" => Framing::Whole(Text::default()),
            b"text/event-stream" => Framing::Events { events: Events::default(), event: Text::default() },
            b"application/x-ndjson" | b"application/jsonl" => Framing::Lines(Text::default()),
            b"application/vnd.amazon.eventstream" => Framing::Aws(aws::Messages::default()),
            _ => return None,
        };
        Some(Meter { framing, head: Counts::default(), counts: Counts::default(), malformed: false })
    }

    /// Reads what the answer's head says of usage.
    #[must_use]
    pub fn with_head(mut self, headers: &HeaderMap) -> Meter {
        for (name, field) in HEAD {
            if let Some(value) = headers.first(name) {
                self.head.take(*field, Scalar::Word(value));
            }
        }
        self
    }

    /// Takes a piece of the body.
    pub fn feed(&mut self, piece: &[u8]) {
        self.malformed = self.malformed || self.read(piece).is_err();
    }

    fn read(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        let counts = &mut self.counts;
        match &mut self.framing {
            Framing::Whole(text) => text.feed(piece),
            Framing::Events { events, event } => events.feed(piece, &mut |part| match part {
                Part::Data(bytes) => event.feed(bytes),
                Part::End => event.end(counts),
            }),
            Framing::Lines(text) => {
                let mut lines = piece.split(|byte| *byte == b'\n');
                text.feed(lines.next().unwrap_or_default())?;
                lines.try_for_each(|line| text.end(counts).and_then(|()| text.feed(line)))
            }
            Framing::Aws(messages) => messages.feed(piece, &mut |text| Text::of(text)?.end(counts)),
        }
    }

    /// The usage; `came` says whether the body came to its end. Agents go away once a stream has said that it is over.
    ///
    /// # Errors
    /// The body is not what its type says, or was broken off.
    pub fn end(mut self, came: bool) -> Result<Usage, Unknown> {
        let whole = match &mut self.framing {
            Framing::Whole(text) | Framing::Lines(text) => text.end(&mut self.counts).is_ok(),
            // A reader discards an event that is not ended, and with it what the answer cost. Some leave out the empty
            // line behind the last one, which says nothing.
            Framing::Events { events, event } => !events.are_under_way() || event.is_done(),
            Framing::Aws(messages) => messages.are_whole(),
        };
        let is_stream = !matches!(self.framing, Framing::Whole(_));
        let known = came && whole || is_stream && self.counts.ended;
        if !known || self.malformed {
            return Err(Unknown::Malformed);
        }
        let usage = self.counts.usage();
        match (usage.input, usage.output) {
            (None, None) => Ok(Usage { model: usage.model, ..self.head.usage() }),
            _ => Ok(usage),
        }
    }
}

/// One JSON text of an answer. Its counts count once it has ended well.
struct Text {
    scanner: Scanner,
    counts: Counts,
    /// The bytes of [`DONE`] that it began with, as long as it is nothing else.
    done: Option<usize>,
}

impl Default for Text {
    fn default() -> Self {
        Text { scanner: Scanner::new(&ANSWER), counts: Counts::default(), done: Some(0) }
    }
}

impl Text {
    fn of(text: &[u8]) -> Result<Text, Malformed> {
        let mut whole = Text::default();
        whole.feed(text).map(|()| whole)
    }

    fn feed(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        if let Some(read) = self.done {
            let begins = DONE.get(read..).unwrap_or_default();
            if piece.len() <= begins.len() && begins.starts_with(piece) {
                self.done = Some(read + piece.len());
                return Ok(());
            }
            self.done = None;
            self.scan(DONE.get(..read).unwrap_or_default())?;
        }
        self.scan(piece)
    }

    fn scan(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        let counts = &mut self.counts;
        self.scanner.feed(piece, &mut |field, value| counts.take(field, value))
    }

    /// Whether it is [`DONE`].
    fn is_done(&self) -> bool {
        self.done == Some(DONE.len())
    }

    /// It is over; the next one begins.
    fn end(&mut self, total: &mut Counts) -> Result<(), Malformed> {
        let Text { scanner, mut counts, done } = std::mem::take(self);
        match done {
            Some(0) => return Ok(()),
            Some(read) if read == DONE.len() => {
                total.ended = true;
                return Ok(());
            }
            Some(_) => return Err(Malformed),
            None => {}
        }
        scanner.end(&mut |field, value| counts.take(field, value))?;
        total.update(counts);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
