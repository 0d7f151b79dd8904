//! L1 and H4: the provider gives the credential back where no server library would put it.

use harness::scenario::KEY;

use crate::row::{EVERY, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::subject::Leak;
use crate::wire::http2::{DATA, END_HEADERS, END_STREAM, Frame, HEADERS, encode};
use crate::wire::{Field, Reply, Request, contains};
use crate::world::{Lines, Script, ip};

pub(super) fn rows() -> Vec<Row> {
    let rows = vec![
        Row::new(
            "L1.phrase",
            "the key in the reason phrase of HTTP/1.1: it does not come through",
            EVERY,
            phrase,
        ),
        Row::new(
            "L1.early",
            "the key in answers of 1xx before the final one: it does not come through",
            EVERY,
            early,
        ),
        Row::new("L1.name", "the key as the name of a header: it does not come through", EVERY, name),
        Row::new(
            "H4.answer",
            "the key in the trailers of an answer: it does not come through",
            EVERY,
            trailers,
        ),
    ];
    rows.into_iter().map(|row| row.proved_by(Leak::Back).under(scenario())).collect()
}

/// The default, and hosts whose answers a row writes itself.
pub(in crate::rows) fn scenario() -> Scenario {
    Scenario::default().credentialed("scripted", &["one.scripted.example", "two.scripted.example"])
}

/// A provider whose answers a row writes itself, under [`scenario`].
pub(in crate::rows) struct Upstream {
    pub(in crate::rows) host: &'static str,
    pub(in crate::rows) script: Script,
}

impl Upstream {
    /// Speaks the protocol of these lines.
    pub(in crate::rows) async fn start(stage: &Stage, lines: Lines) -> Upstream {
        let (host, last) = match lines {
            Lines::Http1(_) => ("one.scripted.example", 7),
            Lines::Http2(_) => ("two.scripted.example", 8),
        };
        Upstream { host, script: stage.world.script(ip(last), host, lines).await }
    }

    /// Sends a request, which must reach it with the key, and returns what the agent got and what it received.
    pub(in crate::rows) async fn ask(&self, stage: &Stage, request: Request) -> (Reply, Vec<u8>) {
        let reply = stage.send(&stage.agent_for(self.host), &request.authority(self.host)).await;
        let received = self.script.take();
        assert!(contains(&received, KEY.as_bytes()), "the provider never had the key: {reply:?}");
        (reply, received)
    }

    /// Sends bytes over a fresh HTTP/1.1 connection for its host.
    pub(in crate::rows) async fn ask_bytes(&self, stage: &Stage, bytes: &[u8]) -> Reply {
        let stream = stage.agent_for(self.host).open().await.expect("a connection");
        stage.http1_over(stream).ask(bytes).await.into()
    }
}

/// An answer with the key in it, as each protocol writes it: the agent must get an answer (or none), never the key.
async fn check(stage: &Stage, case: &str, lines: Lines, status: u16) -> Reply {
    let upstream = Upstream::start(stage, lines).await;
    let (reply, _) = upstream.ask(stage, Request::messages()).await;
    assert_eq!(reply.status(), status, "{case}: {reply:?}");
    for spelling in [KEY.to_owned(), KEY.to_ascii_lowercase()] {
        assert!(!stage.seen.mentions(&spelling), "{case}: the agent received the key");
    }
    reply
}

fn http1(text: &str) -> Lines {
    Lines::Http1(text.replace('\n', "\r\n").replace("KEY", KEY).into_bytes())
}

fn head(flags: u8, fields: &[(&str, &str)]) -> Frame {
    let field = |(name, value): &(&str, &str)| -> Field {
        (name.replace("KEY", &KEY.to_ascii_lowercase()).into(), value.replace("KEY", KEY).into())
    };
    Frame::new(HEADERS, END_HEADERS | flags, 0, encode(&fields.iter().map(field).collect::<Vec<_>>()))
}

async fn phrase(stage: Stage) {
    for status in [200, 302, 401, 500] {
        let text = format!("HTTP/1.1 {status} KEY\ncontent-length: 2\n\nok");
        check(&stage, &text, http1(&text), status).await;
    }
}

async fn early(stage: Stage) {
    let link = "</style.css?KEY>; rel=preload";
    let last = "HTTP/1.1 200 OK\ncontent-length: 2\n\nok";
    for early in ["103 Early Hints", "103 KEY", "100 Continue", "102 Processing", "199 Other"] {
        let text = format!("HTTP/1.1 {early}\nlink: {link}\n\n{last}");
        check(&stage, early, http1(&text), 200).await;
    }
    let twice =
        format!("HTTP/1.1 103 Early Hints\nlink: {link}\n\nHTTP/1.1 103 Early Hints\nx-note: KEY\n\n{last}");
    check(&stage, "twice", http1(&twice), 200).await;
    for early in ["103", "100", "102"] {
        let frames = vec![
            head(0, &[(":status", early), ("link", link)]),
            head(0, &[(":status", "200")]),
            Frame::new(DATA, END_STREAM, 0, *b"ok"),
        ];
        check(&stage, &format!("{early} in HTTP/2"), Lines::Http2(frames), 200).await;
    }
}

async fn name(stage: Stage) {
    check(&stage, "alone", http1("HTTP/1.1 200 OK\nKEY: 1\ncontent-length: 2\n\nok"), 200).await;
    check(&stage, "inside", http1("HTTP/1.1 200 OK\nx-for-KEY-only: 1\ncontent-length: 2\n\nok"), 200).await;
    let frames =
        vec![head(0, &[(":status", "200"), ("x-KEY", "KEY")]), Frame::new(DATA, END_STREAM, 0, *b"ok")];
    check(&stage, "in HTTP/2", Lines::Http2(frames), 200).await;
}

async fn trailers(stage: Stage) {
    let text =
        "HTTP/1.1 200 OK\ntransfer-encoding: chunked\ntrailer: x-note\n\n2\nok\n0\nx-note: KEY\nKEY: 1\n\n";
    check(&stage, "in HTTP/1.1", http1(text), 200).await;
    let body = Frame::new(DATA, 0, 0, *b"ok");
    let frames = vec![head(0, &[(":status", "200")]), body, head(END_STREAM, &[("x-note", "key=KEY")])];
    let reply = check(&stage, "in HTTP/2", Lines::Http2(frames), 200).await;
    assert_eq!(reply.answered().map(|answer| &answer.body[..]), Some(&b"ok"[..]));
}
