//! `keyward secret set`: where the value that it was given can be seen.

use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use harness::artefacts::keyward;
use harness::scenario::KEY;

/// A gateway that takes the request and never answers: the command waits for it, and can be looked at.
#[test]
fn its_variable_is_not_in_the_environment_that_others_may_read() {
    let state = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(state.path().join("control.sock")).unwrap();
    let mut waiting = Command::new(keyward())
        .args(["secret", "set", "anthropic", "--from-env", "api-key=NEW_KEY", "--state-dir"])
        .arg(state.path())
        .env("NEW_KEY", KEY)
        .env("HARMLESS", "yes")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _connection = listener.accept().unwrap();
    let environment = std::fs::read(format!("/proc/{}/environ", waiting.id()));
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    // Only root may look: for others of the same user there is nothing to read.
    assert_eq!(environment.is_ok(), rustix::process::geteuid().is_root());
    if let Ok(environment) = environment {
        let environment = String::from_utf8_lossy(&environment);
        assert!(environment.contains("HARMLESS=yes"), "{environment}");
        assert!(!environment.contains(KEY), "the key is in the environment");
    }
}
