//! The directories that `keyward run` makes for itself: what a killed run leaves there, and how others find a live one.

use std::time::Duration;

use harness::process::Process;
use harness::run::Run;
use harness::scenario::KEY;
use rustix::process::Signal;

const PATIENCE: Duration = Duration::from_secs(60);

fn run() -> Run {
    Run::new().environment("ANTHROPIC_API_KEY", KEY)
}

/// Starts a run that lasts, and waits until its command runs.
async fn lasting(run: &Run) -> Process {
    let mut process = run.spawn(&["sh", "-c", "echo started; exec sleep 60"]);
    process.first_line(PATIENCE).await.expect("it starts");
    process
}

#[tokio::test]
async fn what_a_killed_run_left_behind_is_removed_by_the_next_and_a_live_one_is_left_alone() {
    let run = run();
    let mut killed = lasting(&run).await;
    let of_killed = run.left();
    let live = lasting(&run).await;
    killed.signal(Signal::KILL);
    killed.ended(PATIENCE).await.unwrap();
    let state = |path: &&std::path::PathBuf| path.join("state/keyring").exists();
    assert_eq!(of_killed.iter().filter(state).count(), 1, "{of_killed:?}");
    assert!(of_killed.iter().all(|path| path.exists()), "{of_killed:?}");

    let both = run.left().len();
    assert_eq!(run.ended(&["true"]).await.code, Some(0));
    assert!(of_killed.iter().all(|path| !path.exists()), "{:?}", run.left());
    assert_eq!(run.left().len(), both - of_killed.len());
    end(live).await;
    run.gone().await;
    assert!(run.left().is_empty(), "{:?}", run.left());
}

async fn end(mut live: Process) {
    live.signal(Signal::TERM);
    live.ended(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_command_sees_no_state_of_any_run_whether_it_began_before_or_after() {
    let run = run();
    let before = lasting(&run).await;
    let places = "\"$HOME/.local/state/keyward\" /tmp/keyward-$(id -u)";
    let look = format!("echo started; until [ -e go ]; do sleep 0.1; done; ls -RA {places} > seen");
    let mut looking = run.spawn(&["sh", "-c", &look]);
    looking.first_line(PATIENCE).await.expect("it starts");
    let after = lasting(&run).await;
    let states = run.left().into_iter().filter(|path| path.join("state/keyring").exists());
    assert_eq!(states.count(), 3);
    std::fs::write(run.working_directory().join("go"), "").unwrap();
    looking.ended(PATIENCE).await.unwrap();
    let seen = std::fs::read_to_string(run.working_directory().join("seen")).unwrap();
    assert!(
        seen.lines().all(|line| line.is_empty() || line.ends_with(':')) && seen.contains("keyward:"),
        "{seen}"
    );
    for live in [before, after] {
        end(live).await;
    }
}

#[tokio::test]
async fn status_finds_the_gateway_of_a_run_without_being_told_where() {
    let run = run();
    let status = || {
        let output = run.keyward().arg("status").output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, _, errors) = status();
    assert!(code == Some(1) && errors.contains("no `keyward dev` or `keyward run` is running"), "{errors}");

    let first = lasting(&run).await;
    let (code, output, errors) = status();
    assert_eq!(code, Some(0), "{output}{errors}");
    for word in ["default/run", "http://127.0.0.1:", "CredentialInjectionPolicy", "default/anthropic"] {
        assert!(output.contains(word), "{word}: {output}");
    }
    let second = lasting(&run).await;
    let (code, _, errors) = status();
    let named = errors.matches("/runs/").count();
    assert!(code == Some(1) && errors.contains("--state-dir") && named == 2, "{errors}");
    for live in [first, second] {
        end(live).await;
    }
    run.gone().await;
    assert_eq!(status().0, Some(1));
}
