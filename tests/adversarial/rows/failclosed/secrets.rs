//! F1: there is no credential. The request is refused, nobody receives it, and the status says which object lacks what.

use std::time::Duration;

use harness::google::{Account, Key};
use harness::scenario::KEY;

use super::status::says;
use super::{OWN_FILE, assert_protected, becomes, own_secret, request, secret, unavailable, withdraw};
use crate::row::{EVERY, ONCE, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::Request;

pub(super) fn rows() -> Vec<Row> {
    let without = |id, what, old, new, case: fn(Stage) -> Case| {
        Row::new(id, what, EVERY, case).under(Scenario::default().replace(old, new)).without_control()
    };
    vec![
        without(
            "F1.missing",
            "the policy names a Secret that is not there: 503, nothing goes upstream, the status says so",
            SECRET_REF,
            "secretRef: {name: absent}",
            |stage| Box::pin(missing(stage)),
        ),
        Row::new("F1.key-missing", "the Secret lacks the key that the policy names", EVERY, key_missing)
            .under(own_secret().manifest(OWN_FILE, &secret("own", "other", KEY)))
            .without_control(),
        without(
            "F1.unusable",
            "the policy names another namespace's Secret",
            SECRET_REF,
            "secretRef: {name: anthropic-credentials, namespace: elsewhere}",
            |stage| Box::pin(foreign(stage)),
        ),
        without(
            "F1.no-policy",
            "a route for which no policy has a credential",
            "kind: AIProviderRoute, name: anthropic",
            "kind: AIProviderRoute, name: another",
            |stage| Box::pin(no_policy(stage)),
        ),
        Row::new(
            "F1.token-endpoint",
            "the token endpoint of a Google service account is down",
            EVERY,
            token_endpoint,
        )
        .under(
            Scenario::default()
                .no_secret()
                .replace("data: {api-key: <base64-of-sk-ant-...>}", &account())
                .replace(
                    "target: Header\n  headerName: x-api-key",
                    "target: ProviderAuth\n  providerAuth: {type: GCPServiceAccount}",
                ),
        )
        .without_control(),
        Row::new(
            "F1.region",
            "a policy that signs for AWS, and neither it nor the host says for which region",
            EVERY,
            region,
        )
        .under(
            Scenario::default()
                .no_secret()
                .replace("data: {api-key: <base64-of-sk-ant-...>}", AWS_KEYS)
                .replace(
                    "target: Header\n  headerName: x-api-key",
                    "target: ProviderAuth\n  providerAuth: {type: AWSv4}",
                ),
        )
        .without_control(),
        without("F1.no-ref", "a policy without a Secret", SECRET_REF, "", |stage| Box::pin(no_ref(stage))),
        Row::new("F1.deleted", "the Secret is deleted while serving, and comes back", EVERY, deleted)
            .under(own_secret()),
        Row::new(
            "F1.unreadable",
            "the file of the Secret stops parsing: what it last held serves on, the status names it",
            ONCE,
            unreadable,
        )
        .under(own_secret())
        .only_keyward("speaks of Keyward's manifests"),
    ]
}

type Case = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

const SECRET_REF: &str = "secretRef: {name: anthropic-credentials}";

/// An account whose tokens are to be had where nobody listens.
fn account() -> String {
    let file = Account::robot(Key::One, "http://127.0.0.1:1/token").key_file();
    format!("stringData: {{api-key: {}}}", serde_json::Value::from(file))
}

const AWS_KEYS: &str =
    "stringData: {access_key_id: AKIAKEYWARDTESTREAL1, secret_access_key: a-secret-of-an-account}";

const POLICY: &str = "CredentialInjectionPolicy";

/// Refused, whatever the agent sends in the credential's place; Keyward says why, and tells the agent less.
async fn check(stage: &Stage, kind: &str, reason: &str, words: &[&str]) {
    for request in [request(), Request::messages(), request().field("authorization", "Bearer own")] {
        let reply = stage.ask(&request).await;
        stage.refused(&reply, 503, "credential_unavailable");
        let answer = reply.answered().expect("an answer");
        assert!(!["ecret", "absent", "api-key"].iter().any(|word| answer.mentions(word)), "{answer:?}");
    }
    stage.nothing_upstream().await;
    if let Some(gateway) = &stage.subject.gateway {
        says(gateway, (kind, "anthropic", "ResolvedRefs", "False", reason), words).await;
    }
}

async fn missing(stage: Stage) {
    check(&stage, POLICY, "SecretNotFound", &["no Secret default/absent"]).await;
}

async fn token_endpoint(stage: Stage) {
    for request in [request(), Request::messages()] {
        let reply = stage.ask(&request).await;
        stage.refused(&reply, 503, "credential_unavailable");
    }
    stage.nothing_upstream().await;
    if let Some(gateway) = &stage.subject.gateway {
        says(gateway, (POLICY, "anthropic", "ResolvedRefs", "False", "TokenUnavailable"), &["token"]).await;
    }
}

async fn region(stage: Stage) {
    for request in [request(), Request::messages()] {
        let reply = stage.ask(&request).await;
        stage.refused(&reply, 503, "credential_unavailable");
    }
    stage.nothing_upstream().await;
    if let Some(gateway) = &stage.subject.gateway {
        let words = ["api.anthropic.com names no AWS region", "spec.providerAuth.region"];
        says(gateway, ("AIProviderRoute", "anthropic", "ResolvedRefs", "False", "RegionUnknown"), &words)
            .await;
    }
}

async fn key_missing(stage: Stage) {
    check(&stage, POLICY, "KeyNotFound", &["default/own", "no key api-key"]).await;
}

async fn foreign(stage: Stage) {
    check(&stage, POLICY, "RefNotPermitted", &["spec.secretRef", "another namespace"]).await;
}

async fn no_policy(stage: Stage) {
    check(&stage, "AIProviderRoute", "NoPolicy", &["CredentialInjectionPolicy", "denied"]).await;
}

async fn no_ref(stage: Stage) {
    unavailable(&stage).await;
    if let Some(gateway) = &stage.subject.gateway {
        gateway.wait_for_line(&["\"event\":\"problem\"", POLICY, "anthropic", "secretRef"]).await;
    }
}

async fn deleted(stage: Stage) {
    withdraw(&stage).await;
    unavailable(&stage).await;
    unavailable(&stage).await;
    let gateway = stage.gateway();
    says(gateway, (POLICY, "anthropic", "ResolvedRefs", "False", "SecretNotFound"), &["default/own"]).await;
    // The same Secret without the key is no better.
    gateway.write_manifest(OWN_FILE, &secret("own", "token", KEY));
    says(gateway, (POLICY, "anthropic", "ResolvedRefs", "False", "KeyNotFound"), &["no key api-key"]).await;
    unavailable(&stage).await;
    gateway.write_manifest(OWN_FILE, &secret("own", "api-key", KEY));
    becomes(&stage, 200).await;
    stage.world.anthropic.forget();
    stage.good().await;
}

async fn unreadable(stage: Stage) {
    let gateway = stage.gateway();
    let nameless = "apiVersion: v1\nkind: Secret\nmetadata: {name: [own]}\n";
    for (text, problem) in
        [("{ half", "not valid YAML"), ("- half", "not an object"), (nameless, "found a list")]
    {
        gateway.write_manifest(OWN_FILE, text);
        gateway.wait_for_line(&["\"event\":\"problem\"", OWN_FILE, problem]).await;
        // Long enough for Envoy to be told that the Secret is gone, if it were.
        for _ in 0..20 {
            assert_eq!(stage.ask(&request()).await.status(), 200, "{text}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert_protected(&stage);
    }
    // Nothing but the file's end is the Secret's end.
    withdraw(&stage).await;
    unavailable(&stage).await;
}
