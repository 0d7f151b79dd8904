//! Where a body ends in HTTP/1.1: lengths against chunks, and lengths and chunks that are none (RFC 9112, section 6).

use super::{HIDDEN, refused_as_malformed};
use crate::row::{HTTP1, Row};
use crate::stage::Stage;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "framing.conflict",
            "Content-Length and Transfer-Encoding at once: refused",
            HTTP1,
            conflict,
        ),
        Row::new("framing.lengths", "several lengths, and lengths that are none: refused", HTTP1, lengths),
        Row::new(
            "framing.codings",
            "transfer codings that are not chunked, or not only: refused",
            HTTP1,
            codings,
        ),
        Row::new(
            "framing.chunks",
            "chunk sizes and ends that are none: the body does not get longer",
            HTTP1,
            chunks,
        ),
        Row::new("framing.folded", "a folded line: refused, or one line", HTTP1, folded).proved_by_itself(),
        Row::new(
            "framing.lines",
            "spaces before the colon, NUL, lines without a colon: refused",
            HTTP1,
            lines,
        ),
    ]
}

/// Sends header lines and a body that read in two ways.
async fn check(stage: &Stage, lines: &str, body: &str) {
    let head = format!("POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\n{lines}\r\n");
    let reply = stage.ask_bytes(format!("{head}{body}").as_bytes()).await;
    refused_as_malformed(stage, &reply, lines).await;
}

fn chunked() -> String {
    format!("0\r\n\r\n{HIDDEN}")
}

async fn conflict(stage: Stage) {
    let body = chunked();
    let length = format!("Content-Length: {}\r\n", body.len());
    for lines in [
        format!("{length}Transfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\n{length}"),
        "Content-Length: 5\r\ntransfer-encoding: CHUNKED\r\n".to_owned(),
    ] {
        check(&stage, &lines, &body).await;
    }
}

async fn lengths(stage: Stage) {
    for lines in [
        "Content-Length: 2\r\nContent-Length: 60\r\n",
        "Content-Length: 2, 60\r\n",
        "Content-Length: +2\r\n",
        "Content-Length: -2\r\n",
        "Content-Length: 0x02\r\n",
        "Content-Length: 2 2\r\n",
        "Content-Length: \r\n",
        "Content-Length: two\r\n",
        "Content-Length: 99999999999999999999\r\n",
    ] {
        check(&stage, lines, &format!("{{}}{HIDDEN}")).await;
    }
}

async fn codings(stage: Stage) {
    for coding in [
        "identity",
        "gzip, chunked",
        "chunked, identity",
        "chunked, chunked",
        "xchunked",
        "\"chunked\"",
        "chunked;q=1",
        "\x0bchunked",
        "chun ked",
    ] {
        check(&stage, &format!("Transfer-Encoding: {coding}\r\n"), &chunked()).await;
    }
    check(&stage, "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", &chunked()).await;
    check(&stage, "Transfer-Encoding : chunked\r\n", &chunked()).await;
}

async fn chunks(stage: Stage) {
    for body in [
        format!("-1\r\n{HIDDEN}"),
        format!("+2\r\n{{}}\r\n{}", chunked()),
        format!("0x2\r\n{{}}\r\n{}", chunked()),
        format!("2_\r\n{{}}\r\n{}", chunked()),
        format!("fffffffffffffffff2\r\n{{}}\r\n{}", chunked()),
        format!("2\n{{}}\n{}", chunked()),
        format!("2\r\n{{}}XX{}", chunked()),
        format!("zz\r\n{}", chunked()),
    ] {
        let head =
            "POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nTransfer-Encoding: chunked\r\n\r\n";
        let reply = stage.ask_bytes(format!("{head}{body}").as_bytes()).await;
        assert!(stage.declined(&reply), "{body:?}: {reply:?}");
        stage.refused_with_any(&reply, &[0, 400]);
        super::stays_hidden(&stage, &body);
        // The head may have gone upstream before the bad chunk came; a whole request may not.
        assert!(stage.world.anthropic.take_requests().is_empty(), "{body:?}: a request went upstream");
    }
}

async fn lines(stage: Stage) {
    for lines in [
        "X-A : b\r\n",
        " X-A: b\r\n",
        "X-A: b\0c\r\n",
        "X\0A: b\r\n",
        "X A: b\r\n",
        ": empty\r\n",
        "no-colon\r\n",
    ] {
        check(&stage, &format!("{lines}Content-Length: 2\r\n"), "{}").await;
    }
}

/// A folded line is one line with spaces in it, or it is refused (RFC 9112, section 5.2).
async fn folded(stage: Stage) {
    for fold in ["X-A: b\r\n X-Folded: 1\r\n", "X-A: b\r\n\tX-Folded: 1\r\n", "X-A:\r\n b\r\n"] {
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nContent-Length: 2\r\n{fold}\r\n"
        );
        let reply = stage.ask_bytes(format!("{head}{{}}").as_bytes()).await;
        if reply.is_refusal() {
            stage.nothing_upstream().await;
            continue;
        }
        let received = stage.world.anthropic.only_request();
        assert!(received.values("x-folded").is_empty(), "{fold:?} became a line of its own");
        assert_eq!(received.values("x-a").len(), 1, "{fold:?}");
    }
}
