//! H1: header blocks of HTTP/2 by hand: each way to write a field, and blocks over several frames.

use super::{Fate, OWN, check};
use crate::row::{HTTP2, Row};
use crate::stage::Stage;
use crate::wire::http2::{CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, encode};
use crate::wire::{Reply, Request};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "H1.indexing",
            "fields never, not or always indexed, and taken from the table: ours alone",
            HTTP2,
            indexing,
        ),
        Row::new(
            "H1.continuation",
            "duplicates in different frames of a header block: ours alone",
            HTTP2,
            split,
        ),
    ]
}

/// First byte of a literal field with a new name (RFC 7541, section 6.2).
const ADDED: u8 = 0x40;
const PLAIN: u8 = 0;
const NEVER: u8 = 0x10;
/// The newest entry of the dynamic table (section 2.3.3), as an indexed field.
const NEWEST: u8 = 0x80 | 62;

fn literal(first: u8, value: &str) -> Vec<u8> {
    let short = |text: &str| u8::try_from(text.len()).expect("a short text");
    let name = "x-api-key";
    [&[first, short(name)], name.as_bytes(), &[short(value)], value.as_bytes()].concat()
}

/// Sends a good request whose header block continues with these pieces, each in a frame of its own.
async fn ask(stage: &Stage, pieces: &[Vec<u8>]) -> Reply {
    let mut http = match stage.http2().await {
        Ok(http) => http,
        Err(reply) => return reply,
    };
    let (request, stream) = (Request::messages(), http.new_stream());
    let mut frames = vec![Frame::new(HEADERS, 0, stream, encode(&request.to_http2()))];
    frames.extend(pieces.iter().map(|piece| Frame::new(CONTINUATION, 0, stream, piece.clone())));
    if let Some(last) = frames.last_mut() {
        last.flags |= END_HEADERS;
    }
    frames.push(Frame::new(DATA, END_STREAM, stream, request.body.clone()));
    http.send(&frames).await;
    http.answer(stream).await.into()
}

async fn indexing(stage: Stage) {
    for (case, fields) in [
        ("never indexed", vec![literal(NEVER, OWN)]),
        ("not indexed", vec![literal(PLAIN, OWN)]),
        ("indexed", vec![literal(ADDED, OWN)]),
        ("indexed, then from the table", vec![literal(ADDED, OWN), vec![NEWEST], vec![NEWEST]]),
        ("one of each", vec![literal(ADDED, OWN), literal(NEVER, OWN), literal(PLAIN, OWN), vec![NEWEST]]),
    ] {
        check(&stage, case, &ask(&stage, &[fields.concat()]).await, Fate::Served).await;
    }
}

async fn split(stage: Stage) {
    let field = literal(PLAIN, OWN);
    check(&stage, "one in each frame", &ask(&stage, &vec![field.clone(); 4]).await, Fate::Served).await;
    let bytes: Vec<_> = field.iter().map(|byte| vec![*byte]).collect();
    check(&stage, "one byte in each frame", &ask(&stage, &bytes).await, Fate::Served).await;
    let (name, value) = field.split_at(6);
    let pieces = [name.to_vec(), value.to_vec(), Vec::new(), field.clone()];
    check(&stage, "cut in its name, with an empty frame", &ask(&stage, &pieces).await, Fate::Served).await;
}
