//! A request as a row writes it: nothing is checked, completed or put in order.

use serde_json::json;

use harness::gateway::HOST;

/// A header line: name and value as they go on the wire.
pub(crate) type Field = (Vec<u8>, Vec<u8>);

/// A request, before it is written in HTTP/1.1 or HTTP/2.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Method.
    pub(crate) method: Vec<u8>,
    /// `host` of HTTP/1.1, `:authority` of HTTP/2; None: neither is sent.
    pub(crate) authority: Option<Vec<u8>>,
    /// `:scheme` of HTTP/2.
    pub(crate) scheme: Vec<u8>,
    /// Request target of HTTP/1.1, `:path` of HTTP/2.
    pub(crate) path: Vec<u8>,
    /// Header lines but the authority, in order.
    pub(crate) fields: Vec<Field>,
    /// Body. Its length is declared unless the row declares one, or trailers follow.
    pub(crate) body: Vec<u8>,
    /// Trailer lines.
    pub(crate) trailers: Vec<Field>,
}

impl Request {
    /// A request without header lines and body, to the credentialed host.
    pub(crate) fn new(method: &str, path: impl AsRef<[u8]>) -> Request {
        Request {
            method: method.into(),
            authority: Some(HOST.into()),
            scheme: b"https".to_vec(),
            path: path.as_ref().to_vec(),
            fields: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
        }
    }

    /// `POST /v1/messages`: what the worked example puts the credential in.
    pub(crate) fn messages() -> Request {
        let messages = json!([{"role": "user", "content": "Say hello."}]);
        let body = json!({"model": "claude-test", "max_tokens": 64, "messages": messages});
        Request::new("POST", "/v1/messages").field("content-type", "application/json").body(body.to_string())
    }

    /// Adds a header line.
    pub(crate) fn field(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Request {
        self.fields.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Sets the authority.
    pub(crate) fn authority(mut self, authority: impl AsRef<[u8]>) -> Request {
        self.authority = Some(authority.as_ref().to_vec());
        self
    }

    /// Sends no authority.
    pub(crate) fn no_authority(mut self) -> Request {
        self.authority = None;
        self
    }

    /// Sets `:scheme`, which HTTP/1.1 does not have.
    pub(crate) fn scheme(mut self, scheme: &str) -> Request {
        self.scheme = scheme.into();
        self
    }

    /// Sets path and query.
    pub(crate) fn path(mut self, path: impl AsRef<[u8]>) -> Request {
        self.path = path.as_ref().to_vec();
        self
    }

    /// Sets the body.
    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Request {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Adds a trailer line.
    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Request {
        self.trailers.push((name.into(), value.into()));
        self
    }

    /// The bytes of this request in HTTP/1.1.
    pub(crate) fn to_http1(&self) -> Vec<u8> {
        let mut bytes = [&self.method[..], b" ", &self.path, b" HTTP/1.1\r\n"].concat();
        let host = self.authority.iter().map(|authority| (b"Host".to_vec(), authority.clone()));
        lines(&mut bytes, host.chain(self.fields.iter().cloned()));
        if !self.trailers.is_empty() {
            bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            bytes.extend_from_slice(&chunk(&self.body));
            bytes.extend_from_slice(b"0\r\n");
            lines(&mut bytes, self.trailers.iter().cloned());
            bytes.extend_from_slice(b"\r\n");
            return bytes;
        }
        if !self.body.is_empty() && !self.declares_length() {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        [bytes.as_slice(), b"\r\n", &self.body].concat()
    }

    /// The header list of this request in HTTP/2: pseudo-headers, then the header lines with lower-case names.
    pub(crate) fn to_http2(&self) -> Vec<Field> {
        let mut fields: Vec<Field> = vec![(b":method".to_vec(), self.method.clone())];
        fields.push((b":scheme".to_vec(), self.scheme.clone()));
        fields.extend(self.authority.iter().map(|authority| (b":authority".to_vec(), authority.clone())));
        fields.push((b":path".to_vec(), self.path.clone()));
        fields.extend(self.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
        fields
    }

    fn declares_length(&self) -> bool {
        let names = ["content-length", "transfer-encoding"];
        self.fields
            .iter()
            .any(|(name, _)| names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())))
    }
}

/// A body as one chunk (RFC 9112, section 7.1).
pub(crate) fn chunk(body: &[u8]) -> Vec<u8> {
    if body.is_empty() {
        return Vec::new();
    }
    [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat()
}

fn lines(bytes: &mut Vec<u8>, fields: impl Iterator<Item = Field>) {
    for (name, value) in fields {
        bytes.extend([&name[..], b": ", &value, b"\r\n"].concat());
    }
}
