//! What a provider does: whom it accepts, how slow it is, what it gives away. Changed while it runs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a provider does with the next request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// The one key that the endpoints of each API accept; absent: none is asked for.
    pub key: Option<String>,
    /// Silence before the head of an answer, milliseconds.
    pub delay_ms: u64,
    /// Silence before each event of a streamed answer but the first, milliseconds.
    pub event_gap_ms: u64,
    /// Text deltas in a streamed answer.
    pub deltas: usize,
    /// Whether a streamed answer waits after its first event until it is released.
    pub hold_second_event: bool,
    /// Forms in which the credential received is given away in response headers.
    pub echo: Vec<Echo>,
    /// Whether the body of every answer gives away, in the forms of `echo`, whatever came: path and header lines.
    pub confess: bool,
    /// Status of every answer, in place of the one that the request deserves.
    pub status: Option<u16>,
    /// `location` header of every answer.
    pub location: Option<String>,
    /// Further response headers.
    pub headers: Vec<(String, String)>,
    /// Size of a plain answer's text, bytes; absent: a short greeting.
    pub text_bytes: Option<usize>,
    /// Size of every answer's body, whatever it answers; absent: the body that the request deserves.
    pub body_bytes: Option<usize>,
    /// A folder of Git projects that are served in place of every model; the key is then basic authentication's.
    pub projects: Option<PathBuf>,
    /// How many requests to these are answered with 401 and a challenge first, whatever they carry.
    pub challenges: usize,
    /// A folder of packages that are served in place of every model, to pip and npm.
    pub packages: Option<PathBuf>,
    /// What each answer costs.
    pub tokens: Tokens,
    /// How the body of an answer is encoded.
    pub encoding: Encoding,
    /// What is wrong with the body of an answer, before it is encoded.
    pub damage: Option<Damage>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour {
            key: None,
            delay_ms: 0,
            event_gap_ms: 0,
            deltas: 3,
            hold_second_event: false,
            echo: Vec::new(),
            confess: false,
            status: None,
            location: None,
            headers: Vec::new(),
            text_bytes: None,
            body_bytes: None,
            projects: None,
            challenges: 0,
            packages: None,
            tokens: Tokens::default(),
            encoding: Encoding::default(),
            damage: None,
        }
    }
}

/// What an answer costs, in the words of nobody's API: each provider's says it in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// Of the prompt, all of them.
    pub input: u64,
    /// Of these, read from a cache.
    pub cache_read: u64,
    /// Of these, written to a cache.
    pub cache_write: u64,
    /// Of these, results of tools. Only Google counts them.
    pub of_tools: u64,
    /// Of the answer, all of them.
    pub output: u64,
    /// Of these, reasoning.
    pub reasoning: u64,
}

impl Default for Tokens {
    fn default() -> Self {
        Tokens { input: 12, cache_read: 0, cache_write: 0, of_tools: 0, output: 6, reasoning: 0 }
    }
}

/// How the body of an answer is encoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Not at all.
    #[default]
    Identity,
    /// With gzip where the request takes it, as most providers do.
    GzipIfAccepted,
    /// With gzip, whatever the request takes.
    Gzip,
    /// Not at all, though the answer says `br`.
    SaidToBeBrotli,
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// It ends after so many bytes, as if that were all of it.
    Cut(usize),
    /// One bit of the byte at this place is another.
    Flipped(usize),
}

impl Damage {
    /// Does it to a body.
    pub fn apply(self, body: &mut Vec<u8>) {
        match self {
            Damage::Cut(length) => body.truncate(length),
            Damage::Flipped(place) => body.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1),
        }
    }
}

/// A form in which a careless provider gives a credential back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Echo {
    /// As it came.
    Raw,
    /// Inside other text.
    Embedded,
    /// Base64, at each of the three alignments.
    Base64,
    /// Percent-encoded, every byte that is not unreserved.
    Url,
    /// As a JSON string with every non-alphanumeric byte as `\u00xx`.
    Json,
}

impl Echo {
    /// Every form.
    pub const ALL: [Echo; 5] = [Echo::Raw, Echo::Embedded, Echo::Base64, Echo::Url, Echo::Json];
}
