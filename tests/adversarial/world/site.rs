//! A provider, seen since the case under way began.

use std::sync::{Mutex, PoisonError};

use harness::provider::{Connection, Provider, Received};

use crate::wire::contains;

/// A provider and where its records ended when the case began.
pub(crate) struct Site {
    /// The provider itself: to say how it behaves.
    pub(crate) provider: Provider,
    mark: Mutex<Mark>,
}

#[derive(Default)]
struct Mark {
    accepted: usize,
    /// For each connection the bytes received before.
    lengths: Vec<usize>,
}

impl Site {
    pub(super) fn new(provider: Provider) -> Site {
        Site { provider, mark: Mutex::default() }
    }

    /// Every request since the case began, or since they were last taken.
    pub(crate) fn take_requests(&self) -> Vec<Received> {
        self.provider.take_requests()
    }

    /// The only request since the case began, taken. Panics when there are none or several.
    #[track_caller]
    pub(crate) fn only_request(&self) -> Received {
        self.provider.only_request()
    }

    /// TCP connections accepted since the case began, whatever came over them.
    pub(crate) fn accepted(&self) -> usize {
        self.provider.accepted() - self.mark().accepted
    }

    /// Connections with only the bytes that came since the case began; those without such bytes are left out.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        let mark = self.mark();
        let before = |number: usize| mark.lengths.get(number).copied().unwrap_or(0);
        let all = self.provider.connections().into_iter().enumerate();
        let recent = all.map(|(number, connection)| Connection {
            bytes: connection.bytes[before(number)..].to_vec(),
            ..connection
        });
        recent.filter(|connection| !connection.bytes.is_empty()).collect()
    }

    /// What HTTP/1.1 connections carried since the case began, one after the other.
    pub(crate) fn http1_bytes(&self) -> Vec<u8> {
        let connections = self.connections();
        let http1 = connections.iter().filter(|connection| connection.alpn.as_deref() != Some("h2"));
        http1.flat_map(|connection| connection.bytes.iter().copied()).collect()
    }

    /// Whether these bytes reached it since the case began, in a request or as they stood on an HTTP/1.1 connection.
    pub(crate) fn saw(&self, needle: &str) -> bool {
        contains(&self.http1_bytes(), needle.as_bytes())
            || self.provider.requests().iter().any(|request| request.mentions(needle))
    }

    /// Forgets everything so far.
    pub(crate) fn forget(&self) {
        self.provider.take_requests();
        let lengths = self.provider.connections().iter().map(|connection| connection.bytes.len()).collect();
        *self.mark() = Mark { accepted: self.provider.accepted(), lengths };
    }

    fn mark(&self) -> std::sync::MutexGuard<'_, Mark> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
