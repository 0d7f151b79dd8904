//! An upstream that speaks only HTTP/1.1: there a request is what its bytes say, so every byte is looked at.

use harness::client::Http;

use super::HIDDEN;
use crate::row::{EVERY, HTTP1, Row};
use crate::stage::Stage;
use crate::subject::Kind;
use crate::wire::http2::{DATA, END_STREAM, Frame};
use crate::wire::{Field, Request, contains};
use crate::world::{Site, ip};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "framing.http1-upstream",
            "one request goes in, one comes out, whatever it holds",
            EVERY,
            one,
        )
        .proved_by_itself(),
        Row::new(
            "framing.smuggle",
            "lengths, chunks and lines that hide a request: it does not come out",
            EVERY,
            smuggle,
        ),
        Row::new(
            "framing.bare-ends",
            "CR or LF alone: refused, or no such byte goes upstream",
            HTTP1,
            bare_ends,
        ),
    ]
}

const NAME: &str = "http1.example";

async fn upstream(stage: &Stage) -> Site {
    stage.world.http1_site(ip(77), NAME).await
}

/// The heads of requests that stand in these bytes.
fn heads(bytes: &[u8]) -> usize {
    String::from_utf8_lossy(bytes).matches(" HTTP/1.1\r\n").count()
}

async fn one(stage: Stage) {
    let site = upstream(&stage).await;
    let requests = [
        Request::messages(),
        Request::messages().body(vec![b'x'; 70_000]),
        Request::messages().trailer("x-trailer", "late"),
        Request::new("GET", "/v1/files?a=b%20c"),
        Request::new("HEAD", "/v1/files"),
        Request::new("DELETE", "/v1/files/1"),
    ];
    for request in requests {
        let reply = stage.send(&stage.agent_for(NAME), &request.clone().authority(NAME)).await;
        if stage.subject.kind == Kind::Foreign && stage.declined(&reply) {
            // Refused is not split.
            assert!(heads(&site.http1_bytes()) <= 1, "{reply:?}");
            site.forget();
            continue;
        }
        assert_ne!(reply.status(), 0, "{reply:?}");
        let received = site.only_request();
        assert_eq!((received.path.as_bytes(), &received.body), (&request.path[..], &request.body));
        assert_eq!(heads(&site.http1_bytes()), 1, "{}", received.path);
        site.forget();
    }
}

/// What hides a request, in HTTP/1.1: header lines and body.
fn hidden_in_http1() -> Vec<String> {
    let (long, hidden) = (HIDDEN.len() + 5, HIDDEN.replace("api.anthropic.com", NAME));
    [
        format!("Content-Length: {long}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        format!("Transfer-Encoding: xchunked\r\nContent-Length: {long}\r\n\r\n0\r\n\r\n{hidden}"),
        format!("Content-Length: 0\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len()),
        format!("Transfer-Encoding: chunked\r\nX-A: b\0\r\n\r\n0\r\n\r\n{hidden}"),
    ]
    .map(|rest| format!("POST /v1/messages HTTP/1.1\r\nHost: {NAME}\r\n{rest}"))
    .into()
}

/// What hides a request, in HTTP/2: a field, and a body.
fn hidden_in_http2() -> Vec<(Field, Vec<u8>)> {
    let hidden = HIDDEN.replace("api.anthropic.com", NAME);
    let field = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    vec![
        (field("content-length", "0"), hidden.clone().into()),
        (field("content-length", "5"), format!("0\r\n\r\n{hidden}").into()),
        (field("transfer-encoding", "chunked"), format!("0\r\n\r\n{hidden}").into()),
        (field("x-a", &format!("b\r\n\r\n{hidden}")), Vec::new()),
        (field("x-a: b\r\n\r\nget", "c"), hidden.clone().into()),
        (field("x-a", "b\r\ntransfer-encoding: chunked"), format!("0\r\n\r\n{hidden}").into()),
    ]
}

async fn smuggle(stage: Stage) {
    let site = upstream(&stage).await;
    match stage.http() {
        Http::One => {
            for bytes in hidden_in_http1() {
                let stream = stage.agent_for(NAME).open().await.expect("a connection");
                let reply = stage.http1_over(stream).ask(bytes.as_bytes()).await.into();
                stage.refused_with_any(&reply, &[0, 400, 501]);
                hidden(&site, &bytes).await;
            }
        }
        Http::Two => {
            for (field, body) in hidden_in_http2() {
                let shown = format!("{:?}", String::from_utf8_lossy(&field.1));
                let mut session =
                    stage.http2_over(stage.agent_for(NAME).open().await.expect("a connection")).await;
                let mut fields = Request::messages().authority(NAME).to_http2();
                fields.push(field);
                let stream = session.open(&fields, false).await;
                session.send(&[Frame::new(DATA, END_STREAM, stream, body)]).await;
                let reply = session.answer(stream).await.into();
                stage.refused_with_any(&reply, &[0, 400, 503]);
                hidden(&site, &shown).await;
            }
        }
    }
}

/// No request that was hidden arrived, nor a whole one that hid it.
async fn hidden(site: &Site, what: &str) {
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    let bytes = site.http1_bytes();
    assert!(!contains(&bytes, b"/hidden HTTP/1.1"), "{what}: {:?}", String::from_utf8_lossy(&bytes));
    assert!(site.take_requests().is_empty(), "{what}: a whole request arrived");
}

async fn bare_ends(stage: Stage) {
    let site = upstream(&stage).await;
    for line in ["X-A: b\rContent-Length: 60", "X-A: b\r\rX-B: c", "X-A: \rb", "X-A: b\r", "X-A: b\nX-B: c"] {
        let request = format!("GET /v1/files HTTP/1.1\r\nHost: {NAME}\r\n{line}\r\n\r\n");
        let stream = stage.agent_for(NAME).open().await.expect("a connection");
        // What became of it is seen upstream: either nothing arrives, or no such byte.
        let _ = stage.http1_over(stream).ask(request.as_bytes()).await;
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        let bytes = site.http1_bytes();
        let mut pairs = bytes.iter().zip(bytes.iter().skip(1));
        let alone = pairs.any(|(byte, next)| (*byte == b'\r') != (*next == b'\n'));
        assert!(!alone, "{line:?} went upstream: {:?}", String::from_utf8_lossy(&bytes));
        site.forget();
    }
}
