//! Manifests that are missing, wrong or half there: a message with file, line, object, field and remedy; the rest serves.

use std::time::Duration;

use harness::client::{Http, Request};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::Provider;
use harness::scenario::{KEY, adjusted_example, worked_example};

const SOUND: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: unused}\nstringData: {token: some-value}\n";

/// The standard error of a `keyward dev` that must end with this code.
async fn refusal(builder: harness::gateway::Builder, code: i32) -> String {
    let mut gateway = builder.spawn().await;
    assert_eq!(gateway.ended().await, Some(code), "{}", gateway.errors().join("\n"));
    gateway.errors().join("\n")
}

#[tokio::test]
async fn a_directory_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(harness::artefacts::keyward())
        .args(["dev", "--manifests", "/nonexistent/manifests", "--json", "--state-dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("/nonexistent/manifests"), "{message}");
}

#[tokio::test]
async fn a_directory_without_a_gateway_is_refused_with_the_remedy() {
    for (manifests, word) in
        [(Manifests::empty(), "*.yaml"), (Manifests::empty().file("s.yaml", SOUND), "EgressGateway")]
    {
        let message = refusal(Gateway::builder(manifests), 1).await;
        assert!(message.contains(word), "{message}");
    }
}

#[tokio::test]
async fn one_file_of_ten_that_does_not_parse_leaves_the_other_nine_serving() {
    let (_provider, gateway) = adjusted_example(|manifests| {
        let sound = (1..=8).fold(manifests, |manifests, number| {
            manifests
                .file(&format!("sound-{number}.yaml"), &SOUND.replace("unused", &format!("unused-{number}")))
        });
        sound.file("broken.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: x\n")
    })
    .await;
    assert_eq!(gateway.agent(Http::Two, HOST).send(&Request::messages()).await.unwrap().status, 200);
    let said = [gateway.lines(), gateway.errors()].concat().join("\n");
    assert!(said.contains("broken.yaml"), "{said}");
}

#[tokio::test]
async fn a_file_that_stops_parsing_keeps_its_last_good_objects() {
    let (provider, gateway) = worked_example().await;
    let good = std::fs::read_to_string(gateway.manifests().join("example.yaml")).unwrap();
    gateway.write_manifest("example.yaml", &good[..good.len() - 40]);
    gateway.write_manifest("more.yaml", "{ half");
    gateway.wait_for_line(&["more.yaml"]).await;
    for _ in 0..20 {
        assert_eq!(gateway.agent(Http::Two, HOST).send(&Request::messages()).await.unwrap().status, 200);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert!(provider.requests().iter().all(|received| received.values("x-api-key") == [KEY]));
}

#[tokio::test]
async fn unknown_fields_values_and_kinds_are_named_with_their_object() {
    let route = "apiVersion: clrk.apoxy.dev/v1alpha1\nkind: AIProviderRoute\nmetadata: {name: odd}\nspec:\n  parentRefs: \
                 [{group: clrk.apoxy.dev, kind: EgressGateway, name: echo-bot}]\n  ";
    for (text, words) in [
        (format!("{route}rules: []\n  colour: green\n"), vec!["odd", "colour"]),
        (
            format!("{route}rules: [{{matches: [{{provider: nobody}}]}}]\n"),
            vec!["odd", "matches[0].provider"],
        ),
        (format!("{route}rules: [{{matches: [{{provider: custom}}]}}]\n"), vec!["odd", "hosts"]),
        (
            "apiVersion: clrk.apoxy.dev/v1alpha1\nkind: Gizmo\nmetadata: {name: odd}\n".into(),
            vec!["Gizmo", "odd"],
        ),
    ] {
        let (_provider, gateway) = adjusted_example(|manifests| manifests.file("odd.yaml", &text)).await;
        gateway.wait_for_line(&words).await;
        assert_eq!(
            gateway.agent(Http::One, HOST).send(&Request::messages()).await.unwrap().status,
            200,
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_the_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let provider = Provider::accepting(KEY).await.unwrap();
    let builder = Gateway::builder(Manifests::example(&provider)).key(KEY).proxy_at(&address);
    let message = refusal(builder, 1).await;
    assert!(message.contains(&address) && message.contains("--listen"), "{message}");
}

#[tokio::test]
async fn a_second_run_on_one_state_directory_is_refused_and_the_first_serves_on() {
    let (provider, gateway) = worked_example().await;
    let second = Gateway::builder(Manifests::example(&provider)).key(KEY).state(gateway.state());
    let output = second.spawn_beside().await;
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains(&gateway.state().display().to_string()), "{message}");
    assert_eq!(gateway.agent(Http::One, HOST).send(&Request::messages()).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_secret_variable_that_is_not_set_is_named() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let arguments = ["--secret", "anthropic-credentials=KEYWARD_TEST_NO_SUCH_VARIABLE"];
    let message = refusal(Gateway::builder(Manifests::example(&provider)).arguments(&arguments), 2).await;
    assert!(message.contains("KEYWARD_TEST_NO_SUCH_VARIABLE"), "{message}");
}

#[tokio::test]
async fn an_envoy_that_is_none_is_named() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let message =
        refusal(Gateway::builder(Manifests::example(&provider)).key(KEY).envoy("/bin/true"), 1).await;
    assert!(message.contains("/bin/true"), "{message}");
}
