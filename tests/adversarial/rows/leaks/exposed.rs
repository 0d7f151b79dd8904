//! L4: what lies open to who can reach the gateway's processes, files and sockets.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use harness::gateway::Gateway;
use harness::scenario::KEY;
use harness::search::{files_under, found, spellings};
use tokio::net::UnixStream;
use tokio::time::Duration;

use crate::row::{ONCE, Row};
use crate::stage::Stage;
use crate::wire::http2::Session;
use crate::wire::{Cut, Request};

pub(super) fn rows() -> Vec<Row> {
    let rows = vec![
        Row::new("L4.admin", "Envoy's admin socket shows no key of any kind, whatever is asked", ONCE, shown),
        Row::new(
            "L4.level",
            "nothing can be changed through the admin socket, the log's level neither",
            ONCE,
            level,
        ),
        Row::new("L4.xds", "another process that opens the xDS socket gets no resource", ONCE, xds),
        Row::new("L4.dumps", "no process of the gateway leaves a core dump", ONCE, dumps),
        Row::new("L4.modes", "files and sockets of the state directory are its owner's alone", ONCE, modes),
    ];
    rows.into_iter().map(|row| row.only_keyward("speaks of Keyward's processes, files and sockets")).collect()
}

/// The answer of the gateway's Envoy at its admin socket.
pub(super) fn admin(gateway: &Gateway, method: &str, path: &str) -> String {
    let files = files_under(gateway.state());
    let socket = files.iter().find(|file| file.file_name().is_some_and(|name| name == "admin.sock"));
    let socket = socket.expect("an admin socket under the state directory");
    harness::admin::send(socket, method, path).expect("an answer at the admin socket")
}

/// What no answer may show: the credential, the sealing keys, the CA's private key.
fn needles(gateway: &Gateway) -> Vec<String> {
    let mut needles = spellings(KEY);
    let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("a file of the state directory");
    let keyring = read(&gateway.state().join("keyring"));
    let sealing = keyring.trim().split(':').nth(1).expect("a sealing key").to_owned();
    needles.push(sealing);
    let keys: Vec<_> =
        files_under(gateway.state()).into_iter().filter(|path| path.ends_with("ca.key")).collect();
    assert!(!keys.is_empty(), "no CA key in the state directory");
    for key in keys {
        let text = read(&key);
        needles.push(text.lines().nth(1).expect("a line of the CA key").to_owned());
    }
    needles.push("PRIVATE KEY".into());
    needles
}

async fn shown(stage: Stage) {
    let reply = stage.ask(&Request::messages()).await;
    assert_eq!(reply.status(), 200, "{reply:?}");
    assert!(stage.world.anthropic.saw(KEY), "the provider never had the key");
    let (gateway, mut answered) = (stage.gateway(), 0);
    let needles = needles(gateway);
    for path in [
        "/config_dump",
        "/config_dump?include_eds",
        "/config_dump?resource=ecds_filters",
        "/config_dump?resource=dynamic_active_secrets",
        "/config_dump?resource=ecds_filters&mask=ecds_filter",
        "/config_dump?mask=bootstrap",
        "/config_dump?mask=configs",
        "/config_dump?name_regex=.*",
        "/init_dump",
        "/certs",
        "/clusters?format=json",
        "/listeners?format=json",
        "/server_info",
        "/stats?usedonly",
        "/stats/recentlookups",
        "/runtime",
        "/memory",
        "/contention",
        "/hot_restart_version",
        "/allocprofiler",
        "/heap_dump",
        "/tap",
        "/",
        "/help",
        "/no-such-page",
    ] {
        let answer = admin(gateway, "GET", path);
        let shown = found(answer.as_bytes(), &needles);
        assert!(shown.is_empty(), "{path} shows {} of the keys", shown.len());
        answered += usize::from(answer.starts_with("HTTP/1.1 200"));
    }
    assert!(answered >= 8, "only {answered} pages answered");
    let dump = admin(gateway, "GET", "/config_dump");
    assert!(dump.contains("bucket-0") && dump.contains("[redacted]"), "the dump lacks what must be redacted");
}

async fn level(stage: Stage) {
    let gateway = stage.gateway();
    for path in [
        "/logging",
        "/logging?level=trace",
        "/logging?wasm=trace",
        "/logging?paths=http:debug",
        "/reopen_logs",
        "/quitquitquit",
        "/healthcheck/fail",
        "/drain_listeners",
        "/runtime_modify?a=b",
        "/reset_counters",
        "/cpuprofiler?enable=y",
        "/heapprofiler?enable=y",
        "/allocprofiler?enable=y",
        "/tap",
    ] {
        for method in ["POST", "GET", "PUT"] {
            let answer = admin(gateway, method, path);
            assert!(!answer.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
        }
    }
    stage.good().await;
}

async fn xds(stage: Stage) {
    let socket = stage.gateway().state().join("xds.sock");
    let stream = UnixStream::connect(&socket).await.expect("the xDS socket");
    let mut session = Session::start(stream, stage.seen.clone()).await;
    // A DeltaDiscoveryRequest of this node for every filter: node.id = 1.1, type_url = 2, subscribe = 3.
    let (node, kind) = ("default/echo-bot", "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig");
    let text = |tag: u8, text: &[u8]| [&[tag, u8::try_from(text.len()).expect("short")], text].concat();
    let message =
        [text(0x0a, &text(0x0a, node.as_bytes())), text(0x12, kind.as_bytes()), text(0x1a, b"*")].concat();
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    let path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
    let request = Request::new("POST", path)
        .scheme("http")
        .authority("xds")
        .field("content-type", "application/grpc")
        .field("te", "trailers")
        .body([&[0][..], &length, &message].concat());
    let stream = session.request(&request).await;
    let answer = session.answer_within(Duration::from_secs(5), stream).await;
    let body = answer.as_ref().map(|answer| answer.body.len()).unwrap_or_default();
    assert_eq!(body, 0, "another process got resources: {answer:?}");
    assert!(!matches!(&answer, Ok(answer) if answer.values("grpc-status") == ["0"]), "{answer:?}");
    assert!(!matches!(answer, Err(Cut::Silent)), "the stream of another process stays open");
    stage.good().await;
}

async fn dumps(stage: Stage) {
    let processes = stage.gateway().processes();
    assert!(processes.len() >= 2, "{processes:?}");
    for (number, command) in processes {
        let read = |file: &str| {
            std::fs::read_to_string(format!("/proc/{number}/{file}")).expect("a running process")
        };
        let limits = read("limits");
        let limit = limits.lines().find(|line| line.starts_with("Max core file size")).expect("the limit");
        let words: Vec<_> = limit.split_whitespace().skip(4).collect();
        assert_eq!(words, ["0", "0", "bytes"], "{command}");
        assert_eq!(read("coredump_filter").trim(), "00000000", "{command}");
    }
}

async fn modes(stage: Stage) {
    let state = stage.gateway().state();
    let mode = |path: &std::path::Path| std::fs::symlink_metadata(path).expect("a file").mode() & 0o777;
    // Nobody else comes to what is below, whatever the modes there.
    assert_eq!(mode(state), 0o700, "the state directory");
    let files = files_under(state);
    let mut sockets = 0;
    for file in &files {
        let (name, kind) = (file.display(), std::fs::symlink_metadata(file).expect("a file").file_type());
        if kind.is_socket() {
            sockets += 1;
            assert_eq!(mode(file) & 0o077, 0, "{name}: {:o}", mode(file));
        }
        assert_eq!(mode(file) & 0o022, 0, "{name} can be written by others: {:o}", mode(file));
        if ["keyring", "overlay.json", "ca.key"].iter().any(|secret| file.ends_with(secret)) {
            assert_eq!(mode(file), 0o600, "{name}");
        }
    }
    assert!(sockets >= 3, "{files:?}");
}
