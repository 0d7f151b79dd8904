//! Why an agent got no answer to its request.

use super::message::Response;

/// Why an agent got no answer to its request.
#[derive(Debug)]
pub enum Failure {
    /// The TCP connection could not be made.
    Connect(std::io::Error),
    /// The proxy answered CONNECT with something else than 200.
    Refused(Response),
    /// The TLS handshake failed.
    Handshake(std::io::Error),
    /// The connection ended, or was reset, before a whole answer came.
    Closed(String),
    /// What came is not HTTP.
    Malformed(String),
    /// Nothing came for this long, seconds.
    Silent(u64),
}

impl Failure {
    /// The proxy's refusal of CONNECT. Panics on any other failure.
    #[must_use]
    #[track_caller]
    pub fn refusal(self) -> Response {
        match self {
            Failure::Refused(response) => response,
            other => panic!("expected a refusal of CONNECT, not {other:?}"),
        }
    }

    /// Whether the connection failed before any request could be sent.
    #[must_use]
    pub fn before_request(&self) -> bool {
        matches!(self, Failure::Connect(_) | Failure::Refused(_) | Failure::Handshake(_))
    }
}
