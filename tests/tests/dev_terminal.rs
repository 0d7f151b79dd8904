//! `keyward dev` in a real terminal: lines in colours, and at the end what it came to.

use std::path::Path;
use std::process::Command;

use harness::artefacts;
use harness::client::{Agent, Http, Request, Way};
use harness::gateway::{HOST, Manifests};
use harness::provider::Provider;
use harness::scenario::KEY;
use harness::terminal::Terminal;

/// `keyward dev` on the worked example in this folder.
fn dev(folder: &Path, provider: &Provider) -> Command {
    let (manifests, state) = (folder.join("manifests"), folder.join("state"));
    std::fs::create_dir(&manifests).unwrap();
    Manifests::example(provider).deny_all().write_to(&manifests);
    let mut command = Command::new(artefacts::keyward());
    command.arg("dev").arg("--manifests").arg(manifests).arg("--state-dir").arg(state);
    command.arg("--module").arg(artefacts::module()).arg("--envoy").arg(artefacts::envoy());
    command.args(["--no-inspect", "--secret", "anthropic-credentials=KEYWARD_TEST_KEY"]);
    command.env("KEYWARD_TEST_KEY", KEY).current_dir(folder);
    command
}

/// What stands behind a word on the screen, to the end of the word.
fn behind<'a>(screen: &'a str, word: &str) -> &'a str {
    let (_, rest) = screen.split_once(word).unwrap_or_else(|| panic!("no {word} in:\n{screen}"));
    rest.split_whitespace().next().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lines_of_requests_have_colours_where_they_are_wanted_and_the_end_says_tokens() {
    for (variable, coloured) in
        [(("NO_COLOR", ""), true), (("NO_COLOR", "1"), false), (("CLICOLOR", "0"), false)]
    {
        let provider = Provider::accepting(KEY).await.unwrap();
        let folder = tempfile::Builder::new().prefix("kw").tempdir().unwrap();
        let mut command = dev(folder.path(), &provider);
        command.env(variable.0, variable.1);
        let terminal = Terminal::start(&command);
        // No line is broken in two.
        terminal.tmux(&["resize-window", "-x", "300", "-y", "50"]);
        let screen = terminal.wait_for(|screen| screen.contains("SSL_CERT_FILE="));
        let ca = std::fs::read_to_string(behind(&screen, "SSL_CERT_FILE=")).expect("the CA");
        let proxy = behind(&screen, "HTTPS_PROXY=http://").parse().expect("an address");
        let agent = Agent::new(Way::Proxy(proxy, format!("{HOST}:443")), Http::One, HOST, &ca);
        for (path, status) in [("/v1/messages", 200), ("/v1/files", 403)] {
            assert_eq!(agent.send(&Request::messages().path(path)).await.unwrap().status, status, "{path}");
        }
        terminal.wait_for(|screen| screen.contains("/v1/messages injected") && screen.contains(" denied "));

        let painted = terminal.tmux(&["capture-pane", "-e", "-p"]);
        let line = |words: &str| painted.lines().find(|line| line.contains(words)).expect(words);
        for (words, colour) in [("/v1/messages injected", "\u{1b}[32m"), (" denied ", "\u{1b}[31m")] {
            assert_eq!(line(words).starts_with(colour), coloured, "{variable:?}: {painted:?}");
        }
        assert_eq!(painted.contains('\u{1b}'), coloured, "{variable:?}: {painted:?}");

        terminal.keys("C-c");
        terminal.wait_for_line("claude-test: 1 request, 12 tokens in, 6 out");
        terminal.wait_for_line("ended with 130");
    }
}
