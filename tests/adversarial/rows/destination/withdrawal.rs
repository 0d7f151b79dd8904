//! D13: what was allowed is withdrawn while connections are open.

use std::time::Duration;

use harness::client::{Agent, Http, Way};
use harness::gateway::Gateway;

use crate::row::{EVERY, ONCE, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::subject::keyward;
use crate::wire::http1::Http1;
use crate::wire::{Reply, Request, contains};
use crate::world::OTHER;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "D13.intercepted",
            "the route is withdrawn: an open connection's next request is refused",
            EVERY,
            open,
        )
        .under(Scenario::default().deny_all().own("route"))
        .only_keyward("changes Keyward's manifests"),
        Row::new(
            "D13.passthrough",
            "allow-all is withdrawn: open passthrough ends within 30 s",
            ONCE,
            passthrough,
        )
        .under(Scenario::default().others_pass().own("policy"))
        .only_keyward("changes Keyward's manifests")
        .slow(),
    ]
}

/// Writes the worked example anew, with one text replaced by another.
fn rewrite(gateway: &Gateway, scenario: &Scenario, old: &str, new: &str) {
    let files = keyward::manifests(scenario).replace(old, new).files();
    for (name, text) in files {
        gateway.write_manifest(&name, &text);
    }
}

/// Names the route's only endpoint otherwise, then has the route gone.
async fn open(stage: Stage) {
    let agent = stage.agent();
    let request = Request::messages();
    let scenario = Scenario::default().deny_all();
    let withdraw = || rewrite(stage.gateway(), &scenario, "provider: anthropic", "provider: openai");
    let stream = agent.open().await.expect("a connection");
    let mut replies: Vec<Reply> = Vec::new();
    match stage.http() {
        Http::One => {
            let mut http = stage.http1_over(stream);
            assert_eq!(http.ask(&request.to_http1()).await.map(|answer| answer.status), Ok(200));
            stage.world.anthropic.forget();
            withdraw();
            until_refused(&stage).await;
            replies.push(http.ask(&request.to_http1()).await.into());
        }
        Http::Two => {
            let mut http = stage.http2_over(stream).await;
            assert_eq!(http.ask(&request).await.map(|answer| answer.status), Ok(200));
            stage.world.anthropic.forget();
            withdraw();
            until_refused(&stage).await;
            replies.push(http.ask(&request).await.into());
        }
    }
    stage.world.second.forget();
    for reply in replies {
        assert!(reply.is_refusal(), "{reply:?}");
        stage.refused_with_any(&reply, &[0, 403]);
    }
    stage.nothing_upstream().await;
    // For the next variant.
    rewrite(stage.gateway(), &scenario, "provider: anthropic", "provider: anthropic");
    until(&stage, |reply| reply.status() == 200).await;
    stage.world.anthropic.forget();
}

/// Until fresh connections of another agent are refused: then the change has arrived.
async fn until_refused(stage: &Stage) {
    until(stage, Reply::is_refusal).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    stage.world.anthropic.forget();
}

async fn until(stage: &Stage, done: impl Fn(&Reply) -> bool) {
    for _ in 0..600 {
        if done(&stage.ask(&Request::messages()).await) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the change does not arrive");
}

async fn passthrough(stage: Stage) {
    let target = format!("{OTHER}:443");
    let way = Way::Proxy(stage.subject.proxy, target);
    // It ends at the host itself, whose certificate the CA of the providers signed.
    let agent = Agent::new(way, Http::One, OTHER, stage.world.ca());
    let stream = agent.open().await.expect("a tunnel to the host");
    let mut http = Http1::new(stream, stage.seen.clone());
    let request = Request::messages().authority(OTHER).to_http1();
    assert_eq!(http.ask(&request).await.map(|answer| answer.status), Ok(200));
    rewrite(stage.gateway(), &Scenario::default(), "defaultPolicy: allow-all", "defaultPolicy: deny-all");
    let (rest, ended) = http.rest(Duration::from_secs(30)).await;
    assert!(ended, "the tunnel is still open after 30 s");
    assert!(!contains(&rest, b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
    let reply = stage.send(&agent, &Request::messages().authority(OTHER)).await;
    stage.refused(&reply, 403, "denied_by_policy");
}
