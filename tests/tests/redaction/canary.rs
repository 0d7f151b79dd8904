//! Everything that an agent and a careless provider can do, with all examples; then every output is searched.

use std::collections::BTreeSet;

use harness::client::{Http, Request, Response};
use harness::provider::{Echo, Received};
use harness::search::{Search, forms};

use super::outputs::{self, Output, both};
use super::requests::{Case, OWN, Served};
use super::secrets::{FIRST, SECOND, Secrets};
use super::state;
use super::system::System;
use super::with_every_example;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_output_of_the_whole_system_holds_a_secret_after_a_run_with_all_examples() {
    let leaks: Vec<String> = with_every_example(leaks).await.concat();
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

/// What an agent got.
struct Answer {
    response: Response,
    /// Whether the provider told in it what it had received.
    confessed: bool,
}

async fn leaks(case: &'static Case) -> Vec<String> {
    let system = System::start(case).await;
    let mut secrets = Secrets::default();
    secrets.add_own();
    secrets.add_given(&case.example().variables(), FIRST);
    let mut answers = hostile(&system, FIRST).await;
    let mut received = take_received(&system, FIRST, &mut secrets);
    let rotation = rotate(&system).await;
    secrets.add_given(&[case.rotated.2.to_owned()], SECOND);
    answers.extend(hostile(&system, SECOND).await);
    received.extend(take_received(&system, SECOND, &mut secrets));
    secrets.add_tokens(&system.endpoint);
    state::add_keys(system.gateway.state(), &mut secrets);

    let mut outputs = outputs::of(&system).await;
    outputs.push(rotation);
    let search = secrets.search();
    let seen: Vec<_> = received.iter().map(|request| serde_json::to_string(request).expect("JSON")).collect();
    let seen = search.found(seen.join("\n").as_bytes());
    assert_every_secret_was_live(case, &secrets, &seen);
    let credentialed = |host: &str| case.served.iter().any(|served| served.host == host);
    let mut credentialed = received.iter().filter(|request| credentialed(&request.authority));
    assert!(
        credentialed.all(|request| !request.mentions(OWN)),
        "{}: the agent's own key passed",
        case.example
    );
    let mut leaks = BTreeSet::new();
    for Output { name, bytes } in &outputs {
        assert_searched(&search, name, bytes);
        leaks.extend(search.found(bytes).iter().map(|find| format!("{}: {name} shows {find}", case.example)));
    }
    for Answer { response, confessed } in &answers {
        let lines = response.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
        let head: String = lines.collect();
        let shown = search.found(head.as_bytes());
        leaks
            .extend(shown.iter().map(|find| format!("{}: a header of an answer shows {find}", case.example)));
        // What the provider answers, the agent has: bodies are not scrubbed. Where it confessed they hold what it got, or
        // nothing was proved above.
        let body = search.found(&response.body);
        assert_eq!(!body.is_empty(), *confessed, "{}: {} in {}", case.example, body.len(), response.status);
    }
    leaks.into_iter().collect()
}

/// Were a secret in an output, in whatever form, it would be found there.
fn assert_searched(search: &Search, name: &str, bytes: &[u8]) {
    // Another form in the middle of each output: there are more outputs than forms.
    let all = forms(OWN.as_bytes());
    let (form, planted) = &all[bytes.len() % all.len()];
    let (before, after) = bytes.split_at(bytes.len() / 2);
    let leaking = [before, planted, after].concat();
    let find = format!("the agent's own key {form}");
    assert!(search.found(&leaking).contains(find.as_str()), "{find} is not found in {name}");
}

/// Each value that requests go out with was seen by the provider, so that all of this was about something.
fn assert_every_secret_was_live(case: &Case, secrets: &Secrets, seen: &BTreeSet<&str>) {
    let stays = |name: &str| {
        [
            "AWS_SECRET_ACCESS_KEY",
            "AWS signing key",
            "KEY_FILE",
            "decoded",
            "sealing key",
            "CA's",
            "PEM",
            "the agent's own",
        ]
        .iter()
        .any(|part| name.contains(part))
    };
    for name in secrets.names().filter(|name| !stays(name)) {
        assert!(seen.iter().any(|find| find.starts_with(name)), "{}: nobody had {name}", case.example);
    }
    if case.example().variables().iter().any(|variable| variable == "AWS_SECRET_ACCESS_KEY") {
        for generation in [FIRST, SECOND] {
            let signed = |name: &str| {
                name.starts_with("AWS signing key") && name.ends_with(&format!("({generation})"))
            };
            assert!(secrets.names().any(signed), "{}: nothing was signed", case.example);
        }
    }
}

fn take_received(system: &System, generation: &str, secrets: &mut Secrets) -> Vec<Received> {
    let received = system.provider.take_requests();
    secrets.add_signed(generation, &received);
    received
}

/// Runs what an agent can make happen, in front of a provider that tells what it got.
async fn hostile(system: &System, generation: &str) -> Vec<Answer> {
    let case = system.case;
    let mut answers = Vec::new();
    for http in [Http::One, Http::Two] {
        system.provider.behave(|behaviour| behaviour.echo = Echo::ALL.to_vec());
        for status in [None, Some(401), Some(503)] {
            for (served, stream) in case.served.iter().flat_map(|served| [(served, false), (served, true)]) {
                system.provider.behave(|behaviour| (behaviour.confess, behaviour.status) = (true, status));
                let Served { host, path, .. } = served;
                let request = case.request(host, path, &system.noted(served, generation), stream);
                let response = system.send(http, host, &request).await.expect(case.example);
                assert_eq!(response.status, status.unwrap_or(200), "{}: {host}{path}", case.example);
                answers.push(Answer { response, confessed: true });
            }
        }
        // A host without a rule gets a credential of the agent's own, and might give that one back.
        system.provider.behave(|behaviour| {
            behaviour.echo.clear();
            (behaviour.confess, behaviour.status) = (false, None);
        });
        for (host, request) in refused(case, &system.noted(&case.served[0], generation)) {
            // Some of them get no answer at all.
            if let Ok(response) = system.send(http, host, &request).await {
                answers.push(Answer { response, confessed: false });
            }
        }
    }
    answers
}

/// Requests that are refused, or get no credential.
fn refused(case: &'static Case, noted: &str) -> Vec<(&'static str, Request)> {
    let Served { host, path, .. } = case.served[0];
    // What is no credential of a host's is not looked for there.
    let note = |place: &str| if place == host { noted } else { "nobody" };
    let others = case.others.iter();
    let mut requests: Vec<_> =
        others.map(|(place, path)| (*place, case.request(place, path, note(place), false))).collect();
    let asked = || case.request(host, path, noted, false);
    let malformed =
        ["/..", "//", "/%2e%2e/", "/a\\b/", "/%00/"].map(|start| asked().path(&format!("{start}{path}")));
    let of_another_method = ["TRACE", "BREW"].map(|method| Request { method: method.into(), ..asked() });
    // Nor are its own places known to the filter of another host.
    let elsewhere = Case { places: &[], ..*case };
    let of_another_host = ["other.example", "a@b", ""]
        .map(|authority| elsewhere.request(host, path, "nobody", false).authority(authority));
    let too_long = asked().header("x-long", &noted.repeat(1000));
    let all = malformed.into_iter().chain(of_another_method).chain(of_another_host).chain([too_long]);
    requests.extend(all.map(|request| (host, request)));
    requests
}

/// Changes one of the example's secrets; returns when it is in use.
async fn rotate(system: &System) -> Output {
    let (secret, key, variable) = system.case.rotated;
    let state = system.gateway.state().display().to_string();
    let source = format!("{key}={variable}");
    let words = ["secret", "set", secret, "--from-env", &source, "--state-dir", &state];
    let mut command = system.command(&words, SECOND);
    let ended = tokio::task::spawn_blocking(move || command.output().expect("keyward starts"))
        .await
        .expect("no panic");
    assert!(ended.status.success(), "{}: {}", system.case.example, String::from_utf8_lossy(&ended.stderr));
    // It may have nothing to say.
    Output { name: "keyward secret set".to_owned(), bytes: both(&ended) }
}
