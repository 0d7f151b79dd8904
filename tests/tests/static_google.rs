//! A plain Envoy without a controller whose filter signs tokens of a Google service account by itself.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use harness::client::{Agent, Http, Request, Response, Way};
use harness::process::Process;
use harness::provider::{Authority, Options, Provider};
use harness::scenario::PLACEHOLDER;
use harness::{admin, artefacts};
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

const HOST: &str = "api.anthropic.com";

/// A fake key, which the tests of the controller use too.
const KEY: &str = include_str!("../../controller/src/google/testdata/one.key.txt");

fn key() -> String {
    KEY.lines().filter(|line| !line.starts_with('#')).collect()
}

fn account() -> Value {
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", key());
    json!({
        "type": "service_account", "project_id": "project", "private_key_id": "one-key-id", "private_key": pem,
        "client_email": "robot@project.iam.gserviceaccount.com", "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    })
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

    /// What the bearer of the one request says, once its signature was verified.
    fn bearer(&self) -> (String, Value) {
        let received = self.provider.only_request();
        let values = received.values("authorization");
        let token = values[0].strip_prefix("Bearer ").expect("a bearer").to_owned();
        assert_eq!(values.len(), 1);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(key()).unwrap()).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).expect("a signature");
        let parts: Vec<Value> = signed
            .split('.')
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(parts[0], json!({"typ": "JWT", "alg": "RS256", "kid": "one-key-id"}));
        (token.clone(), parts[1].clone())
    }
}

#[tokio::test]
async fn the_filter_signs_a_token_for_the_host_and_uses_it_again() {
    let gateway = gateway(&json!({"google_jwt": {}})).await;
    assert_eq!(gateway.ask().await.status, 200);
    let (token, claims) = gateway.bearer();
    assert_eq!(claims["aud"], "https://api.anthropic.com/");
    assert_eq!((&claims["iss"], &claims["sub"]), (&account()["client_email"], &account()["client_email"]));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
    gateway.provider.take_requests();
    assert_eq!(gateway.ask().await.status, 200);
    assert_eq!(gateway.bearer().0, token, "one token for an hour");
}

#[tokio::test]
async fn scopes_and_another_audience_stand_in_the_token() {
    let scope = "https://www.googleapis.com/auth/cloud-platform";
    let gateway_of = gateway(&json!({"google_jwt": {"scopes": [scope]}})).await;
    assert_eq!(gateway_of.ask().await.status, 200);
    let (_, claims) = gateway_of.bearer();
    assert_eq!((&claims["scope"], claims.get("aud")), (&scope.into(), None));
    let gateway_of = gateway(&json!({"google_jwt": {"audience": "https://other.example/"}})).await;
    assert_eq!(gateway_of.ask().await.status, 200);
    assert_eq!(gateway_of.bearer().1["aud"], "https://other.example/");
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
