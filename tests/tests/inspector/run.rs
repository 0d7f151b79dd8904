//! `keyward run --inspect`: its user sees the page, the command does not.

use std::time::Duration;

use harness::run::Run;
use harness::scenario::KEY;

use super::{address_and_token, ask};

#[tokio::test]
async fn the_command_neither_knows_nor_reaches_the_inspector() {
    for network in ["gateway", "host"] {
        let arguments = ["--inspect", "--isolate=require", &format!("--network={network}")];
        let run = Run::new().environment("ANTHROPIC_API_KEY", KEY).arguments(&arguments);
        let script = "env; echo ready; read -r address < go; \
            curl -s --noproxy '*' -m 5 \"http://$address/\" -o /dev/null -w 'direct %{http_code}\\n'; \
            curl -s -m 5 --noproxy '' -p -x \"$HTTPS_PROXY\" \"http://$address/\" -o /dev/null -w 'proxied %{http_code}\\n'; \
            curl -s -m 5 --noproxy '' -k -x \"$HTTPS_PROXY\" \"https://$address/\" -o /dev/null -w 'tunnelled %{http_code}\\n'; echo done";
        let go = run.working_directory().join("go");
        rustix::fs::mknodat(rustix::fs::CWD, &go, rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .expect("a FIFO");
        let mut process = run.spawn(&["sh", "-c", script]);
        let wait = async |words: &str, process: &harness::process::Process| {
            for _ in 0..600 {
                let lines = [process.output(), process.errors()].concat();
                if lines.iter().any(|line| line.contains(words)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            panic!("{network}: no {words}: {:?} {:?}", process.output(), process.errors());
        };
        wait("ready", &process).await;
        let errors = process.errors();
        let line = errors.iter().find_map(|line| line.split_once("inspector at ")).expect("the URL");
        let (address, token) = address_and_token(line.1);
        let page =
            ask(&address, &format!("GET /{token}/ HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"))
                .await;
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        // The same user may ask for the URL.
        let status = run.keyward().arg("status").output().expect("keyward status");
        let status = String::from_utf8_lossy(&status.stdout).into_owned();
        assert!(status.contains(&format!("inspector {}", line.1)), "{status}");

        std::fs::write(&go, format!("{address}\n")).expect("the command waits");
        wait("done", &process).await;
        let output = process.output().join("\n");
        assert!(!output.contains(&token) && !output.contains("inspect"), "{output}");
        // With the host's network it reaches the port, and without the token nothing else.
        let direct = if network == "gateway" { "direct 000" } else { "direct 404" };
        assert!(output.contains(direct), "{network}: {output}");
        for way in ["proxied", "tunnelled"] {
            let answered = ["200", "404", "403"].map(|status| format!("{way} {status}"));
            assert!(
                output.contains(way) && !answered.iter().any(|it| output.contains(it)),
                "{network}: {output}"
            );
        }
        process.ended(Duration::from_secs(20)).await.expect("it ends");
    }
}

#[tokio::test]
async fn without_inspect_there_is_none() {
    let run = Run::new().environment("ANTHROPIC_API_KEY", KEY);
    let ended = run.ended(&["true"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.errors.contains("inspect"), "{ended:?}");
    let ended = run.arguments(&["--inspect", "--inspect-listen", "0.0.0.0:0"]).ended(&["true"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.errors.contains("loopback alone"), "{ended:?}");
}
