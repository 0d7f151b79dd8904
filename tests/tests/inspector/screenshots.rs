//! The pictures of `docs/inspector.md`: `make screenshots`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use harness::artefacts::root;
use harness::client::Request;
use harness::gateway::HOST;
use harness::scenario::PLACEHOLDER;
use serde_json::json;

use super::browser::Browser;
use super::{Stage, message, rows, streamed};

/// The largest that a picture may be, in bytes.
const MOST: usize = 300 << 10;

#[tokio::test]
#[ignore = "writes into docs/img: make screenshots"]
async fn the_pictures_of_the_documentation() {
    let stage = Stage::start().await;
    let models = ["claude-haiku-4-5", "claude-opus-4-1", "claude-sonnet-4-5"];
    for number in 0..24 {
        let body = json!({"model": models[number % 3], "max_tokens": 64,
            "messages": [{"role": "user", "content": "Say hello."}]});
        stage.send(&message().json(&body)).await;
        match number {
            5 => stage.send(&Request::new("GET", HOST, "/v1/models").header("x-api-key", PLACEHOLDER)).await,
            9 => stage.send(&message().header("authorization", "Bearer sk-own-0123456789abcdef")).await,
            14 => stage.send(&message().path("/v1//messages")).await,
            _ => 0,
        };
    }
    stage.send(&streamed()).await;
    let mut browser = Browser::open(&stage.url).await;
    rows(&mut browser, 28).await;
    let shoot = async |browser: &mut Browser, name: &str| {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let png = BASE64_STANDARD.decode(browser.screenshot().await).expect("base64");
        assert!(png.len() < MOST, "{name}: {} bytes", png.len());
        std::fs::write(root().join("docs/img").join(name), png).expect("a file");
    };
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        browser.press("1").await;
        browser.value("document.querySelector('#list').focus()").await;
        browser.press("End").await;
        browser.press("Enter").await;
        browser.until("document.querySelector('#request .event')").await;
        shoot(&mut browser, &format!("inspector-{scheme}.png")).await;
        browser.press("2").await;
        shoot(&mut browser, &format!("inspector-usage-{scheme}.png")).await;
    }
    browser.press("3").await;
    browser.until("document.querySelector('#objects')").await;
    shoot(&mut browser, "inspector-objects-dark.png").await;
}
