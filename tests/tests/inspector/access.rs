//! Who is answered: whoever has the token, from this machine, under its name.

use harness::gateway::{Gateway, Manifests};
use harness::provider::Provider;
use harness::scenario::KEY;

use super::{Stage, address_and_token, ask, message};

#[tokio::test]
async fn without_the_token_or_under_another_name_nothing_is_shown() {
    let stage = Stage::start().await;
    assert_eq!(stage.send(&message()).await, 200);
    let (address, token) = address_and_token(&stage.url);
    assert!(token.len() >= 22 && address.starts_with("127.0.0.1:"), "128 bits at least: {token}");
    let port = address.strip_prefix("127.0.0.1:").expect("loopback");
    let shorter = &token[1..];
    for (method, path, lines, status) in [
        ("GET", format!("/{token}/"), format!("host: {address}\r\n"), 200),
        ("GET", format!("/{token}/state"), format!("host: localhost:{port}\r\n"), 200),
        ("GET", "/".to_owned(), format!("host: {address}\r\n"), 404),
        ("GET", "/state".to_owned(), format!("host: {address}\r\n"), 404),
        ("GET", "/app.js".to_owned(), format!("host: {address}\r\n"), 404),
        ("GET", format!("/{shorter}/state"), format!("host: {address}\r\n"), 404),
        ("GET", format!("/{token}x/state"), format!("host: {address}\r\n"), 404),
        ("GET", format!("/{token}/../{token}/state"), format!("host: {address}\r\n"), 404),
        ("GET", format!("/{token}/other"), format!("host: {address}\r\n"), 404),
        ("GET", format!("/{token}/requests/999"), format!("host: {address}\r\n"), 404),
        ("GET", format!("/{token}/requests/x"), format!("host: {address}\r\n"), 404),
        ("GET", format!("/{token}/state"), format!("host: rebound.example:{port}\r\n"), 403),
        ("GET", format!("/{token}/state"), String::new(), 403),
        (
            "GET",
            format!("/{token}/state"),
            format!("host: {address}\r\norigin: http://evil.example\r\n"),
            403,
        ),
        ("GET", format!("/{token}/state"), format!("host: {address}\r\nsec-fetch-site: cross-site\r\n"), 403),
        ("POST", format!("/{token}/state"), format!("host: {address}\r\ncontent-length: 0\r\n"), 405),
        ("DELETE", format!("/{token}/requests/1"), format!("host: {address}\r\n"), 405),
    ] {
        let answer =
            ask(&address, &format!("{method} {path} HTTP/1.1\r\n{lines}connection: close\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path} {lines}: {answer}");
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            "cross-origin-opener-policy: same-origin",
            "cross-origin-resource-policy: same-origin",
            "cross-origin-embedder-policy: require-corp",
        ] {
            assert!(answer.contains(header), "{header}: {answer}");
        }
        assert!(status == 200 || !answer.contains("objects"), "{answer}");
        assert!(!answer.contains("unsafe") && !answer.contains("access-control"), "{answer}");
    }
}

#[tokio::test]
async fn where_nobody_inspects_nothing_of_it_is_there() {
    let provider = Provider::accepting(KEY).await.expect("a provider");
    let gateway = Gateway::builder(Manifests::example(&provider)).key(KEY).start().await;
    assert!(gateway.events("ready")[0]["inspector"].is_null());
    let dump = gateway.admin("/config_dump");
    assert!(dump.contains("credentialed") && !dump.contains("inspector.sock"), "it is in the configuration");
    assert!(!gateway.state().join("inspector.sock").exists());
    let stage = Stage::start().await;
    assert!(stage.gateway.admin("/config_dump").contains("inspector.sock"));
    let mode = std::os::unix::fs::MetadataExt::mode(
        &std::fs::metadata(stage.gateway.state().join("inspector.sock")).unwrap(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_stream_goes_on_where_the_browser_was() {
    let stage = Stage::start().await;
    for _ in 0..3 {
        assert_eq!(stage.send(&message()).await, 200);
    }
    let (address, token) = address_and_token(&stage.url);
    let mut all = String::new();
    for _ in 0..20 {
        all = ask(&address, &format!("GET /{token}/events HTTP/1.1\r\nhost: {address}\r\n\r\n")).await;
        if all.contains("\"id\":3") {
            break;
        }
    }
    assert!(all.contains("\"id\":1") && all.contains("id: 3\n"), "{all}");
    let rest = ask(
        &address,
        &format!("GET /{token}/events HTTP/1.1\r\nhost: {address}\r\nlast-event-id: 2\r\n\r\n"),
    )
    .await;
    assert!(rest.contains("\"id\":3") && !rest.contains("\"id\":2"), "{rest}");
}
