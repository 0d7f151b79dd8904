//! AWS's event stream (<https://smithy.io/2.0/aws/amazon-eventstream.html>) that arrives in pieces.

use aws_smithy_eventstream::frame::read_message_from;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::json::Malformed;

/// The largest message that is read, in bytes. Those of Bedrock hold a few words each.
const LARGEST: usize = 128 << 10;

/// Bytes that say how long a message is: the first four of it.
const LENGTH: usize = 4;

/// The event of an invocation's stream: a text of the model's own format
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_PayloadPart.html>).
#[derive(Deserialize)]
struct Chunk {
    bytes: String,
}

/// The message that is under way.
#[derive(Default)]
pub(super) struct Messages {
    message: Vec<u8>,
}

impl Messages {
    /// Takes a piece of the stream; `text` gets the JSON text of each message that ends in it.
    pub(super) fn feed(
        &mut self,
        mut piece: &[u8],
        text: &mut impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        while !piece.is_empty() {
            let wanted = self.length()?.unwrap_or(LENGTH) - self.message.len();
            let (now, later) = piece.split_at(wanted.min(piece.len()));
            self.message.extend_from_slice(now);
            piece = later;
            if self.length()?.is_some_and(|length| length == self.message.len()) {
                let message = read_message_from(self.message.as_slice()).map_err(|_| Malformed)?;
                self.message.clear();
                read(message.payload(), text)?;
            }
        }
        Ok(())
    }

    /// Whether the stream ended where a message does.
    pub(super) fn are_whole(&self) -> bool {
        self.message.is_empty()
    }

    /// Of the whole message, once it is known.
    fn length(&self) -> Result<Option<usize>, Malformed> {
        let Some(length) = self.message.first_chunk::<LENGTH>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Malformed)?;
        if (LENGTH + 1..=LARGEST).contains(&length) { Ok(Some(length)) } else { Err(Malformed) }
    }
}

fn read(payload: &[u8], text: &mut impl FnMut(&[u8]) -> Result<(), Malformed>) -> Result<(), Malformed> {
    match serde_json::from_slice::<Chunk>(payload) {
        Ok(chunk) => text(&BASE64_STANDARD.decode(chunk.bytes).map_err(|_| Malformed)?),
        // An event of Converse, which is such a text itself, or one that is none of interest.
        Err(error) if error.is_data() => text(payload),
        Err(_) if payload.is_empty() => Ok(()),
        Err(_) => Err(Malformed),
    }
}
