//! H11: a rule for some models, and requests whose model cannot be read in one way. They are refused; nothing goes on.

use std::fmt::Write as _;

use super::{OWN, check};
use crate::row::{EVERY, HTTP1, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::Request;

const ENDPOINTS: &str = "endpoints: [/v1/messages, /v1/complete]";

pub(super) fn rows() -> Vec<Row> {
    let scenario = || {
        Scenario::default().replace(ENDPOINTS, &format!("{ENDPOINTS}, models: [claude-test, \"claude-o*\"]"))
    };
    let row = |id, what, variants, case: fn(Stage) -> super::Case| {
        Row::new(id, what, variants, case).under(scenario()).beyond_others("needs a rule for some models")
    };
    vec![
        row("H11.names", "two members `model`, in whatever case or spelling: refused", EVERY, |stage| {
            Box::pin(names(stage))
        }),
        row("H11.bodies", "a body that is encoded, no JSON, or of another type: refused", EVERY, |stage| {
            Box::pin(bodies(stage))
        }),
        row("H11.cut", "a body that ends before its length: nothing goes on", HTTP1, |stage| {
            Box::pin(cut(stage))
        })
        .proved_by_itself(),
        row("H11.other", "a model that no rule names: it goes on without any credential", EVERY, |stage| {
            Box::pin(other(stage))
        })
        .only_keyward("another proxy may refuse it"),
    ]
}

fn asking(body: &str) -> Request {
    Request::messages().body(body)
}

async fn refused(stage: &Stage, case: &str, request: Request) {
    let reply = stage.ask(&request).await;
    super::refused(stage, case, &reply, &[403]).await;
}

async fn names(stage: Stage) {
    for body in [
        r#"{"model":"claude-test","model":"other"}"#,
        r#"{"model":"other","model":"claude-test"}"#,
        r#"{"model":"claude-test","model":"claude-test"}"#,
        r#"{"model":"claude-test","\u006dodel":"other"}"#,
        r#"{"model":"claude-test","Model":"other"}"#,
        r#"{"MODEL":"claude-test"}"#,
        r#"{"model":["claude-test"]}"#,
        r#"{"model":{"name":"claude-test"}}"#,
        r#"{"model":null}"#,
        r#"{"model":""}"#,
        r#"{"messages":[{"model":"claude-test"}]}"#,
    ] {
        refused(&stage, body, asking(body)).await;
    }
    let deep = (0..2000).fold(String::new(), |mut text, _| {
        let _ = write!(text, "[");
        text
    });
    refused(&stage, "deep", asking(&format!("{{\"a\":{deep}"))).await;
}

async fn bodies(stage: Stage) {
    let good = r#"{"model":"claude-test"}"#;
    for (name, value) in [
        ("content-encoding", "gzip"),
        ("content-encoding", "identity, gzip"),
        ("Content_Encoding", "br"),
        ("content-type", "multipart/form-data; boundary=x"),
        ("content-type", "application/json; charset=utf-16"),
    ] {
        refused(&stage, value, asking(good).field(name, value)).await;
    }
    for body in [
        "",
        "model=claude-test",
        "[]",
        "\"claude-test\"",
        &format!("\u{feff}{good}"),
        &format!("{good}{good}"),
    ] {
        refused(&stage, body, asking(body)).await;
    }
}

async fn cut(stage: Stage) {
    let body = r#"{"model":"claude-test","messages":["#;
    let request = asking(body).field("content-length", (body.len() + 10).to_string());
    if let Ok(mut http) = stage.http1().await {
        http.write(&request.to_http1()).await;
        drop(http);
    }
    stage.nothing_upstream().await;
}

async fn other(stage: Stage) {
    let reply = stage.ask(&asking(r#"{"model":"gpt-5"}"#).field("x-api-key", OWN)).await;
    assert!(reply.answered().is_some_and(|answer| answer.reason().is_empty()), "{reply:?}");
    let received = stage.world.anthropic.only_request();
    assert!(received.values("x-api-key").is_empty() && !received.mentions(OWN), "{received:?}");
    stage.world.anthropic.forget();
    check(
        &stage,
        "a model by its pattern",
        &stage.ask(&asking(r#"{"model":"claude-opus"}"#)).await,
        super::Fate::Served,
    )
    .await;
}
