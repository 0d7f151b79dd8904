//! H8: Secrets that are no credential, or nearly one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::gateway::Manifests;
use harness::scenario::KEY;
use tokio::time::{Duration, Instant, sleep};

use crate::row::{EVERY, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::Request;

pub(super) fn rows() -> Vec<Row> {
    vec![
        // Each refused form is put in the place of one that serves, and another that serves takes its place.
        Row::new(
            "H8.forms",
            "a Secret that no header can carry: refused in status, and at the request",
            EVERY,
            forms,
        )
        .under(Scenario::default().no_secret().own("H8"))
        .without_control()
        .only_keyward("speaks of Keyward's manifests and of what it says of them"),
    ]
}

/// How long a change of the manifests may take until it counts.
const PATIENCE: Duration = Duration::from_secs(20);

/// What stands for the value in the worked example.
const PLACE: &str = "<base64-of-sk-ant-...>";

fn with_value(value: &[u8]) -> String {
    let files = Manifests::worked_example().files();
    assert!(files[0].1.contains(PLACE), "the worked example lost the place of its Secret's value");
    files[0].1.replace(PLACE, &format!("\"{}\"", STANDARD.encode(value)))
}

/// Values that are refused, and what the status says of each.
fn refused() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let (start, end) = KEY.split_at(12);
    let joined = |middle: &[u8]| [start.as_bytes(), middle, end.as_bytes()].concat();
    vec![
        ("empty", Vec::new(), "is empty"),
        ("a line break alone", b"\n".to_vec(), "is empty"),
        ("short", b"sk-1234".to_vec(), "shorter than 8 bytes"),
        ("long", vec![b'k'; 9 << 10], "longer than 8 KiB"),
        ("LF inside", joined(b"\n"), "control character"),
        ("CR inside", joined(b"\r"), "control character"),
        ("a line of its own", joined(b"\r\nx-admin: "), "control character"),
        ("two line breaks at the end", [KEY.as_bytes(), b"\n\n"].concat(), "control character"),
        ("NUL inside", joined(b"\0"), "control character"),
        ("NUL at the end", joined(b"").into_iter().chain([0]).collect(), "control character"),
        ("not UTF-8", joined(b"\xff\xfe"), "not UTF-8"),
        ("the placeholder", harness::scenario::PLACEHOLDER.into(), "placeholder"),
    ]
}

async fn forms(stage: Stage) {
    for (number, (case, value, said)) in refused().into_iter().enumerate() {
        serves(&stage, ["", "\n", "\r\n"][number % 3]).await;
        let before = stage.gateway().events("conditions").len();
        stage.gateway().write_manifest("example.yaml", &with_value(&value));
        status_says(&stage, before, case, said).await;
        let end = Instant::now() + PATIENCE;
        while stage.ask(&Request::messages()).await.status() == 200 {
            assert!(Instant::now() < end, "{case}: it serves on");
            sleep(Duration::from_millis(20)).await;
        }
        stage.world.anthropic.forget();
        let reply = stage.ask(&Request::messages()).await;
        stage.refused(&reply, 503, "credential_unavailable");
        stage.nothing_upstream().await;
    }
    serves(&stage, "\n").await;
}

/// The key with this behind it serves, and goes upstream without it.
async fn serves(stage: &Stage, behind: &str) {
    stage.gateway().write_manifest("example.yaml", &with_value(format!("{KEY}{behind}").as_bytes()));
    let end = Instant::now() + PATIENCE;
    loop {
        let reply = stage.ask(&Request::messages()).await;
        if reply.status() == 200 {
            break;
        }
        assert!(Instant::now() < end, "the key and {behind:?}: {reply:?}");
        sleep(Duration::from_millis(20)).await;
    }
    super::only_ours(&stage.world.anthropic.only_request(), &format!("the key and {behind:?}"));
    stage.world.anthropic.forget();
}

/// The conditions of the policy say what is wrong with the value, and not the value.
async fn status_says(stage: &Stage, before: usize, case: &str, said: &str) {
    let end = Instant::now() + PATIENCE;
    loop {
        let events = stage.gateway().events("conditions").split_off(before);
        let texts = events.iter().filter(|event| event["kind"] == "CredentialInjectionPolicy");
        let texts: Vec<_> = texts.map(ToString::to_string).collect();
        if texts.iter().any(|text| text.contains("InvalidSecret") && text.contains(said)) {
            let part = &KEY[12..];
            assert!(!texts.concat().contains(part), "{case}: the status shows the value");
            return;
        }
        assert!(Instant::now() < end, "{case}: no condition says {said:?}: {texts:?}");
        sleep(Duration::from_millis(20)).await;
    }
}
