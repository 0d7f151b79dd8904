//! The credential is not the only one, or not whole: H1 to H11.

use harness::scenario::KEY;

use crate::row::{EVERY, Row};
use crate::stage::Stage;
use crate::wire::Request;

pub(super) fn rows() -> Vec<Row> {
    vec![Row::new(
        "H2.headers",
        "a credential of the agent's in another header: it does not go upstream",
        EVERY,
        headers,
    )]
}

const OWN: &str = "sk-agents-own-account-0123456789";

/// Other headers in which Anthropic, or a server that is compatible with it, may take a credential.
const CARRIERS: [&str; 5] = ["authorization", "api-key", "x-goog-api-key", "cookie", "proxy-authorization"];

async fn headers(stage: Stage) {
    for carrier in CARRIERS {
        let reply = stage.ask(&Request::messages().field(carrier, format!("Bearer {OWN}"))).await;
        assert_eq!(reply.status(), 200, "{carrier}: {reply:?}");
        let received = stage.world.anthropic.only_request();
        assert_eq!(received.values("x-api-key"), [KEY], "{carrier}");
        assert!(!received.mentions(OWN), "{carrier} went upstream");
    }
}
