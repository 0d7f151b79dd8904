//! The inspector: what its page shows in a real Chromium of what passed a real Envoy, and to whom.

mod access;
mod browser;
mod hostile;
mod load;
mod page;
mod run;
mod screenshots;

use std::time::Duration;

use browser::Browser;
use harness::client::{Http, Request};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::Provider;
use harness::scenario::{KEY, PLACEHOLDER};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The worked example with an inspector.
struct Stage {
    provider: Provider,
    gateway: Gateway,
    /// Of the page.
    url: String,
}

impl Stage {
    async fn start() -> Stage {
        let provider = Provider::accepting(KEY).await.expect("a provider");
        let gateway = Gateway::builder(Manifests::example(&provider)).key(KEY).inspected().start().await;
        let ready = gateway.events("ready").remove(0);
        let url = ready["inspector"].as_str().expect("the URL of the inspector").to_owned();
        Stage { provider, gateway, url }
    }

    async fn send(&self, request: &Request) -> u16 {
        self.gateway.agent(Http::Two, HOST).send(request).await.expect("an answer").status
    }

    /// What the server answers to a path below the token, as it comes.
    async fn answer(&self, path: &str) -> String {
        let (address, token) = address_and_token(&self.url);
        ask(
            &address,
            &format!("GET /{token}/{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"),
        )
        .await
    }
}

/// `127.0.0.1:PORT`, and the token.
fn address_and_token(url: &str) -> (String, String) {
    let (address, token) = url.strip_prefix("http://").and_then(|url| url.split_once('/')).expect("a URL");
    (address.to_owned(), token.trim_end_matches('/').to_owned())
}

/// What comes back of some bytes; of an answer without an end, what comes until it has been silent for a second.
async fn ask(address: &str, bytes: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    loop {
        let silence = Duration::from_secs(if answer.is_empty() { 60 } else { 1 });
        match tokio::time::timeout(silence, stream.read_buf(&mut answer)).await {
            Ok(Ok(1..)) => {}
            _ => return String::from_utf8_lossy(&answer).into_owned(),
        }
    }
}

/// A request that gets the key.
fn message() -> Request {
    Request::messages().header("x-api-key", PLACEHOLDER)
}

/// The same, answered as a stream.
fn streamed() -> Request {
    Request::streamed_messages().header("x-api-key", PLACEHOLDER)
}

/// Waits until the page has so many requests.
async fn rows(browser: &mut Browser, count: usize) {
    browser.until(&format!("document.querySelector('#list').ariaRowCount === '{}'", count + 1)).await;
}
