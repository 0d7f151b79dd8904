//! Keys of AWS, of which a Secret has several: each is judged before it is taken, and rotated while the gateway runs.

use harness::client::{Http, Request};
use harness::gateway::{Gateway, Manifests};
use harness::provider::aws::{Keys, REGION, verify};
use harness::provider::{Options, Provider};

use super::{json, manifests, path, run, stderr, stdout};

const HOST: &str = "bedrock-runtime.eu-central-1.amazonaws.com";

fn text() -> String {
    std::fs::read_to_string(harness::artefacts::root().join("examples/bedrock/bedrock.yaml")).unwrap()
}

async fn gateway(keys: &Keys) -> (Provider, Gateway) {
    let names = vec![HOST.to_owned()];
    let provider = Provider::start(Options { names, ..Options::default() }).await.unwrap();
    let manifests = Manifests::empty().file("bedrock.yaml", &text()).alias(&[HOST], &provider);
    let gateway = Gateway::builder(manifests)
        .arguments(&[
            "--secret",
            "bedrock=KEYWARD_TEST_ID:access_key_id",
            "--secret",
            "bedrock=KEYWARD_TEST_SECRET:secret_access_key",
        ])
        .environment("KEYWARD_TEST_ID", &keys.access_key_id)
        .environment("KEYWARD_TEST_SECRET", &keys.secret_access_key)
        .start()
        .await;
    (provider, gateway)
}

/// Sends one request; what is said of its signature by these keys.
async fn signed(provider: &Provider, gateway: &Gateway, keys: &Keys) -> String {
    let request = Request::new("POST", HOST, "/model/a/invoke").json(&serde_json::json!({"messages": []}));
    gateway.agent(Http::Two, HOST).send(&request).await.unwrap();
    verify(&provider.take_requests(), ("bedrock", REGION), keys).await.concat()
}

async fn set(gateway: &Gateway, values: &[(&str, &str)]) -> std::process::Output {
    let state = path(gateway.state()).to_owned();
    let flags: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(index, (key, _))| format!("{key}=KEYWARD_TEST_VALUE_{index}"))
        .collect();
    let variables: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(index, (_, value))| (format!("KEYWARD_TEST_VALUE_{index}"), (*value).to_owned()))
        .collect();
    let run = move || {
        let mut arguments = vec!["secret", "set", "bedrock", "--state-dir", &state];
        for flag in &flags {
            arguments.extend(["--from-env", flag]);
        }
        run(&arguments, &variables)
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

#[tokio::test]
async fn a_key_is_rotated_while_the_gateway_runs_and_what_is_none_is_refused_by_name() {
    let old = Keys::made_up();
    let (provider, gateway) = gateway(&old).await;
    assert_eq!(signed(&provider, &gateway, &old).await, "valid");
    for (key, value) in [
        ("access_key_id", "AKIA/WITH/SLASHES"),
        ("access_key_id", "short"),
        ("secret_access_key", "a value with spaces"),
        ("secret_access_key", "clrk-injected-by-proxy"),
        ("session_token", ""),
    ] {
        let output = set(&gateway, &[(key, value)]).await;
        assert_eq!(output.status.code(), Some(1), "{key}: {output:?}");
        let said = stderr(&output);
        assert!(said.contains(&format!("key `{key}`")) && said.contains("nothing was changed"), "{said}");
        assert!(value.len() < 8 || !said.contains(value), "{said}");
        assert_eq!(signed(&provider, &gateway, &old).await, "valid", "after {key}");
    }
    let new = Keys {
        access_key_id: "AKIAROTATEDEXAMPLE02".into(),
        secret_access_key: "rotated/4Zq0vJ8wT1mC7xYb3NfR+0123456789abcd".into(),
        ..Keys::made_up()
    };
    let output = set(
        &gateway,
        &[("access_key_id", &new.access_key_id), ("secret_access_key", &new.secret_access_key)],
    )
    .await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(signed(&provider, &gateway, &new).await, "valid");
}

#[test]
fn one_value_without_a_key_cannot_be_several_keys() {
    let folder = manifests(&[("bedrock.yaml", &text())]);
    let variables = [("KEYWARD_TEST_VALUE".to_owned(), "AKIAEXAMPLE0123456".to_owned())];
    let output = run(
        &["validate", path(folder.path()), "--json", "--secret", "bedrock=KEYWARD_TEST_VALUE"],
        &variables,
    );
    assert_eq!(output.status.code(), Some(1));
    let document = json(&output);
    let problem =
        document["problems"].as_array().unwrap().iter().find(|it| it["object"] == "Secret default/bedrock");
    let problem = problem.unwrap_or_else(|| panic!("{document:#}"));
    for key in ["access_key_id", "secret_access_key", "session_token"] {
        assert!(problem["message"].as_str().unwrap().contains(key), "{problem:#}");
        assert!(
            problem["remedy"].as_str().unwrap().contains(&format!("--secret default/bedrock=VARIABLE:{key}")),
            "{problem:#}"
        );
    }
    assert!(!stdout(&output).contains("AKIAEXAMPLE"));
}
