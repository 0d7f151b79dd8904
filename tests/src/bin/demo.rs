//! The demonstration: curl as an agent with a placeholder, a gateway, and a provider that shows what it got.
//!
//! With `ANTHROPIC_API_KEY` set the provider is the real one, and what it got is not ours to see.

use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::{Provider, Received};
use harness::scenario::{KEY, PLACEHOLDER};
use harness::software::CURL;

#[tokio::main]
async fn main() {
    tokio::select! {
        // Dropping the demonstration ends the gateway.
        _ = tokio::signal::ctrl_c() => {}
        () = demonstrate() => {}
    }
}

async fn demonstrate() {
    match std::env::var("ANTHROPIC_API_KEY") {
        Ok(key) if !key.is_empty() => with_the_real_provider(&key).await,
        _ => with_a_provider_of_our_own().await,
    }
}

async fn with_a_provider_of_our_own() {
    println!("No ANTHROPIC_API_KEY here: {HOST} is a provider on this machine, and its key is made up.");
    let provider = Provider::accepting(KEY).await.expect("a provider");
    let gateway = Gateway::builder(Manifests::example(&provider)).key(KEY).start().await;
    ask(&gateway).await;
    for received in provider.take_requests() {
        show_received(&received);
    }
    show_record(&gateway).await;
}

async fn with_the_real_provider(key: &str) {
    let gateway = Gateway::builder(Manifests::worked_example()).key(key).start().await;
    ask(&gateway).await;
    show_record(&gateway).await;
}

/// Shows what the agent knows and sends, and what came back.
async fn ask(gateway: &Gateway) {
    let ready = gateway.ready();
    println!("\nThe agent is curl. All it knows:");
    println!("  HTTPS_PROXY=http://{}", ready.proxy);
    println!("  CURL_CA_BUNDLE={}", ready.ca.display());
    println!("  ANTHROPIC_API_KEY={PLACEHOLDER}");
    println!("\nThe agent sends:\n  POST https://{HOST}/v1/messages\n  x-api-key: {PLACEHOLDER}");
    println!("\nThe agent gets:");
    for line in CURL.start("plain", ready).written_at_end().await.lines() {
        println!("  {line}");
    }
}

fn show_received(received: &Received) {
    println!("\nThe provider got:\n  {} https://{}{}", received.method, received.authority, received.path);
    for (name, value) in &received.headers {
        println!("  {name}: {value}");
    }
}

async fn show_record(gateway: &Gateway) {
    println!("\nThe record says:\n  {}", gateway.wait_for_line(&["\"event\":\"access\""]).await);
}
