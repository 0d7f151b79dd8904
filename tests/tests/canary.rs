//! The real key is nowhere but at the provider: everything that a whole run left behind is searched.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::client::{Http, Request};
use harness::gateway::{Gateway, HOST};
use harness::provider::{Echo, Provider};
use harness::scenario::{KEY, PLACEHOLDER, worked_example};
use harness::search::{files_under, found, spellings};

const ROTATED: &str = "sk-ant-rotated-9sWkQ2nH5uLdE8aRtV";

/// Runs what an agent can make happen: answers, refusals, echoes, a rotation.
async fn whole_run(provider: &Provider, gateway: &Gateway) {
    provider.behave(|behaviour| behaviour.echo = Echo::ALL.to_vec());
    for key in [KEY, ROTATED] {
        provider.behave(|behaviour| behaviour.key = Some(key.into()));
        if key == ROTATED {
            assert!(gateway.set_key(ROTATED).await.status.success());
        }
        for (way, agent) in gateway.every_way() {
            for request in [
                Request::messages().header("x-api-key", PLACEHOLDER),
                Request::streamed_messages(),
                Request::messages().path("/v1/files"),
                Request::messages().authority("other.example"),
            ] {
                let answer = agent.send(&request).await.expect(&way);
                assert!(!answer.mentions(key), "{way}: an agent saw the key");
            }
        }
        let seen = provider.take_requests();
        assert!(seen.iter().any(|received| received.mentions(key)), "the provider never saw the key");
    }
}

/// Asks Envoy's admin interface; there is one on a Unix socket under the state directory.
fn admin(gateway: &Gateway, request: &str) -> Vec<u8> {
    let mut sockets = files_under(gateway.state())
        .into_iter()
        .filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("admin")));
    let socket = sockets.next_back().expect("an admin socket under the state directory");
    let mut stream = UnixStream::connect(socket).expect("the admin socket");
    stream
        .write_all(format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    answer
}

#[tokio::test]
async fn a_whole_run_leaves_the_key_nowhere() {
    let needles: Vec<_> = [spellings(KEY), spellings(ROTATED)].concat();
    let (provider, gateway) = worked_example().await;
    whole_run(&provider, &gateway).await;
    gateway.wait_for_line(&["\"event\":\"access\""]).await;

    for path in ["/config_dump?include_eds", "/stats", "/clusters", "/server_info", "/listeners"] {
        let answer = admin(&gateway, &format!("GET {path}"));
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{path}");
        assert_eq!(found(&answer, &needles), Vec::<String>::new(), "{path}");
    }
    let dump = admin(&gateway, "GET /config_dump?include_eds");
    assert!(!found(&dump, &["bucket-0".into()]).is_empty(), "the dump does not show the buckets");

    let written = [gateway.lines(), gateway.errors()].concat().join("\n");
    assert_eq!(found(written.as_bytes(), &needles), Vec::<String>::new(), "the output of keyward");
    let state = gateway.state().to_owned();
    for file in files_under(&state).iter().filter(|path| path.is_file()) {
        assert_eq!(
            found(&std::fs::read(file).unwrap(), &needles),
            Vec::<String>::new(),
            "{}",
            file.display()
        );
    }
}

#[tokio::test]
async fn nothing_can_be_changed_through_the_admin_socket() {
    let (_provider, gateway) = worked_example().await;
    for path in [
        "/logging?level=debug",
        "/quitquitquit",
        "/drain_listeners",
        "/runtime_modify?a=b",
        "/reset_counters",
    ] {
        let answer = admin(&gateway, &format!("POST {path}"));
        assert!(answer.starts_with(b"HTTP/1.1 403"), "{path}: {}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn no_command_line_holds_the_key_and_only_keyward_itself_was_started_with_it() {
    let (_provider, gateway) = worked_example().await;
    for (number, command) in gateway.processes() {
        assert!(found(command.as_bytes(), &spellings(KEY)).is_empty(), "{command}");
        let environment = std::fs::read(format!("/proc/{number}/environ")).unwrap();
        if gateway.envoys().contains(&number) {
            assert!(found(&environment, &spellings(KEY)).is_empty(), "Envoy inherited the key");
        }
    }
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let leaks = [KEY.to_owned(), format!("a\"{KEY}\"b"), STANDARD.encode(format!("x-api-key: {KEY}\r\n"))];
    for leak in leaks {
        assert!(!found(leak.as_bytes(), &spellings(KEY)).is_empty(), "{leak}");
    }
    assert!(found(b"nothing here", &spellings(KEY)).is_empty());
}

#[tokio::test]
async fn an_agent_that_asks_for_a_credential_elsewhere_gets_none() {
    let (provider, gateway) = worked_example().await;
    let agent = gateway.agent(Http::One, HOST);
    for path in ["/", "/v1/complete/x", "/v1/Messages", "/V1/messages", "/v1/messages/"] {
        agent.send(&Request::messages().path(path)).await.expect(path);
        assert!(provider.take_requests().iter().all(|received| !received.mentions(KEY)), "{path}");
    }
}
