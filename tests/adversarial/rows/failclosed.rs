//! The guarantee is switched off: F1 to F7.

use harness::scenario::PLACEHOLDER;

use crate::row::{EVERY, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::Request;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("F1.missing", "the Secret is not there: 503, nothing goes upstream", EVERY, missing)
            .under(Scenario::default().no_secret())
            .without_control(),
    ]
}

async fn missing(stage: Stage) {
    let reply = stage.ask(&Request::messages().field("x-api-key", PLACEHOLDER)).await;
    stage.refused(&reply, 503, "credential_unavailable");
    stage.nothing_upstream().await;
}
