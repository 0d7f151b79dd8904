//! Accounts and their keys: tokens that they sign themselves, keys that change, and no trace of either.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use harness::artefacts;
use harness::client::Http;
use harness::gateway::Gateway;
use harness::google::{Account, Answer, Key, Service, TokenEndpoint};
use harness::search::{files_under, found, spellings};
use serde_json::Value;

use super::{
    VERTEX, ask, assert_denied, generate, route_with_account, start, vertex, wait_for_condition, with_account,
};

async fn set_account(gateway: &Gateway, key_file: &str) -> Output {
    let mut command = Command::new(artefacts::keyward());
    command.args(["secret", "set", "vertex-ai-account", "--from-env", "key.json=NEW_KEY_FILE"]);
    command.arg("--state-dir").arg(gateway.state()).env("NEW_KEY_FILE", key_file);
    tokio::task::spawn_blocking(move || command.output().expect("keyward starts")).await.expect("no panic")
}

#[tokio::test]
async fn a_self_signed_token_is_for_the_host_of_each_request_and_asks_nobody() {
    let hosts = ["one.google.example", "two.google.example"];
    let nobody = TokenEndpoint::start().await;
    let service = Service::of_self_signed(&[&hosts[..], &[VERTEX]].concat()).await;
    let account = Account::robot(Key::One, &nobody.uri("/token"));
    let signed = "{type: GCPServiceAccount, gcp: {mode: SelfSignedJwt}}";
    let routes = route_with_account("hosts", &hosts.join(", "), &account, "{mode: SelfSignedJwt}")
        + &route_with_account("pattern", "\"*.pattern.example\"", &account, "{mode: SelfSignedJwt}");
    let manifests = vertex(&service)
        .replace("{type: GCPServiceAccount}", signed)
        .file("routes.yaml", &routes)
        .alias_at(&hosts, service.port(), "");
    let gateway = with_account(manifests, &account).start().await;
    for host in [hosts[0], hosts[1], VERTEX] {
        let answer = ask(gateway.ready(), host).await;
        let call = service.only_call();
        assert_eq!(answer.status, 200, "{host}");
        let jwt = harness::google::Jwt::verify(call.token()).expect("a sound JWT");
        assert_eq!((jwt.key, jwt.claim("aud")), (Key::One, format!("https://{host}/").as_str()));
        assert_eq!((jwt.claim("iss"), jwt.claim("sub")), (account.email.as_str(), account.email.as_str()));
        assert_eq!(jwt.claims["scope"], Value::Null);
    }
    let line = gateway.wait_for_line(&["\"AIProviderRoute\"", "\"pattern\"", "AudienceUnknown"]).await;
    assert!(line.contains("set spec.providerAuth.gcp.audience or .scopes"), "{line}");
    assert_denied(&ask(gateway.ready(), "a.pattern.example").await);
    assert_eq!(nobody.asked(), 0);
}

#[tokio::test]
async fn a_new_key_of_the_account_is_used_at_once_and_what_is_no_key_file_changes_nothing() {
    let endpoint = TokenEndpoint::start().await;
    let service = Service::trusting(&endpoint, &[VERTEX]).await;
    let account = Account::robot(Key::One, &endpoint.uri("/token"));
    let gateway = start(&service, &account).await;
    assert_eq!(ask(gateway.ready(), VERTEX).await.status, 200);
    let _ = service.take_calls();

    let user = account.key_file().replace("service_account", "authorized_user");
    for (bad, words) in [("sk-ant-0123", "not a JSON object"), (user.as_str(), "`authorized_user`")] {
        let output = set_account(&gateway, bad).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{said}");
        assert!(said.contains("nothing was changed") && !said.contains("sk-ant"), "{said}");
    }
    assert_eq!(endpoint.asked(), 1);

    let rotated = Account { key: Key::Other, ..account.clone() };
    let output = set_account(&gateway, &rotated.key_file()).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("TokenRenewal"), "{said}");
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        assert_eq!(ask(gateway.ready(), VERTEX).await.status, 200, "there is a token all the time");
        if Some(service.only_call().token()) == endpoint.tokens().get(1).map(String::as_str) {
            break;
        }
        assert!(Instant::now() < end, "the new key's token is not used");
    }
    let keys: Vec<Key> = endpoint.assertions().iter().map(|assertion| assertion.key).collect();
    assert_eq!(keys, [Key::One, Key::Other]);

    // Another account: what the first one's token allowed must not be spent in its name.
    endpoint.answer("/token", Answer::Silence);
    let stranger = Account { email: "stranger@project.iam.gserviceaccount.com".into(), ..rotated };
    assert!(set_account(&gateway, &stranger.key_file()).await.status.success());
    assert_denied(&ask(gateway.ready(), VERTEX).await);
}

#[tokio::test]
async fn neither_a_key_nor_a_token_is_left_anywhere() {
    let endpoint = TokenEndpoint::start().await;
    let service = Service::trusting(&endpoint, &[VERTEX]).await;
    let account = Account::robot(Key::One, &endpoint.uri("/token"));
    let gateway = start(&service, &account).await;
    for key in Key::ALL {
        let account = Account { key, ..account.clone() };
        assert!(set_account(&gateway, &account.key_file()).await.status.success());
        for http in [Http::One, Http::Two] {
            let answer = gateway.agent(http, VERTEX).send(&generate(VERTEX)).await.unwrap();
            assert_eq!(answer.status, 200);
        }
    }
    endpoint.answer("/token", Answer::Status(400, "{}"));
    assert!(set_account(&gateway, &account.key_file()).await.status.success());
    wait_for_condition(&gateway, "vertex-ai", "TokenRenewal", &["Failing"]).await;
    gateway.wait_for_line(&["\"event\":\"access\""]).await;

    let lines = Key::ALL.map(|key| [key.lines()[2], key.lines()[9]]).concat();
    let secrets = lines.into_iter().map(str::to_owned).chain(endpoint.tokens());
    let needles: Vec<String> = secrets.flat_map(|secret| spellings(&secret)).collect();
    assert!(!found(account.key_file().as_bytes(), &needles).is_empty(), "it would be recognised");
    for path in ["/config_dump?include_eds", "/stats", "/clusters", "/server_info", "/listeners"] {
        let answer = gateway.admin(path);
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}");
        assert_eq!(found(answer.as_bytes(), &needles), Vec::<String>::new(), "{path}");
    }
    let written = [gateway.lines(), gateway.errors()].concat().join("\n");
    assert_eq!(found(written.as_bytes(), &needles), Vec::<String>::new(), "the output of keyward");
    for file in files_under(gateway.state()).iter().filter(|path| path.is_file()) {
        let bytes = std::fs::read(file).unwrap();
        assert_eq!(found(&bytes, &needles), Vec::<String>::new(), "{}", file.display());
    }
    for envoy in gateway.envoys() {
        for file in ["environ", "cmdline"] {
            let bytes = std::fs::read(format!("/proc/{envoy}/{file}")).unwrap();
            assert_eq!(found(&bytes, &needles), Vec::<String>::new(), "{file} of Envoy");
        }
    }
}
