//! Where a body ends in HTTP/1.1: `Content-Length` against `Transfer-Encoding`, and lengths that are none.

use crate::row::{HTTP1, Row};
use crate::stage::Stage;
use crate::wire::contains;

pub(super) fn rows() -> Vec<Row> {
    vec![Row::new(
        "framing.conflict",
        "Content-Length and Transfer-Encoding at once: refused",
        HTTP1,
        conflict,
    )]
}

/// What would be a second request, if the first ended where the agent hopes.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: api.anthropic.com\r\n\r\n";

/// Sends header lines and a body that read in two ways; the hidden request must not come out upstream.
async fn check(stage: &Stage, lines: &str, body: &str) {
    let head = format!("POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\n{lines}\r\n");
    let reply = stage.ask_bytes(format!("{head}{body}").as_bytes()).await;
    stage.refused_with_any(&reply, &[400]);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let sent = stage.world.anthropic.http1_bytes();
    assert!(!contains(&sent, b"/hidden"), "{lines:?}: the hidden request went upstream");
    stage.nothing_upstream().await;
}

async fn conflict(stage: Stage) {
    let body = format!("0\r\n\r\n{HIDDEN}");
    let length = format!("Content-Length: {}\r\n", body.len());
    for lines in
        [format!("{length}Transfer-Encoding: chunked\r\n"), format!("Transfer-Encoding: chunked\r\n{length}")]
    {
        check(&stage, &lines, &body).await;
    }
}
