//! Google service accounts, end to end: an account is exchanged once, requests carry the token until its end, and every
//! failure of a token endpoint is a refusal with words. The account's key stays in `keyward`.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use harness::artefacts;
use harness::client::{Http, Request, Response};
use harness::gateway::{Gateway, Manifests, Ready};
use harness::google::{Account, Answer, Key, Service, TokenEndpoint};
use harness::objects;
use harness::provider::Authority;
use harness::scenario::PLACEHOLDER;
use harness::search::{files_under, found, spellings};
use rustix::process::Signal;
use serde_json::{Value, json};

const VERTEX: &str = "us-central1-aiplatform.googleapis.com";

const GENERATE: &str =
    "/v1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-flash:generateContent";

/// What an agent sends: a placeholder, and accounts of its own in every other place.
fn generate(host: &str) -> Request {
    Request::new("POST", host, GENERATE)
        .header("authorization", &format!("Bearer {PLACEHOLDER}"))
        .header("x-goog-api-key", "AIza-of-the-agent-itself")
        .json(&json!({"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]}))
}

/// The example as it stands, its host at this service.
fn vertex(service: &Service) -> Manifests {
    let path = artefacts::root().join("examples/vertex-ai/vertex-ai.yaml");
    let text = std::fs::read_to_string(path).expect("the example");
    Manifests::empty().file("vertex-ai.yaml", &text).alias_at(&[VERTEX], service.port(), service.ca())
}

/// The example with this account, by `--secret`.
async fn start(service: &Service, account: &Account) -> Gateway {
    with_account(vertex(service), account).start().await
}

fn with_account(manifests: Manifests, account: &Account) -> harness::gateway::Builder {
    Gateway::builder(manifests)
        .arguments(&["--secret", "vertex-ai-account=KEY_FILE"])
        .environment("KEY_FILE", &account.key_file())
}

async fn ask(gateway: &Ready, host: &str) -> Response {
    gateway.agent(Http::Two, host).send(&generate(host)).await.expect("an answer")
}

/// Asks until it is answered with 200: Envoy takes a token some milliseconds after a condition speaks of it. Panics after
/// ten seconds.
async fn wait_until_served(gateway: &Gateway) {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = ask(gateway.ready(), VERTEX).await;
        if answer.status == 200 {
            return;
        }
        assert_denied(&answer);
        assert!(Instant::now() < end, "still denied");
    }
}

#[track_caller]
fn assert_denied(answer: &Response) {
    assert_eq!((answer.status, answer.reason()), (503, "credential_unavailable"), "{answer:?}");
}

/// The latest of these conditions of a policy: status, reason and message.
fn condition(gateway: &Gateway, policy: &str, kind: &str) -> Option<[String; 3]> {
    let events = gateway.events("conditions");
    let of_policy = events.iter().rev().filter(|event| event["name"] == policy);
    let mut latest = of_policy.filter(|event| event["kind"] == "CredentialInjectionPolicy");
    let conditions = latest.next()?["conditions"].as_array()?.clone();
    let condition = conditions.into_iter().find(|condition| condition["type"] == kind)?;
    Some(
        ["status", "reason", "message"].map(|field| condition[field].as_str().unwrap_or_default().to_owned()),
    )
}

/// Waits until a condition of a policy has these words. Panics after twenty seconds.
async fn wait_for_condition(gateway: &Gateway, policy: &str, kind: &str, words: &[&str]) -> String {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let now = condition(gateway, policy, kind).map(|parts| parts.join(" ")).unwrap_or_default();
        if words.iter().all(|word| now.contains(word)) {
            return now;
        }
        assert!(Instant::now() < end, "{kind} of {policy} is {now:?}, without {words:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn set_account(gateway: &Gateway, key_file: &str) -> Output {
    let mut command = Command::new(artefacts::keyward());
    command.args(["secret", "set", "vertex-ai-account", "--from-env", "key.json=NEW_KEY_FILE"]);
    command.arg("--state-dir").arg(gateway.state()).env("NEW_KEY_FILE", key_file);
    tokio::task::spawn_blocking(move || command.output().expect("keyward starts")).await.expect("no panic")
}

/// An executable that runs Envoy with four workers, whatever it is told.
fn envoy_with_four_workers(folder: &Path) -> PathBuf {
    let path = folder.join("envoy-with-four-workers");
    let text = format!(
        "#!/usr/bin/env bash\nargs=(\"$@\")\nfor i in \"${{!args[@]}}\"; do\n  \
         [ \"${{args[i]}}\" != --concurrency ] || args[i+1]=4\ndone\nexec {} \"${{args[@]}}\"\n",
        artefacts::envoy().display()
    );
    std::fs::write(&path, text).expect("a file");
    std::fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("an executable");
    path
}

#[tokio::test]
async fn the_example_serves_with_a_token_and_the_agents_own_credentials_are_gone() {
    let endpoint = TokenEndpoint::start().await;
    let service = Service::trusting(&endpoint, &[VERTEX]).await;
    let gateway = start(&service, &Account::robot(Key::One, &endpoint.uri("/token"))).await;
    for http in [Http::One, Http::Two] {
        let answer = gateway.agent(http, VERTEX).send(&generate(VERTEX)).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        let call = service.only_call();
        assert_eq!((call.token(), call.path.as_str()), (endpoint.tokens()[0].as_str(), GENERATE));
        assert!(call.accepted && !answer.mentions("ya29"));
    }
    let [assertion] = endpoint.assertions().try_into().expect("one exchange");
    assert_eq!(assertion.key, Key::One);
    assert_eq!(assertion.claim("scope"), "https://www.googleapis.com/auth/cloud-platform");
    wait_for_condition(&gateway, "vertex-ai", "ResolvedRefs", &["True"]).await;
    let renewal = wait_for_condition(&gateway, "vertex-ai", "TokenRenewal", &["True", "Scheduled"]).await;
    for words in ["a token until 20", "obtained 20", "to be renewed 20"] {
        assert!(renewal.contains(words), "{renewal}");
    }
    let elsewhere = Request { path: "/v1/projects".into(), ..generate(VERTEX) };
    gateway.agent(Http::Two, VERTEX).send(&elsewhere).await.unwrap();
    assert!(service.take_calls().iter().all(|call| call.credentials.is_empty()));
}

/// A gateway that two of three routes attach to, and a second one.
fn two_gateways(service: &Service, hosts: &[&str]) -> Manifests {
    let mut manifests = Manifests::empty().alias_at(hosts, service.port(), service.ca());
    for name in ["a", "b"] {
        manifests = manifests.file(&format!("{name}.yaml"), &objects::gateway(name, "deny-all"));
    }
    for (index, host) in hosts.iter().enumerate() {
        let name = format!("r{index}");
        let objects = [
            objects::route(&name, &["a", "b"], &format!("{{provider: custom, hosts: [{host}]}}")),
            objects::policy(&name, "vertex-ai-account", &service_account("{}")),
        ];
        manifests = manifests.file(&format!("{name}.yaml"), &objects.concat());
    }
    manifests
}

#[tokio::test]
async fn one_exchange_serves_two_gateways_of_four_workers_each_and_every_route() {
    let hosts = ["one.google.example", "two.google.example", "three.google.example"];
    let endpoint = TokenEndpoint::start().await;
    let service = Service::trusting(&endpoint, &hosts).await;
    let folder = tempfile::tempdir().unwrap();
    let account = Account::robot(Key::One, &endpoint.uri("/token"));
    let gateway = with_account(two_gateways(&service, &hosts), &account)
        .gateways(&["default/a", "default/b"])
        .envoy(envoy_with_four_workers(folder.path()))
        .start()
        .await;
    for name in ["default/a", "default/b"] {
        let agents: Vec<&str> = hosts.into_iter().cycle().take(24).collect();
        let answers = agents.into_iter().map(|host| {
            let ready = gateway.named(name).clone();
            tokio::spawn(async move { ask(&ready, host).await.status })
        });
        for answer in answers.collect::<Vec<_>>() {
            assert_eq!(answer.await.unwrap(), 200);
        }
    }
    let commands: Vec<_> = gateway.processes().into_iter().map(|(_, command)| command).collect();
    assert_eq!(commands.iter().filter(|command| command.contains("--concurrency 4")).count(), 2);
    let calls = service.take_calls();
    assert_eq!(calls.len(), 48);
    assert!(calls.iter().all(|call| call.accepted));
    assert_eq!(endpoint.asked(), 1);
}

#[tokio::test]
async fn an_endpoint_that_is_down_at_the_start_and_then_up_needs_no_restart() {
    let address: SocketAddr = {
        let endpoint = TokenEndpoint::start().await;
        endpoint.uri("").strip_prefix("http://").unwrap().parse().unwrap()
    };
    let service = Service::trusting_nobody(&[VERTEX]).await;
    let gateway = start(&service, &Account::robot(Key::One, &format!("http://{address}/token"))).await;
    assert_denied(&ask(gateway.ready(), VERTEX).await);
    assert!(service.take_calls().is_empty());
    let words = ["False", "TokenUnavailable", "no connection to the token endpoint"];
    wait_for_condition(&gateway, "vertex-ai", "ResolvedRefs", &words).await;

    let endpoint = TokenEndpoint::start_at(address).await;
    service.trust(&endpoint);
    wait_for_condition(&gateway, "vertex-ai", "ResolvedRefs", &["True"]).await;
    wait_until_served(&gateway).await;
    assert_eq!(service.only_call().token(), endpoint.tokens()[0]);
    wait_for_condition(&gateway, "vertex-ai", "TokenRenewal", &["True"]).await;
}

/// What a policy says to put in a token of an account in `key.json`.
fn service_account(gcp: &str) -> String {
    format!(
        "secretKey: key.json, target: ProviderAuth, providerAuth: {{type: GCPServiceAccount, gcp: {gcp}}}"
    )
}

/// The objects of a route to this host, with an account of its own.
fn route_with_account(name: &str, host: &str, account: &Account, gcp: &str) -> String {
    [
        objects::secret(name, &[("key.json", &account.key_file())]),
        objects::route(name, &["gemini-bot"], &format!("{{provider: custom, hosts: [{host}]}}")),
        objects::policy(name, name, &service_account(gcp)),
    ]
    .concat()
}

#[tokio::test]
async fn whatever_an_endpoint_answers_instead_of_a_token_is_a_refusal_that_the_status_explains() {
    let endpoint = TokenEndpoint::start().await;
    let denied = r#"{"error": "invalid_grant", "error_description": "Invalid signature for canary-0123."}"#;
    #[rustfmt::skip]
    let cases = BTreeMap::from([
        ("refused", (Answer::Status(400, denied), "the token endpoint answered invalid_grant")),
        ("broken", (Answer::Status(500, "canary-0123"), "the token endpoint answered with status 500")),
        ("garbage", (Answer::Status(200, "<html>canary-0123"), "answer is not a token response")),
        ("endless", (Answer::Token(Duration::ZERO), "without a usable `expires_in`")),
        ("silent", (Answer::Silence, "the token endpoint did not answer in time")),
    ]);
    let hosts: Vec<String> = cases.keys().map(|name| format!("{name}.google.example")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let service = Service::trusting(&endpoint, &[&hosts[..], &[VERTEX]].concat()).await;
    let mut text = String::new();
    for (name, (answer, _)) in &cases {
        endpoint.answer(&format!("/{name}"), answer.clone());
        let account = Account::robot(Key::One, &endpoint.uri(&format!("/{name}")));
        text += &route_with_account(name, &format!("{name}.google.example"), &account, "{}");
    }
    let manifests = vertex(&service).file("routes.yaml", &text).alias_at(&hosts, service.port(), "");
    let good = Account::robot(Key::Other, &endpoint.uri("/token"));
    let gateway = with_account(manifests, &good).start().await;
    for (name, (_, words)) in &cases {
        assert_denied(&ask(gateway.ready(), &format!("{name}.google.example")).await);
        wait_for_condition(&gateway, name, "ResolvedRefs", &["False", "TokenUnavailable", words]).await;
        wait_for_condition(&gateway, name, "TokenRenewal", &["False", "Failing", words]).await;
    }
    assert!(service.take_calls().is_empty(), "nothing of theirs reached the service");
    assert_eq!(ask(gateway.ready(), VERTEX).await.status, 200, "another account is not disturbed");
    let written = [gateway.lines(), gateway.errors()].concat().join("\n");
    assert!(!written.contains("canary"), "what an endpoint says is not repeated");
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_and_the_next_request_on_the_connection_has_the_new_one() {
    let endpoint = TokenEndpoint::start().await;
    endpoint.answer("/token", Answer::Token(Duration::from_secs(18)));
    let service = Service::trusting(&endpoint, &[VERTEX]).await;
    let gateway = start(&service, &Account::robot(Key::One, &endpoint.uri("/token"))).await;
    let mut one = gateway.agent(Http::One, VERTEX).open_http1().await.unwrap();
    let mut two = gateway.transparent_agent(Http::Two, VERTEX).open_http2().await.unwrap();
    let before = gateway.processes();
    let end = Instant::now() + Duration::from_secs(30);
    let mut used = Vec::new();
    while used.is_empty() || used.last() != endpoint.tokens().get(1) {
        assert!(Instant::now() < end, "no second token");
        assert_eq!(one.send(&generate(VERTEX).to_http1()).await.unwrap().status, 200);
        assert_eq!(two.send(&generate(VERTEX)).await.unwrap().status, 200);
        used.extend(service.take_calls().iter().map(|call| call.token().to_owned()));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(used.is_sorted(), "no request went back to an older token");
    used.dedup();
    assert_eq!(used, endpoint.tokens());
    assert_eq!(gateway.processes(), before, "a process was restarted");
}

#[tokio::test]
async fn while_renewing_fails_the_old_token_serves_to_its_end_and_then_requests_are_denied() {
    let endpoint = TokenEndpoint::start().await;
    endpoint.answer("/token", Answer::Token(Duration::from_secs(16)));
    let service = Service::trusting(&endpoint, &[VERTEX]).await;
    let gateway = start(&service, &Account::robot(Key::One, &endpoint.uri("/token"))).await;
    let obtained = Instant::now();
    endpoint.answer("/token", Answer::Status(503, "busy"));
    let mut connection = gateway.agent(Http::Two, VERTEX).open_http2().await.unwrap();
    let words = ["False", "Failing", "a token until 20", "it was not renewed", "status 503"];
    wait_for_condition(&gateway, "vertex-ai", "TokenRenewal", &words).await;
    assert_eq!(connection.send(&generate(VERTEX)).await.unwrap().status, 200);
    assert!(obtained.elapsed() < Duration::from_secs(16), "it has not ended yet");
    assert_eq!(service.only_call().token(), endpoint.tokens()[0]);
    let resolved = condition(&gateway, "vertex-ai", "ResolvedRefs").expect("a condition");
    assert_eq!(resolved[0], "True");

    tokio::time::sleep(Duration::from_millis(16_500).saturating_sub(obtained.elapsed())).await;
    assert_denied(&connection.send(&generate(VERTEX)).await.unwrap());
    assert!(service.take_calls().is_empty());
    wait_for_condition(&gateway, "vertex-ai", "ResolvedRefs", &["False", "no token", "status 503"]).await;

    endpoint.answer("/token", Answer::Token(Duration::from_secs(3600)));
    wait_for_condition(&gateway, "vertex-ai", "ResolvedRefs", &["True"]).await;
    wait_until_served(&gateway).await;
    assert_eq!(connection.send(&generate(VERTEX)).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_token_ends_in_envoy_too_when_the_controller_can_say_nothing() {
    let endpoint = TokenEndpoint::start().await;
    endpoint.answer("/token", Answer::Token(Duration::from_secs(14)));
    let service = Service::trusting(&endpoint, &[VERTEX]).await;
    let gateway = start(&service, &Account::robot(Key::One, &endpoint.uri("/token"))).await;
    // A leaf comes from the controller too.
    let mut connection = gateway.agent(Http::Two, VERTEX).open_http2().await.unwrap();
    gateway.signal(Signal::STOP);
    assert_eq!(connection.send(&generate(VERTEX)).await.unwrap().status, 200);
    let _ = service.take_calls();
    tokio::time::sleep(Duration::from_millis(14_500)).await;
    let denied = connection.send(&generate(VERTEX)).await.unwrap();
    gateway.signal(Signal::CONT);
    assert_denied(&denied);
    assert!(service.take_calls().is_empty());
    gateway.wait_for_line(&["\"event\":\"access\"", "token_expired"]).await;
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
    let end = Instant::now() + Duration::from_secs(10);
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
async fn an_endpoint_of_a_private_authority_is_trusted_by_the_gateways_own_bundle_alone() {
    let authority = std::sync::Arc::new(Authority::new("a private authority"));
    let (trusted, stranger) = (TokenEndpoint::start_under(&authority).await, Authority::new("a stranger"));
    let untrusted = TokenEndpoint::start_under(&stranger).await;
    let service = Service::trusting_under(&authority, &trusted, &[VERTEX, "other.google.example"]).await;
    let other = Account::robot(Key::Other, &untrusted.uri("/token"));
    let manifests = vertex(&service)
        .file("other.yaml", &route_with_account("other", "other.google.example", &other, "{}"))
        .alias_at(&["other.google.example"], service.port(), "");
    let account = Account::robot(Key::One, &trusted.uri("/token"));
    let gateway = with_account(manifests, &account).start().await;
    assert_eq!(ask(gateway.ready(), VERTEX).await.status, 200);
    assert_denied(&ask(gateway.ready(), "other.google.example").await);
    wait_for_condition(&gateway, "other", "ResolvedRefs", &["False", "certificate is not trusted"]).await;
    assert_eq!(untrusted.asked(), 0, "nothing was sent to it");
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
