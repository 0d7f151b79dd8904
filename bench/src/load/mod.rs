//! The load: one kind of request, again and again, over a handful of connections that stay open.

mod connection;
pub(crate) mod vegeta;

use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::client::Http;
use tokio::task::JoinSet;

pub use connection::Connection;

use crate::contender::Contender;

/// What an agent sends in place of a credential.
pub const PLACEHOLDER: &str = harness::scenario::PLACEHOLDER;
/// The endpoint that every request is for.
pub const PATH: &str = "/v1/messages";
/// The body of every request.
pub const BODY: &str = r#"{"model":"claude-test","max_tokens":64,"messages":[{"role":"user","content":"Say hello, and nothing else."}]}"#;

/// The headers of every request; with `content-length` and, in HTTP/1.1, `host` they are fourteen and fifteen lines.
pub const HEADERS: [(&str, &str); 13] = [
    ("accept", "application/json"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-language", "*"),
    ("user-agent", "Anthropic/Python 0.71.0"),
    ("content-type", "application/json"),
    ("anthropic-version", "2023-06-01"),
    ("x-api-key", PLACEHOLDER),
    ("x-stainless-lang", "python"),
    ("x-stainless-package-version", "0.71.0"),
    ("x-stainless-os", "Linux"),
    ("x-stainless-arch", "x64"),
    ("x-stainless-runtime", "CPython"),
    ("x-stainless-retry-count", "0"),
];

/// Connections to one contender, each with one request under way at a time.
pub struct Load {
    connections: Vec<Connection>,
}

impl Load {
    /// Opens them. Panics when one cannot be opened.
    pub async fn open(contender: &Contender, http: Http, host: &str, connections: usize) -> Load {
        let agent = contender.agent(http, host);
        let mut opened = Vec::new();
        for _ in 0..connections {
            opened.push(Connection::open(&agent, host).await);
        }
        Load { connections: opened }
    }

    /// With another body than [`BODY`] in each request.
    #[must_use]
    pub fn with_body(mut self, body: &Bytes) -> Load {
        self.connections =
            self.connections.into_iter().map(|connection| connection.with_body(body.clone())).collect();
        self
    }

    /// Sends this many requests in all; how long each took, in no order. Panics when one is not answered with 200.
    pub async fn run(&mut self, requests: usize) -> Vec<Duration> {
        let share = requests.div_ceil(self.connections.len());
        let mut running = JoinSet::new();
        for mut connection in self.connections.drain(..) {
            running.spawn(async move {
                let mut times = Vec::with_capacity(share);
                for _ in 0..share {
                    let start = Instant::now();
                    connection.ask("").await;
                    times.push(start.elapsed());
                }
                (connection, times)
            });
        }
        let mut all = Vec::new();
        while let Some(done) = running.join_next().await {
            let (connection, times) = done.expect("every request is answered");
            self.connections.push(connection);
            all.extend(times);
        }
        all
    }
}
