//! A6: manifests that would stop a careless controller. It goes on, names the file, and the last good rules serve.

use std::time::{Duration, Instant};

use crate::neighbour::Neighbour;
use crate::row::{ONCE, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;

use super::protected;

/// How long the controller may take over a file, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "A6.manifests",
            "bombs, deep nesting, huge and malformed manifests: the controller goes on and names the file",
            ONCE,
            manifests,
        )
        .under(Scenario::default().fresh())
        .slow()
        .only_keyward("speaks of Keyward's manifests"),
    ]
}

/// Each list holds the one before it ten times.
fn bomb() -> String {
    let mut text = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", "));
    }
    text
}

fn nested(open: &str, depth: usize) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: deep}}\nstringData: {}", open.repeat(depth))
}

fn closed(depth: usize) -> String {
    format!("{}{}\n", nested("[", depth), "]".repeat(depth))
}

fn indented(depth: usize) -> String {
    (0..depth).fold(String::new(), |text, level| format!("{text}{}a:\n", " ".repeat(level)))
}

fn many_objects(count: usize) -> String {
    let object = |number: usize| {
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: many-{number}}}\nstringData: {{k: value-of-it}}\n"
        )
    };
    (0..count).map(object).collect()
}

/// Text of a file, and whether something must be said about it.
fn cases() -> Vec<(&'static str, Vec<u8>, bool)> {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: ";
    vec![
        ("bomb", bomb().into(), true),
        ("lists", nested("[", 200_000).into(), true),
        ("closed", closed(20_000).into(), true),
        ("maps", nested("{a: ", 200_000).into(), true),
        ("blocks", nested("\n- - - - - - - - -", 5_000).into(), true),
        ("indented", indented(1_500).into(), true),
        ("tags", nested("!a ", 50_000).into(), false),
        ("anchors", nested("&a ", 50_000).into(), false),
        ("long", format!("{secret}{{name: {}}}\n", "n".repeat(4 << 20)).into(), true),
        ("many", many_objects(3_000).into(), false),
        ("binary", super::slow::noise_of(3, 100_000), true),
        ("nul", b"a: \0\n".to_vec(), true),
        ("latin", b"a: \xe9\n".to_vec(), true),
        ("utf16", b"\xff\xfea\0:\0 \0b\0\n\0".to_vec(), true),
        ("merge", b"<<: *x\n<<: [*x, *x]\n".to_vec(), true),
        ("self", b"a: &a [*a]\n".to_vec(), true),
        ("scalar", b"just a word\n".to_vec(), true),
        ("number", b"1e999999999\n".to_vec(), true),
        ("kinds", b"apiVersion: [v1]\nkind: {a: b}\nmetadata: 7\nspec: true\n".to_vec(), true),
        ("keys", b"{[a, b]: c, {d: e}: f}\n".to_vec(), true),
        (
            "dates",
            format!("{secret}{{name: 2001-01-01, namespace: null}}\nstringData: {{k: .inf}}\n").into(),
            true,
        ),
    ]
}

async fn manifests(stage: Stage) {
    let gateway = stage.gateway();
    let (before, neighbour) = (gateway.processes(), Neighbour::start(&stage).await);
    for (name, text, is_said) in cases() {
        let file = format!("{name}.yaml");
        std::fs::write(gateway.manifests().join(&file), &text).expect("a manifest");
        if is_said {
            said(&stage, &file).await;
        }
        // It answers, and still takes in what is right.
        let key = harness::scenario::KEY;
        while !gateway.set_key(key).await.status.success() {
            assert!(!gateway.processes().is_empty(), "{file}: the controller ended: {:?}", tail(&stage));
        }
        assert_eq!(gateway.processes(), before, "{file}: a process was restarted");
        gateway.remove_manifest(&file);
    }
    neighbour.end(&stage).await;
    protected(&stage);
}

/// Waits until a problem names the file, as long as the controller lives.
async fn said(stage: &Stage, file: &str) {
    let begin = Instant::now();
    while !stage.gateway().events("problem").iter().any(|event| event.to_string().contains(file)) {
        assert!(!stage.gateway().processes().is_empty(), "{file}: the controller ended: {:?}", tail(stage));
        assert!(begin.elapsed() < PATIENCE, "{file}: nothing is said about it: {:?}", tail(stage));
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

fn tail(stage: &Stage) -> Vec<String> {
    stage.gateway().errors().into_iter().rev().take(5).collect()
}
