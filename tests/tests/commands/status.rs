//! `keyward status` of a running gateway.

use harness::client::{Http, Request};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::Provider;
use harness::scenario::{KEY, worked_example};
use serde_json::Value;

use super::{json, path, run, stderr, stdout};

async fn status(gateway: &Gateway, arguments: &[&str]) -> std::process::Output {
    let state = path(gateway.state()).to_owned();
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&[&["status", "--state-dir", &state], &arguments[..]].concat(), &[])
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

#[tokio::test]
async fn it_shows_gateways_objects_pushes_and_leaves_and_no_secret() {
    let (_provider, gateway) = worked_example().await;
    gateway.agent(Http::Two, HOST).send(&Request::messages()).await.unwrap();
    let output = status(&gateway, &["--json"]).await;
    let document = json(&output);
    assert_eq!(output.status.code(), Some(0), "{document:#}");
    let shown = &document["gateways"][0];
    assert_eq!(shown["name"], "echo-bot");
    assert_eq!(shown["proxy"], format!("http://{}", gateway.ready().proxy));
    assert_eq!(shown["ready"], true);
    let push = &shown["push"];
    assert_eq!((&push["envoys"], &push["acknowledged"]), (&1.into(), &1.into()), "{document:#}");
    assert!(push["at"].as_str().unwrap().ends_with('Z') && push["refused"] == serde_json::json!([]));
    assert!(shown["leaves"]["count"].as_u64().unwrap() >= 1, "{document:#}");
    assert!(shown["leaves"]["next_end"].as_str().unwrap().ends_with('Z'));
    let kinds: Vec<_> =
        document["objects"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["AIProviderRoute", "CredentialInjectionPolicy", "EgressGateway"]);
    let text = status(&gateway, &[]).await;
    for word in ["GATEWAY", "KIND", "default/echo-bot", "1/1", "AIProviderRoute"] {
        assert!(stdout(&text).contains(word), "{word} is missing in:\n{}", stdout(&text));
    }
    for text in [document.to_string(), stdout(&text)] {
        assert!(!text.contains(KEY) && !text.contains("PRIVATE KEY"), "{text}");
    }
}

#[tokio::test]
async fn it_follows_what_becomes_of_the_manifests() {
    let (_provider, gateway) = worked_example().await;
    let before = json(&status(&gateway, &["--json"]).await);
    gateway.write_manifest("broken.yaml", "kind: [\n");
    gateway.write_manifest(
        "lost.yaml",
        "apiVersion: clrk.apoxy.dev/v1alpha1\nkind: AIProviderRoute\nmetadata: {name: lost}\nspec:\n  parentRefs: [{group: \
         clrk.apoxy.dev, kind: EgressGateway, name: nowhere}]\n  rules: [{matches: [{provider: custom, hosts: [a.example]}]}]\n",
    );
    gateway.wait_for_line(&["\"conditions\"", "lost", "NoMatchingParent"]).await;
    let output = status(&gateway, &["--json"]).await;
    let document = json(&output);
    let lost = document["objects"].as_array().unwrap().iter().find(|it| it["name"] == "lost").unwrap();
    assert_eq!(lost["conditions"][0]["reason"], "NoMatchingParent");
    assert!(document["problems"][0].as_str().unwrap().starts_with("broken.yaml"), "{document:#}");
    let at = |document: &Value| document["gateways"][0]["push"]["at"].clone();
    assert_eq!(at(&document), at(&before), "nothing was pushed");
    let text = stdout(&status(&gateway, &[]).await);
    assert!(
        text.contains("False")
            && text.contains("NoMatchingParent: ")
            && text.contains("problem: broken.yaml"),
        "{text}"
    );
}

#[tokio::test]
async fn a_gateway_whose_envoy_is_gone_is_told_and_none_at_all_is_an_error() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let mut gateway = Gateway::builder(Manifests::example(&provider)).key(KEY).start().await;
    for envoy in gateway.envoys() {
        let process = rustix::process::Pid::from_raw(envoy).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    }
    gateway.wait_for_line(&["\"gateway\"", "restarting"]).await;
    let output = status(&gateway, &["--json"]).await;
    let document = json(&output);
    // It may be back by now.
    assert_eq!(output.status.code() == Some(0), document["gateways"][0]["ready"] == true, "{document:#}");
    gateway.signal(rustix::process::Signal::TERM);
    gateway.ended().await;
    let output = status(&gateway, &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is it running?"), "{}", stderr(&output));
}
