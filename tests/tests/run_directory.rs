//! The directories that `keyward run` makes for itself: what a killed run leaves there, and how others find a live one.

use std::time::Duration;

use harness::run::Run;
use harness::scenario::KEY;
use rustix::process::Signal;

const PATIENCE: Duration = Duration::from_secs(60);

fn run() -> Run {
    Run::new().environment("ANTHROPIC_API_KEY", KEY)
}

/// Starts a run that lasts, and waits until its command runs.
async fn lasting(run: &Run) -> harness::process::Process {
    let mut process = run.spawn(&["sh", "-c", "echo started; exec sleep 60"]);
    process.first_line(PATIENCE).await.expect("it starts");
    process
}

#[tokio::test]
async fn what_a_killed_run_left_behind_is_removed_by_the_next_and_a_live_one_is_left_alone() {
    let run = run();
    let mut killed = lasting(&run).await;
    let of_killed = run.left();
    let mut live = lasting(&run).await;
    killed.signal(Signal::KILL);
    killed.ended(PATIENCE).await.unwrap();
    let state = |path: &&std::path::PathBuf| path.join("state/keyring").exists();
    assert_eq!(of_killed.iter().filter(state).count(), 1, "{of_killed:?}");
    assert!(of_killed.iter().all(|path| path.exists()), "{of_killed:?}");

    let both = run.left().len();
    assert_eq!(run.ended(&["true"]).await.code, Some(0));
    assert!(of_killed.iter().all(|path| !path.exists()), "{:?}", run.left());
    assert_eq!(run.left().len(), both - of_killed.len());
    live.signal(Signal::TERM);
    live.ended(PATIENCE).await.unwrap();
    run.gone().await;
    assert!(run.left().is_empty(), "{:?}", run.left());
}
