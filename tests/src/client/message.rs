//! Requests and responses as an agent sees them: header lines in a list, nothing interpreted.

use bytes::Bytes;
use serde_json::{Value, json};

/// A request, before it is written in HTTP/1.1 or HTTP/2.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method.
    pub method: String,
    /// `host` of HTTP/1.1, `:authority` of HTTP/2.
    pub authority: String,
    /// Path and query, as they go on the wire.
    pub path: String,
    /// Header lines but the authority, in order.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    #[must_use]
    pub fn new(method: &str, authority: &str, path: &str) -> Request {
        Request {
            method: method.into(),
            authority: authority.into(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// `POST /v1/messages` to `api.anthropic.com`, asking for a short answer.
    #[must_use]
    pub fn messages() -> Request {
        Request::new("POST", "api.anthropic.com", "/v1/messages").json(&asking(false))
    }

    /// The same, asking for a streamed answer.
    #[must_use]
    pub fn streamed_messages() -> Request {
        Request::new("POST", "api.anthropic.com", "/v1/messages").json(&asking(true))
    }

    /// Adds a header line.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds several header lines.
    #[must_use]
    pub fn headers(self, lines: &[(&str, &str)]) -> Request {
        lines.iter().fold(self, |request, (name, value)| request.header(name, value))
    }

    /// Sets the authority.
    #[must_use]
    pub fn authority(mut self, authority: &str) -> Request {
        self.authority = authority.into();
        self
    }

    /// Sets path and query.
    #[must_use]
    pub fn path(mut self, path: &str) -> Request {
        self.path = path.into();
        self
    }

    /// Sets the body and its content type.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Request {
        self.body = body.to_string().into_bytes();
        self.header("content-type", "application/json")
    }

    /// The bytes of this request in HTTP/1.1, names spelt as they are.
    #[must_use]
    pub fn to_http1(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.path, self.authority);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

fn asking(stream: bool) -> Value {
    json!({
        "model": "claude-test",
        "max_tokens": 64,
        "stream": stream,
        "messages": [{"role": "user", "content": "Say hello."}],
    })
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header lines in order.
    pub headers: Vec<(String, String)>,
    /// Body, without transfer coding.
    pub body: Bytes,
}

impl Response {
    /// Every value of a header.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// The coarse reason that the gateway gives an agent; empty when there is none.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.values("x-keyward-reason").first().copied().unwrap_or_default()
    }

    /// The body as JSON; null when it is not.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether these bytes stand anywhere in the answer.
    #[must_use]
    pub fn mentions(&self, needle: &str) -> bool {
        self.headers.iter().any(|(name, value)| name.contains(needle) || value.contains(needle))
            || self.body.windows(needle.len().max(1)).any(|window| window == needle.as_bytes())
    }
}
