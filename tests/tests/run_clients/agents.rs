//! Coding agents as the command of `keyward run` itself, told nothing but what to do.

use harness::scenario::KEY;

use super::world::{OPENAI_KEY, World};
use super::{assert_no_key, assert_swapped, recipes};

/// Runs a recipe as the command; its standard output. Panics unless it ends well.
async fn run(world: &World, client: &str) -> String {
    let run = world.run(&world.manifests());
    let ended = run.ended(&["sh", "-c", &format!("exec {}", recipes::of(client))]).await;
    assert_eq!(ended.code, Some(0), "{client}: {}{}", ended.output, ended.errors);
    for key in [KEY, OPENAI_KEY] {
        assert!(!ended.output.contains(key) && !ended.errors.contains(key), "{client} has seen a key");
    }
    assert!(ended.errors.contains(" injected"), "{}", ended.errors);
    ended.output
}

#[tokio::test]
async fn claude_code_gets_its_answer_with_the_real_key_behind_it() {
    let world = World::start().await;
    let output = run(&world, "Claude Code").await;
    assert_eq!(output.trim_end(), "part 0 part 1 part 2");
    let received = world.anthropic.take_requests();
    let (asked, account): (Vec<_>, Vec<_>) =
        received.iter().partition(|received| received.path.starts_with("/v1/messages"));
    assert!(!asked.is_empty(), "nothing was asked");
    for received in asked {
        assert_swapped(received, "x-api-key", KEY, "Claude Code");
        assert_eq!(received.path, "/v1/messages?beta=true");
    }
    // What no route lists gets no key, not even at the same host.
    assert!(account.iter().any(|received| received.path.starts_with("/api/claude_code/")));
    for received in account {
        assert!(!received.mentions(KEY), "{} got the key", received.path);
        assert!(received.values("x-api-key").is_empty(), "{}", received.path);
    }
    assert_no_key(&world.others, "Claude Code");
}

#[tokio::test]
async fn codex_tries_a_web_socket_then_posts_and_gets_its_answer_with_the_real_key_behind_it() {
    let world = World::start().await;
    let output = run(&world, "Codex").await;
    assert_eq!(output.trim_end(), "part 0 part 1 part 2");
    let received = world.openai.take_requests();
    let bearer = format!("Bearer {OPENAI_KEY}");
    for received in received.iter().filter(|received| received.path == "/v1/responses") {
        assert_swapped(received, "authorization", &bearer, "Codex");
    }
    let asked: Vec<_> =
        received.iter().map(|received| (received.method.as_str(), received.path.as_str())).collect();
    assert_eq!(asked.first(), Some(&("GET", "/v1/responses")), "{asked:?}");
    assert_eq!(received[0].values("upgrade"), ["websocket"]);
    let posted = received.iter().find(|received| received.method == "POST").expect("a question");
    assert_eq!((posted.path.as_str(), posted.version.as_str()), ("/v1/responses", "HTTP/2.0"));

    let elsewhere = world.others.requests();
    assert!(
        elsewhere.iter().any(|received| received.authority == "chatgpt.com"),
        "chatgpt.com was not asked"
    );
    assert_no_key(&world.others, "Codex");
}
