//! L5: what an agent is told does not tell which keys, hosts and endpoints exist.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use harness::artefacts;
use harness::gateway::{Gateway, Manifests};
use harness::scenario::KEY;
use tokio::time::{Duration, Instant, sleep};

use crate::row::{EVERY, Port, Row, Variant};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::subject::{Subject, keyward};
use crate::wire::{Reply, Request};
use crate::world::OTHER;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("L5.endpoints", "endpoints that exist and that do not: the same refusal", EVERY, endpoints)
            .under(Scenario::default().deny_all())
            .only_keyward("compares Keyward's own refusals; that each is one is in the case"),
        Row::new("L5.hosts", "hosts that exist, and that do not: the same refusal", EVERY, hosts)
            .under(Scenario::default().deny_all())
            .only_keyward("compares Keyward's own refusals; that each is one is in the case"),
        Row::new(
            "L5.credentials",
            "no Secret, no such key in it, one that is no credential, no policy, another namespace's Secret, a value \
             that does not open: the same refusal, each with its own cause in the record",
            EVERY,
            credentials,
        )
        .under(Scenario::default().no_secret().own("L5"))
        .without_control()
        .only_keyward("speaks of Keyward's manifests; the records show that the causes differ"),
    ]
}

const PATIENCE: Duration = Duration::from_secs(20);

/// All that an agent can see of an answer, but for the time.
fn seen(reply: &Reply) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let answer = reply.answered().unwrap_or_else(|| panic!("no answer: {reply:?}"));
    let timeless = |(name, value): &(String, String)| match name.as_str() {
        "date" => (name.clone(), "any".to_owned()),
        _ => (name.clone(), value.clone()),
    };
    (answer.status, answer.fields.iter().map(timeless).collect(), answer.body.clone())
}

async fn endpoints(stage: Stage) {
    let mut first = None;
    for path in ["/v1/files", "/no/such/thing", "/", "/v1/messages/", "/v1/models?limit=1"] {
        let reply = stage.ask(&Request::messages().path(path)).await;
        stage.refused(&reply, 403, "denied_by_policy");
        let seen = seen(&reply);
        assert_eq!(*first.get_or_insert_with(|| seen.clone()), seen, "{path}");
    }
    stage.nothing_upstream().await;
}

async fn hosts(stage: Stage) {
    let mut first = None;
    // The first is in the resolver's table and has a provider, the last is not.
    for host in [OTHER, "api.openai.com", "hostile.example", "no.such.example"] {
        let reply = stage.send(&stage.agent_for(host), &Request::messages().authority(host)).await;
        let seen = match (stage.variant, &reply) {
            (Variant::On(_, Port::Transparent), Reply::NoHandshake(how)) => {
                (0, Vec::new(), how.clone().into_bytes())
            }
            _ => seen(&reply),
        };
        assert!(reply.is_refusal(), "{host}: {reply:?}");
        assert_eq!(*first.get_or_insert_with(|| seen.clone()), seen, "{host}");
    }
    stage.nothing_upstream().await;
}

/// The documents of the worked example: Secret, gateway, route, policy.
fn documents() -> Vec<String> {
    let files = Manifests::worked_example().files();
    let documents: Vec<_> = files[0].1.split("---\n").map(str::to_owned).collect();
    assert_eq!(documents.len(), 4, "the worked example has other documents");
    documents
}

/// Manifests under which the route has no credential, and the cause that the record gives.
fn states() -> Vec<(String, &'static str)> {
    let [secret, gateway, route, policy] = documents().try_into().expect("four documents");
    let all = |secret: &str, policy: &str| [secret, &gateway, &route, policy].join("---\n");
    let with = |data: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: anthropic-credentials}}\nstringData: {data}\n"
        )
    };
    let elsewhere = policy.replace(
        "secretRef: {name: anthropic-credentials}",
        "secretRef: {name: anthropic-credentials, namespace: other}",
    );
    assert_ne!(elsewhere, policy);
    let others = with(&format!("{{api-key: {KEY}}}")).replace("{name:", "{namespace: other, name:");
    vec![
        ([&gateway[..], &route, &policy].join("---\n"), "secret_not_found"),
        (all(&with("{another-key: sk-another-0123456789}"), &policy), "key_not_found"),
        (all(&secret, &policy), "invalid_secret"),
        (all(&with("{api-key: ''}"), &policy), "invalid_secret"),
        ([&secret[..], &gateway, &route].join("---\n"), "no_policy"),
        (all(&others, &elsewhere), "secret_not_found"),
        (all(&secret, &policy.replace("headerName: x-api-key", "headerName: host")), "route_refused"),
    ]
}

/// The cause in the newest record of a request.
fn cause(gateway: &Gateway) -> String {
    let events = gateway.events("access");
    let mut reasons = events.iter().filter_map(|event| event["entry"]["record"]["reason"].as_str());
    reasons.next_back().unwrap_or_default().to_owned()
}

/// Asks until the record gives this cause; then the answer.
async fn refusal(stage: &Stage, expected: &str) -> Reply {
    let end = Instant::now() + PATIENCE;
    loop {
        let before = stage.gateway().events("access").len();
        let reply = stage.ask(&Request::messages()).await;
        while stage.gateway().events("access").len() == before && Instant::now() < end {
            sleep(Duration::from_millis(10)).await;
        }
        if cause(stage.gateway()) == expected {
            return reply;
        }
        assert!(Instant::now() < end, "the cause is {}, not {expected}: {reply:?}", cause(stage.gateway()));
    }
}

async fn credentials(stage: Stage) {
    let mut first = None;
    for (manifests, expected) in states() {
        stage.gateway().write_manifest("example.yaml", &manifests);
        let reply = refusal(&stage, expected).await;
        stage.refused(&reply, 503, "credential_unavailable");
        let seen = seen(&reply);
        assert_eq!(*first.get_or_insert_with(|| seen.clone()), seen, "{expected}");
    }
    let locked = with_another_keyring(&stage).await;
    let reply = refusal(&locked, "credential_unsealable").await;
    assert_eq!(first, Some(seen(&reply)), "credential_unsealable");
    stage.nothing_upstream().await;
}

/// A gateway whose Envoy has another sealing key than what its configuration is sealed with.
async fn with_another_keyring(stage: &Stage) -> Stage {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let script = folder.path().join("envoy");
    let (variable, keyring) = (controller::envoy::KEYRING_VARIABLE, harness::sealed::KEYRING);
    let text = format!("#!/bin/sh\n{variable}={keyring} exec {} \"$@\"\n", artefacts::envoy().display());
    std::fs::write(&script, text).expect("a script");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).expect("its mode");
    let gateway = keyward::builder(&Scenario::default()).envoy(&script).start().await;
    Stage { subject: Arc::new(Subject::keyward(gateway)), ..stage.clone() }
}
