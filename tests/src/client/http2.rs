//! HTTP/2 with an `:authority` of the test's choice, whole answers or part by part.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::failure::Failure;
use super::http1::Io;
use super::message::{Request, Response};

/// How long an agent waits for the next frame, seconds.
const PATIENCE: u64 = 120;

/// One connection; requests are streams on it.
pub struct Http2 {
    sender: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Http2 {
    /// Speaks over an open connection.
    ///
    /// # Errors
    /// When the connection preface fails.
    pub async fn new<S: Io + 'static>(stream: S) -> Result<Http2, Failure> {
        let (sender, connection) = h2::client::handshake(stream).await.map_err(closed)?;
        Ok(Http2 { sender, driver: tokio::spawn(connection) })
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.driver.is_finished()
    }

    /// Sends a request and reads one whole answer.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn send(&mut self, request: &Request) -> Result<Response, Failure> {
        let (mut response, mut stream) = self.open(request).await?;
        let mut body = BytesMut::new();
        while let Some(part) = next_part(&mut stream).await? {
            body.extend_from_slice(&part);
        }
        response.body = body.freeze();
        Ok(response)
    }

    /// Sends a request and reads the head of its answer; the body comes from the stream, by [`Http2::part`].
    ///
    /// # Errors
    /// When no head comes.
    pub async fn open(&mut self, request: &Request) -> Result<(Response, h2::RecvStream), Failure> {
        let mut sender = self.sender.clone().ready().await.map_err(closed)?;
        let (answer, mut stream) =
            sender.send_request(head(request)?, request.body.is_empty()).map_err(closed)?;
        if !request.body.is_empty() {
            stream.send_data(Bytes::copy_from_slice(&request.body), true).map_err(closed)?;
        }
        let answer = timeout(Duration::from_secs(PATIENCE), answer).await;
        let answer = answer.map_err(|_| Failure::Silent(PATIENCE))?.map_err(closed)?;
        let (head, body) = answer.into_parts();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Ok((Response { status: head.status.as_u16(), headers, body: Bytes::new() }, body))
    }

    /// The next part of a body as it arrives; None at its end.
    ///
    /// # Errors
    /// When the stream is reset.
    pub async fn part(stream: &mut h2::RecvStream) -> Result<Option<Bytes>, Failure> {
        next_part(stream).await
    }
}

async fn next_part(stream: &mut h2::RecvStream) -> Result<Option<Bytes>, Failure> {
    let part = timeout(Duration::from_secs(PATIENCE), stream.data()).await;
    let Some(part) = part.map_err(|_| Failure::Silent(PATIENCE))?.transpose().map_err(closed)? else {
        return Ok(None);
    };
    stream.flow_control().release_capacity(part.len()).map_err(closed)?;
    Ok(Some(part))
}

fn head(request: &Request) -> Result<http::Request<()>, Failure> {
    let uri = format!("https://{}{}", request.authority, request.path);
    let mut builder = http::Request::builder().method(request.method.as_str()).uri(uri);
    for (name, value) in &request.headers {
        builder = builder.header(name.to_ascii_lowercase(), value);
    }
    builder.body(()).map_err(|error| Failure::Malformed(error.to_string()))
}

fn closed(error: h2::Error) -> Failure {
    Failure::Closed(error.to_string())
}
