//! The README's telemetry: a real collector gets spans, with the header that was sealed for it.

use std::sync::{Arc, Mutex};

use harness::collector::{Collector, attribute};
use harness::scenario::KEY;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Desk, Envoy, MESSAGES, blocks, replaced, spellings};

/// What the collector wants to see.
pub(super) const AUTHORIZATION: &str = "Bearer otlp-token-1f6c0de9a7";

/// A port in front of a collector, which keeps what passes to it.
struct Passage {
    port: u16,
    passed: Arc<Mutex<Vec<u8>>>,
}

impl Passage {
    async fn to(collector: &Collector) -> Passage {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let passed = Arc::<Mutex<Vec<u8>>>::default();
        let (kept, address) = (Arc::clone(&passed), collector.endpoint().replace("http://", ""));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&address).await.expect("the collector");
                tokio::spawn(pass(client, server, Arc::clone(&kept)));
            }
        });
        Passage { port, passed }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.passed.lock().unwrap()).into_owned()
    }
}

async fn pass(client: TcpStream, server: TcpStream, kept: Arc<Mutex<Vec<u8>>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut piece = vec![0; 65_536];
    while let Ok(length @ 1..) = from_client.read(&mut piece).await {
        kept.lock().unwrap().extend_from_slice(&piece[..length]);
        if to_server.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

/// The example with what the README says of telemetry, for a collector at this port; without it none is told.
async fn desk(collector: Option<u16>) -> Desk {
    let desk = Desk::new().await;
    let [telemetry]: [String; 1] = blocks("json").try_into().expect("one block");
    let [_, capabilities, cluster]: [String; 3] = blocks("yaml").try_into().expect("three blocks");
    let mut telemetry: Value = serde_json::from_str(&telemetry).expect("JSON");
    let template = std::fs::read_to_string(desk.path("envoy.yaml.in")).unwrap();
    let at = "                    allowed_capabilities:\n";
    let template = match collector {
        Some(port) => {
            let address = format!("address: 127.0.0.1, port_value: {port}");
            let cluster = replaced(&cluster, "address: otel-collector, port_value: 4318", &address);
            let template = replaced(&template, at, &format!("{at}{capabilities}"));
            replaced(&template, "  clusters:\n", &format!("  clusters:\n{cluster}"))
        }
        None => {
            telemetry = json!({});
            let reading: String = capabilities.split_inclusive('\n').take(2).collect();
            replaced(&template, at, &format!("{at}{reading}"))
        }
    };
    std::fs::write(desk.path("envoy.yaml.in"), template).unwrap();
    desk.change("filter.json", |config| config["telemetry"] = telemetry);
    desk
}

/// The README's request, which is served, and asks for an answer that can be read.
async fn ask(envoy: &Envoy<'_>) {
    let answer = envoy.curl(MESSAGES, "-H 'accept-encoding: br, gzip'").await;
    assert_eq!(answer.status, "200", "{}", answer.text);
    let received = envoy.desk.provider.only_request();
    assert_eq!((received.values("x-api-key"), received.values("accept-encoding")), (vec![KEY], vec!["gzip"]));
}

#[tokio::test]
async fn a_collector_gets_spans_with_the_header_that_was_sealed_for_it() {
    let collector = Collector::start().await;
    let passage = Passage::to(&collector).await;
    let desk = desk(Some(passage.port)).await;
    desk.prepare(|_| {});
    let mut envoy = desk.envoy(str::to_owned).await;
    ask(&envoy).await;
    let span = collector.wait_for(1).await.remove(0);
    for (key, value) in [
        ("keyward.gateway", json!("static/example")),
        ("keyward.decision", json!("injected")),
        ("gen_ai.usage.output_tokens", json!(6)),
    ] {
        assert_eq!(attribute(&span, key), Some(value), "{key} in {span:#}");
    }
    assert!(span.to_string().contains("http.response.body"), "{span:#}");
    let passed = passage.text();
    assert!(passed.contains(&format!("authorization: {AUTHORIZATION}\r\n")), "{passed:?}");

    // It stands sealed wherever the configuration does, and in nothing that is written.
    envoy.process.stop();
    let written = [envoy.process.output(), envoy.process.errors()].concat().join("\n");
    let configuration = std::fs::read_to_string(desk.path("filter.sealed.json")).unwrap();
    for spelling in spellings(AUTHORIZATION) {
        assert!(!written.contains(&spelling) && !configuration.contains(&spelling), "{spelling}");
    }
}

#[tokio::test]
async fn a_header_that_was_sealed_for_another_collector_goes_to_nobody_and_requests_pass() {
    let collector = Collector::start().await;
    let passage = Passage::to(&collector).await;
    let desk = desk(Some(passage.port)).await;
    desk.prepare(|config| {
        config["telemetry"]["collectors"][0]["path"] = "/elsewhere".into();
    });
    let envoy = desk.envoy(str::to_owned).await;
    ask(&envoy).await;
    // Spans are sent every half second.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!((passage.text(), collector.spans().len()), (String::new(), 0));
}

#[tokio::test]
async fn without_a_collector_the_record_has_models_and_tokens() {
    let desk = desk(None).await;
    desk.prepare(|_| {});
    let mut envoy = desk.envoy(str::to_owned).await;
    ask(&envoy).await;
    envoy.process.stop();
    let written = envoy.process.output().join("\n");
    assert!(written.contains("output_tokens"), "{written}");
}

#[test]
fn what_cannot_be_a_header_is_not_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let shell = |command: &str| {
        let mut shell = std::process::Command::new("bash");
        shell.args(["-euc", command, harness::artefacts::keyward().to_str().unwrap()]);
        shell.current_dir(&folder).output().unwrap()
    };
    assert!(shell("\"$0\" keyring new > keyring").status.success());
    let path = harness::artefacts::root().join("envoy-config/static/filter.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    config["rules"] = json!([]);
    for (name, value, said) in [
        ("authorization", "two\nlines", "printable ASCII"),
        ("content-length", "1", "no header that can be set"),
        ("authorization", "", "not empty"),
    ] {
        config["telemetry"]["collectors"] = json!([{"cluster": "c", "authority": "a", "path": "/",
            "headers": [{"name": name, "sealed": "file:value"}]}]);
        std::fs::write(folder.path().join("filter.json"), config.to_string()).unwrap();
        std::fs::write(folder.path().join("value"), value).unwrap();
        let output = shell("\"$0\" seal filter.json --keyring-file keyring");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(
            errors.contains("telemetry.collectors[0].headers[0].sealed") && errors.contains(said),
            "{errors}"
        );
        assert!(!errors.contains("lines"), "{errors}");
    }
}
