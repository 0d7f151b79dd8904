//! Google's own libraries: google-auth against the token endpoint of these tests, which so behaves as Google's does, and
//! clients with a placeholder through a gateway that has a service account.

use std::path::Path;
use std::process::Command;

use harness::artefacts::{root, tool};
use harness::gateway::{Gateway, Manifests};
use harness::google::{Account, Key, Service, TokenEndpoint};
use harness::software::VERTEX;

/// The example's host, and the one of clients without a location.
const HOSTS: [&str; 2] = ["us-central1-aiplatform.googleapis.com", "aiplatform.googleapis.com"];

/// google-auth with nothing in its environment but this; what it printed.
async fn google_auth(arguments: &[&str], environment: &[(&str, &Path)], proxy: Option<String>) -> String {
    let mut command = Command::new(tool("python-sdks/bin/python"));
    command.arg(root().join("tests/clients/google_auth.py")).args(arguments).env_clear();
    command.envs(environment.iter().copied()).envs(proxy.map(|proxy| ("HTTPS_PROXY", proxy)));
    let output = tokio::process::Command::from(command).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[tokio::test]
async fn google_auth_gets_a_token_for_the_right_key_and_invalid_grant_for_another() {
    let endpoint = TokenEndpoint::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    let exchange = async |file: String| {
        std::fs::write(&path, file).unwrap();
        google_auth(&["exchange", path.to_str().unwrap()], &[], None).await
    };
    let one = Account::robot(Key::One, &endpoint.uri("/token")).key_file();
    assert_eq!([exchange(one.clone()).await], endpoint.tokens()[..]);
    let other = Account::robot(Key::Other, &endpoint.uri("/token")).key_file();
    let mistaken = other.replace(Key::Other.id(), Key::One.id());
    assert_eq!(exchange(mistaken).await, "invalid_grant");
    assert_eq!(endpoint.asked(), 2);
}

/// The example for both hosts, with an account whose tokens this service takes.
async fn gateway(endpoint: &TokenEndpoint, service: &Service) -> Gateway {
    let text = std::fs::read_to_string(root().join("examples/vertex-ai/vertex-ai.yaml")).unwrap();
    assert!(text.contains(HOSTS[0]), "the example has another host");
    // Clients without a location have other paths.
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("endpoints:"));
    let text = lines.collect::<Vec<_>>().join("\n").replace(HOSTS[0], &HOSTS.join(", "));
    let manifests =
        Manifests::empty().file("vertex-ai.yaml", &text).alias_at(&HOSTS, service.port(), service.ca());
    Gateway::builder(manifests)
        .arguments(&["--secret", "vertex-ai-account=KEY_FILE"])
        .environment("KEY_FILE", &Account::robot(Key::One, &endpoint.uri("/token")).key_file())
        .start()
        .await
}

#[tokio::test]
async fn clients_with_a_placeholder_get_the_accounts_token() {
    let endpoint = TokenEndpoint::start().await;
    let service = Service::trusting(&endpoint, &HOSTS).await;
    let gateway = gateway(&endpoint, &service).await;
    let (proxy, ca) = (format!("http://{}", gateway.ready().proxy), gateway.ready().ca.clone());
    let url =
        format!("https://{}/v1/projects/p/locations/l/publishers/google/models/m:generateContent", HOSTS[0]);
    let status = google_auth(&["ask", &url], &[("REQUESTS_CA_BUNDLE", &ca)], Some(proxy)).await;
    assert_eq!((status.as_str(), service.only_call().token()), ("200", endpoint.tokens()[0].as_str()));
    for client in VERTEX {
        assert_eq!(client.start("plain", gateway.ready()).output().await, ["Hello!"], "{}", client.name);
        assert_eq!(service.only_call().token(), endpoint.tokens()[0], "{}", client.name);
    }
    assert_eq!(endpoint.asked(), 1, "one exchange for all of them");
}
