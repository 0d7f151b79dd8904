//! A6: if the filter panicked after all: what a module that aborts on request does to others, and that it comes back.

use std::time::Duration;

use harness::client::Http;

use tokio::task::JoinSet;

use super::{becomes, protected, recovers, request};
use crate::neighbour::envoys;
use crate::row::{EVERY, ONCE, Port, Row, Variant};
use crate::scenario::Scenario;
use crate::stage::Stage;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "A6.trap",
            "a filter that aborts, again and again: 503, and it serves again each time, in the same Envoy",
            EVERY,
            again,
        )
        .under(Scenario::default().trapping()),
        Row::new(
            "A6.trap-others",
            "a filter that aborts while others ask: they are served or refused, never unprotected",
            ONCE,
            others,
        )
        .under(Scenario::default().trapping()),
    ]
}

async fn again(stage: Stage) {
    let before = envoys(&stage);
    for _ in 0..5 {
        let reply = stage.ask(&request().field("x-keyward-trap", "1")).await;
        stage.refused_with_any(&reply, &[503]);
        becomes(&stage, 200).await;
    }
    recovers(&stage).await;
    assert_eq!(envoys(&stage), before, "Envoy was replaced");
    protected(&stage);
}

async fn others(stage: Stage) {
    let ways = [Variant::On(Http::One, Port::Proxy), Variant::On(Http::Two, Port::Transparent)];
    let mut asking = JoinSet::new();
    for variant in ways {
        asking.spawn(ask(Stage { variant, ..stage.clone() }));
    }
    for _ in 0..10 {
        let reply = stage.ask(&request().field("x-keyward-trap", "1")).await;
        stage.refused_with_any(&reply, &[503]);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    while let Some(one) = asking.join_next().await {
        one.expect("served or refused");
    }
    recovers(&stage).await;
    protected(&stage);
}

async fn ask(stage: Stage) {
    for _ in 0..40 {
        let reply = stage.ask(&request()).await;
        assert!(reply.status() == 200 || reply.is_refusal(), "{reply:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
