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
    /// Status of every answer, in place of the one that the request deserves.
    pub status: Option<u16>,
    /// `location` header of every answer.
    pub location: Option<String>,
    /// Further response headers.
    pub headers: Vec<(String, String)>,
    /// Size of a plain answer's text, bytes; absent: a short greeting.
    pub text_bytes: Option<usize>,
    /// A folder of Git projects that are served in place of every model; the key is then basic authentication's.
    pub projects: Option<PathBuf>,
    /// How many requests to these are answered with 401 and a challenge first, whatever they carry.
    pub challenges: usize,
    /// A folder of packages that are served in place of every model, to pip and npm.
    pub packages: Option<PathBuf>,
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
            status: None,
            location: None,
            headers: Vec::new(),
            text_bytes: None,
            projects: None,
            challenges: 0,
            packages: None,
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
