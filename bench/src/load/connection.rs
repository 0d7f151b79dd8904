//! One keep-alive connection that sends a prepared request and reads its answer with as little work as there can be.

use bytes::{Buf as _, Bytes, BytesMut};
use h2::client::SendRequest;
use harness::client::{Agent, Http};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use super::{BODY, HEADERS, PATH};

/// An open connection.
pub struct Connection {
    host: String,
    body: Bytes,
    wire: Wire,
}

enum Wire {
    One { stream: Box<TlsStream<TcpStream>>, buffer: BytesMut },
    Two { sender: SendRequest<Bytes>, driver: JoinHandle<()> },
}

/// What is left of an answer that has begun.
enum Rest {
    /// HTTP/1.1: body bytes that are still to come, if their number was told.
    One(Option<usize>),
    /// HTTP/2.
    Two(h2::RecvStream),
}

impl Connection {
    /// Opens it. Panics when it cannot be opened.
    pub async fn open(agent: &Agent, host: &str) -> Connection {
        let stream = agent.open().await.unwrap_or_else(|error| panic!("no connection for {host}: {error:?}"));
        let _ = stream.get_ref().0.set_nodelay(true);
        let wire = match agent.http {
            Http::One => Wire::One { stream: Box::new(stream), buffer: BytesMut::new() },
            Http::Two => {
                let (sender, connection) = h2::client::handshake(stream).await.expect("an HTTP/2 preface");
                // A connection that ends is seen by whoever uses it.
                let driver = tokio::spawn(async move { drop(connection.await) });
                Wire::Two { sender, driver }
            }
        };
        Connection { host: host.to_owned(), body: Bytes::from_static(BODY.as_bytes()), wire }
    }

    /// With another body than that of the load.
    #[must_use]
    pub fn with_body(mut self, body: Bytes) -> Connection {
        self.body = body;
        self
    }

    /// Sends the request of the load with this query, and reads its whole answer. Panics when that is not a 200.
    pub async fn ask(&mut self, query: &str) {
        match self.begin(query).await {
            Rest::One(left) => self.skip(left.expect("an answer with a length")).await,
            Rest::Two(mut body) => while next(&mut body).await.is_some() {},
        }
    }

    /// Sends the request of the load with this query, and waits for the first bytes of the body of its answer.
    /// Nothing more can be asked over HTTP/1.1 then. Panics when there is no 200 with a body.
    pub async fn first_bytes(&mut self, query: &str) {
        match (self.begin(query).await, &mut self.wire) {
            (Rest::Two(mut body), _) => {
                next(&mut body).await.expect("a body");
            }
            (Rest::One(_), Wire::One { stream, buffer }) => {
                // The first event follows the line with the length of its chunk.
                while !buffer.windows(6).any(|window| window == b"event:") {
                    assert_ne!(stream.read_buf(buffer).await.expect("bytes"), 0, "an answer without a body");
                }
            }
            (Rest::One(_), Wire::Two { .. }) => unreachable!("an answer over the wire of the request"),
        }
    }

    async fn begin(&mut self, query: &str) -> Rest {
        match &mut self.wire {
            Wire::One { stream, buffer } => {
                let request = http1_request(&self.host, query, &self.body);
                stream.write_all(&request).await.expect("an open connection");
                stream.flush().await.expect("an open connection");
                Rest::One(http1_head(stream, buffer).await)
            }
            Wire::Two { sender, .. } => {
                let mut ready = sender.clone().ready().await.expect("an open connection");
                let request = http2_request(&self.host, query, &self.body);
                let ends = self.body.is_empty();
                let (answer, mut body) = ready.send_request(request, ends).expect("a stream");
                if !ends {
                    body.send_data(self.body.clone(), true).expect("a stream");
                }
                let answer = answer.await.expect("an answer");
                assert_eq!(answer.status(), 200, "{} {:?}", self.host, answer.headers());
                Rest::Two(answer.into_body())
            }
        }
    }

    async fn skip(&mut self, left: usize) {
        let Wire::One { stream, buffer } = &mut self.wire else { unreachable!("an answer over HTTP/1.1") };
        while buffer.len() < left {
            assert_ne!(stream.read_buf(buffer).await.expect("bytes"), 0, "an answer that breaks off");
        }
        buffer.advance(left);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Wire::Two { driver, .. } = &self.wire {
            driver.abort();
        }
    }
}

async fn next(body: &mut h2::RecvStream) -> Option<Bytes> {
    let part = body.data().await?.expect("a whole answer");
    body.flow_control().release_capacity(part.len()).expect("what was taken");
    Some(part)
}

fn path(query: &str) -> String {
    match query {
        "" => PATH.to_owned(),
        query => format!("{PATH}?{query}"),
    }
}

fn http1_request(host: &str, query: &str, body: &[u8]) -> Vec<u8> {
    let lines: String = HEADERS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (path, length) = (path(query), body.len());
    let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\n{lines}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn http2_request(host: &str, query: &str, body: &[u8]) -> http::Request<()> {
    let request =
        http::Request::post(format!("https://{host}{}", path(query))).header("content-length", body.len());
    let request = HEADERS.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(()).expect("a valid request")
}

/// Reads the head of an answer, and leaves what came of its body in the buffer; the body's length, if it says so.
async fn http1_head(stream: &mut TlsStream<TcpStream>, buffer: &mut BytesMut) -> Option<usize> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        assert_ne!(
            stream.read_buf(buffer).await.expect("bytes"),
            0,
            "a connection that ends without an answer"
        );
    };
    let head = buffer.split_to(end);
    let head = std::str::from_utf8(&head).expect("a head in UTF-8");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    length.map(|(_, value)| value.parse().expect("a length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_fourteen_headers_besides_its_host() {
        assert_eq!(http2_request("h.example", "", BODY.as_bytes()).headers().len(), 14);
        let text = String::from_utf8(http1_request("h.example", "events", BODY.as_bytes())).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /v1/messages?events HTTP/1.1\r\nhost: h.example\r\n"), "{head}");
        assert_eq!((head.lines().count(), body), (1 + 1 + 14, BODY));
    }
}
