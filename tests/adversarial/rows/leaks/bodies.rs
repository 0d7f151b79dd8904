//! L1 and L2, where `spec.scrub` says so: the provider gives the credential back in the body of an answer, or sets cookies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::scenario::KEY;

use super::scripted::{self, Upstream};
use crate::row::{EVERY, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::subject::Leak;
use crate::wire::http2::{DATA, END_HEADERS, END_STREAM, Frame, HEADERS, encode};
use crate::wire::{Field, Request};
use crate::world::Lines;

pub(super) fn rows() -> Vec<Row> {
    let rows = vec![
        Row::new(
            "L1.bodies",
            "the key in bodies, where they are scrubbed: an error, a stream cut anywhere, base64, JSON- and URL-escaped",
            EVERY,
            bodies,
        ),
        Row::new(
            "L1.encoded",
            "the key in a body that is compressed though it was asked not to be: withheld",
            EVERY,
            encoded,
        ),
        Row::new(
            "L2.cookies",
            "cookies that the provider sets, where they are scrubbed: none comes through",
            EVERY,
            cookies,
        ),
    ];
    rows.into_iter().map(|row| row.proved_by(Leak::Back).under(scenario())).collect()
}

fn scenario() -> Scenario {
    scripted::scenario().line("scrub: [Bodies, SetCookie]")
}

/// The key as bodies have it.
fn written() -> [String; 7] {
    let each = |escape: fn(u8) -> String| KEY.bytes().map(escape).collect::<String>();
    [
        KEY.to_owned(),
        each(|byte| format!("%{byte:02x}")),
        each(|byte| format!("\\u{byte:04x}")),
        each(|byte| format!("%5Cu{byte:04X}")),
        STANDARD.encode(format!("u:{KEY}")),
        STANDARD.encode(format!("us:{KEY}")),
        STANDARD.encode(format!("use:{KEY}")),
    ]
}

/// What is left of the key where it was masked: nothing of it of any use.
fn assert_clean(body: &[u8], case: &str) {
    let text = String::from_utf8_lossy(body);
    for form in written() {
        // Characters at either end may be those of its neighbours, too.
        let own = form.get(4..form.len() - 4).unwrap_or_default();
        assert!(!text.contains(own), "{case}: {text}");
    }
}

/// An answer with this body, cut into pieces of this size, as each protocol writes it.
fn answers(status: u16, body: &str, size: usize) -> [Lines; 2] {
    let pieces = || body.as_bytes().chunks(size);
    let mut chunked = format!("HTTP/1.1 {status} Status\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes();
    for piece in pieces() {
        chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let mut frames = vec![head(&[(":status", &status.to_string())])];
    frames.extend(pieces().map(|piece| Frame::new(DATA, 0, 0, piece.to_vec())));
    frames.push(Frame::new(DATA, END_STREAM, 0, Vec::new()));
    [Lines::Http1(chunked), Lines::Http2(frames)]
}

fn head(fields: &[(&str, &str)]) -> Frame {
    let field = |(name, value): &(&str, &str)| -> Field { ((*name).into(), (*value).into()) };
    Frame::new(HEADERS, END_HEADERS, 0, encode(&fields.iter().map(field).collect::<Vec<_>>()))
}

async fn bodies(stage: Stage) {
    for (number, form) in written().iter().enumerate() {
        let body = format!("{{\"error\":\"no such key: {form}\"}}");
        let status = [200, 401, 500][number % 3];
        for size in [1, 7, body.len() / 2, body.len()] {
            for lines in answers(status, &body, size) {
                let upstream = Upstream::start(&stage, lines).await;
                let (reply, _) = upstream.ask(&stage, Request::messages()).await;
                let case = format!("{form} in pieces of {size}: {reply:?}");
                assert_eq!(reply.status(), status, "{case}");
                let answer = reply.answered().expect(&case);
                assert_clean(&answer.body, &case);
                assert_eq!(answer.body.len(), body.len(), "{case}");
            }
        }
    }
}

async fn encoded(stage: Stage) {
    // Not compressed in truth: what it says is what counts.
    let length = KEY.len();
    for (said, body) in [
        (format!("content-encoding: gzip\r\ncontent-length: {length}"), KEY.to_owned()),
        ("transfer-encoding: gzip, chunked".to_owned(), format!("{length:x}\r\n{KEY}\r\n0\r\n\r\n")),
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{said}\r\n\r\n{body}");
        let upstream = Upstream::start(&stage, Lines::Http1(text.into_bytes())).await;
        let (reply, _) = upstream.ask(&stage, Request::messages()).await;
        assert_eq!(reply.status(), 503, "{said}: {reply:?}");
        assert!(!stage.seen.mentions(KEY), "{said}: {reply:?}");
    }
}

async fn cookies(stage: Stage) {
    let text =
        "HTTP/1.1 200 OK\r\nset-cookie: session=1\r\nSet-Cookie: b=2; Path=/\r\ncontent-length: 2\r\n\r\nok";
    let upstream = Upstream::start(&stage, Lines::Http1(text.as_bytes().to_vec())).await;
    let (reply, _) = upstream.ask(&stage, Request::messages()).await;
    let answer = reply.answered().expect("an answer");
    let is_cookie = |(name, _): &(String, String)| name.to_ascii_lowercase().contains("cookie");
    assert!(!answer.fields.iter().any(is_cookie), "{reply:?}");
}
