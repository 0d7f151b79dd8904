//! H2: a credential of the agent's own in other places where the provider, or what is compatible with it, takes one.

use harness::scenario::KEY;

use super::{Fate, OWN, check, only_ours};
use crate::row::{EVERY, HTTP1, Row};
use crate::stage::Stage;
use crate::wire::Request;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "H2.headers",
            "a credential of the agent's in another header: it does not go upstream",
            EVERY,
            headers,
        ),
        Row::new(
            "H2.spelling",
            "other headers in odd spellings and numbers: they do not go upstream",
            EVERY,
            spelling,
        ),
        Row::new("H2.case", "other headers in upper and mixed case: they do not go upstream", HTTP1, case),
        Row::new(
            "H2.together",
            "a credential in every other place at once: none goes upstream",
            EVERY,
            together,
        ),
        Row::new(
            "H2.query",
            "a credential in the query, under plain and encoded names: it does not go upstream",
            EVERY,
            query,
        ),
    ]
}

/// Other headers in which Anthropic, or a server that is compatible with it, may take a credential.
const CARRIERS: [&str; 5] = ["authorization", "api-key", "x-goog-api-key", "cookie", "proxy-authorization"];

async fn headers(stage: Stage) {
    for carrier in CARRIERS {
        for value in [format!("Bearer {OWN}"), OWN.to_owned(), format!("session={OWN}; a=b")] {
            let reply = stage.ask(&Request::messages().field(carrier, value)).await;
            check(&stage, carrier, &reply, Fate::Served).await;
        }
    }
}

async fn spelling(stage: Stage) {
    for carrier in CARRIERS {
        let underscored = carrier.replace('-', "_");
        let repeated = Request::messages().field(carrier, OWN).field(carrier, "").field(&underscored, OWN);
        check(&stage, &underscored, &stage.ask(&repeated).await, Fate::Served).await;
    }
}

async fn case(stage: Stage) {
    for carrier in CARRIERS {
        let upper = carrier.to_ascii_uppercase();
        let mut mixed = carrier.to_owned();
        mixed[1..2].make_ascii_uppercase();
        let request = Request::messages().field(&upper, OWN).field(&mixed, OWN);
        check(&stage, &upper, &stage.ask(&request).await, Fate::Served).await;
    }
}

async fn together(stage: Stage) {
    let request = Request::messages().path(format!("/v1/messages?key={OWN}")).field("x-api-key", OWN);
    let request = CARRIERS.iter().fold(request, |request, carrier| request.field(carrier, OWN));
    check(&stage, "all at once", &stage.ask(&request).await, Fate::Served).await;
}

async fn query(stage: Stage) {
    for (sent, received) in [
        ("?key=OWN", ""),
        ("?KEY=OWN", ""),
        ("?beta=true&key=OWN", "?beta=true"),
        ("?key=OWN&beta=true&api_key=OWN", "?beta=true"),
        ("?k%65y=OWN&%61ccess_token=OWN", ""),
        ("?beta=true;key=OWN", "?beta=true"),
    ] {
        let path = format!("/v1/messages{}", sent.replace("OWN", OWN));
        let reply = stage.ask(&Request::messages().path(path)).await;
        assert_eq!(reply.status(), 200, "{sent}: {reply:?}");
        let request = stage.world.anthropic.only_request();
        only_ours(&request, sent);
        assert_eq!(request.path, format!("/v1/messages{received}"), "{sent}: what the provider received");
        assert_eq!(request.values("x-api-key"), [KEY], "{sent}");
    }
}
