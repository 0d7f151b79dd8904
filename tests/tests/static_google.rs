//! A plain Envoy without a controller whose filter signs tokens of a Google service account by itself.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::client::{Agent, Http, Request, Response, Way};
use harness::google::{Account, Jwt, Key};
use harness::process::Process;
use harness::provider::{Authority, Options, Provider};
use harness::scenario::PLACEHOLDER;
use harness::{admin, artefacts};
use serde_json::{Value, json};

const HOST: &str = "api.anthropic.com";

fn account() -> Value {
    let file = Account::robot(Key::One, "https://oauth2.googleapis.com/token").key_file();
    serde_json::from_str(&file).unwrap()
}

/// The static example with the account in the place of the key.
fn filter(target: &Value) -> Value {
    let path = artefacts::root().join("envoy-config/static/filter.json");
    let mut filter: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    filter["targets"] = json!([target]);
    filter["rules"][0]["then"]["inject"][0]["sealed"] = "file:account.json".into();
    filter
}

/// `keyward` in a folder; what it printed.
fn keyward(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(artefacts::keyward()).args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// A running Envoy, and an agent that comes to it.
struct Gateway {
    agent: Agent,
    provider: Provider,
    _envoy: Process,
    _folder: tempfile::TempDir,
}

async fn gateway(target: &Value) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("account.json", &account().to_string());
    write("filter.json", &filter(target).to_string());
    write("keyring", &keyward(folder.path(), &["keyring", "new"]).unwrap());
    let sealed = keyward(folder.path(), &["seal", "filter.json", "--keyring-file", "keyring"]).unwrap();
    let provider =
        Provider::start(Options { names: vec![HOST.to_owned()], ..Options::default() }).await.unwrap();
    let agents = Authority::new("the agent's side");
    let (certificate, key) = agents.leaf(&[HOST.to_owned()]);
    std::fs::create_dir(folder.path().join("certs")).unwrap();
    write("certs/agent.pem", &certificate.pem());
    write("certs/agent.key", &key.serialize_pem());
    write("certs/upstream-ca.pem", provider.ca());
    let admin = folder.path().join("admin.sock");
    write("envoy.yaml", &configuration(&sealed, provider.address(), &admin));
    let mut command = Command::new(artefacts::envoy());
    // One worker: each has tokens of its own.
    command.args(["-c", "envoy.yaml", "--disable-hot-restart", "--concurrency", "1"]).current_dir(&folder);
    command
        .env("KEYWARD_KEYRING", std::fs::read_to_string(folder.path().join("keyring")).unwrap().trim_end());
    let mut envoy = Process::spawn(command);
    let port = admin::port(&admin, &mut envoy).await;
    let way = Way::Direct(SocketAddr::from(([127, 0, 0, 1], port)));
    let agent = Agent::new(way, Http::One, HOST, agents.pem()).sni(Some(HOST));
    Gateway { agent, provider, _envoy: envoy, _folder: folder }
}

fn configuration(sealed: &str, provider: SocketAddr, admin: &Path) -> String {
    let template = artefacts::root().join("envoy-config/static/envoy.yaml.in");
    let mut text = std::fs::read_to_string(template).unwrap();
    for (from, to) in [
        ("port_value: 8443", "port_value: 0".to_owned()),
        ("filename: keyward.wasm", format!("filename: {}", artefacts::module().display())),
        ("@FILTER@", STANDARD.encode(sealed.trim_end())),
        (
            "address: api.anthropic.com, port_value: 443",
            format!("address: {}, port_value: {}", provider.ip(), provider.port()),
        ),
        // What README.md says that this target needs besides.
        (
            "proxy_close_stream: {}",
            "proxy_close_stream: {}\n                      proxy_call_foreign_function: {}".to_owned(),
        ),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, &to);
    }
    format!("{text}admin: {{address: {{pipe: {{path: {}}}}}}}\n", admin.display())
}

impl Gateway {
    async fn ask(&self) -> Response {
        let request = Request::messages().header("authorization", &format!("Bearer {PLACEHOLDER}"));
        self.agent.send(&request).await.unwrap()
    }

    /// The bearer of the one request, and what it says, once its signature was verified.
    fn bearer(&self) -> (String, Jwt) {
        let received = self.provider.only_request();
        let values = received.values("authorization");
        assert_eq!(values.len(), 1);
        let token = values[0].strip_prefix("Bearer ").expect("a bearer").to_owned();
        let jwt = Jwt::verify(&token).expect("a token that is signed and current");
        assert_eq!(jwt.key, Key::One);
        (token, jwt)
    }
}

#[tokio::test]
async fn the_filter_signs_a_token_for_the_host_and_uses_it_again() {
    let gateway = gateway(&json!({"google_jwt": {}})).await;
    assert_eq!(gateway.ask().await.status, 200);
    let (token, jwt) = gateway.bearer();
    assert_eq!(jwt.claim("aud"), "https://api.anthropic.com/");
    assert_eq!([jwt.claim("iss"), jwt.claim("sub")], ["robot@project.iam.gserviceaccount.com"; 2]);
    gateway.provider.take_requests();
    assert_eq!(gateway.ask().await.status, 200);
    assert_eq!(gateway.bearer().0, token, "one token for an hour");
}

#[tokio::test]
async fn scopes_and_another_audience_stand_in_the_token() {
    let scope = "https://www.googleapis.com/auth/cloud-platform";
    let gateway_of = gateway(&json!({"google_jwt": {"scopes": [scope]}})).await;
    assert_eq!(gateway_of.ask().await.status, 200);
    let (_, jwt) = gateway_of.bearer();
    assert_eq!((jwt.claim("scope"), jwt.claim("aud")), (scope, ""));
    let gateway_of = gateway(&json!({"google_jwt": {"audience": "https://other.example/"}})).await;
    assert_eq!(gateway_of.ask().await.status, 200);
    assert_eq!(gateway_of.bearer().1.claim("aud"), "https://other.example/");
}

#[test]
fn what_is_no_account_is_not_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("filter.json", &filter(&json!({"google_jwt": {}})).to_string());
    write("keyring", &keyward(folder.path(), &["keyring", "new"]).unwrap());
    let mut external = account();
    external["type"] = "external_account".into();
    let mut broken = account();
    broken["private_key"] = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".into();
    for (account, said) in
        [(external, "`external_account`"), (broken, "`private_key`"), (json!("x"), "not a JSON object")]
    {
        write("account.json", &account.to_string());
        let error =
            keyward(folder.path(), &["seal", "filter.json", "--keyring-file", "keyring"]).unwrap_err();
        assert!(error.contains("rules[0].then.inject[0].sealed") && error.contains(said), "{error}");
        assert!(!error.contains("AAAA"), "{error}");
    }
}
